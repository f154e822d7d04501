import { frontend } from '../../support/wire.js';
import type { FlowItem, Parameter } from '../play/types.js';

/** A parameter's bytes and format: what has a binary form is sent in it if asked to, text is always the same bytes. */
export function encodeParameter(
  value: Parameter,
  binary: boolean,
  text: (text: string) => Buffer,
): { readonly bytes: Buffer | null; readonly format: 0 | 1 } {
  const format = binary ? 1 : 0;
  if (value === null || Buffer.isBuffer(value)) return { bytes: value, format };
  if (typeof value === 'string') return { bytes: text(value), format };
  if (typeof value === 'boolean') {
    return { bytes: binary ? Buffer.from([value ? 1 : 0]) : Buffer.from(value ? 't' : 'f'), format };
  }
  if (!binary) return { bytes: Buffer.from(String(value)), format };
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return { bytes, format };
}

/** The bytes of one message of a flow. `text` puts placeholders in and encodes. */
export function encodeFlowItem(item: FlowItem, text: (text: string) => Buffer): Buffer {
  switch (item.op) {
    case 'query':
      return frontend.query(text(item.sql));
    case 'parse':
      return frontend.parse(item.name, text(item.sql), item.types);
    case 'bind': {
      const formatOf = (index: number): number =>
        item.paramFormats.length === 1 ? item.paramFormats[0]! : (item.paramFormats[index] ?? 0);
      return frontend.bind({
        portal: item.portal,
        statement: item.statement,
        values: item.params.map((value, index) => encodeParameter(value, formatOf(index) === 1, text).bytes),
        valueFormats: item.paramFormats,
        resultFormats: item.resultFormats,
      });
    }
    case 'describe':
      return frontend.describe(item.kind, item.name);
    case 'close':
      return frontend.close(item.kind, item.name);
    case 'execute':
      return frontend.execute(item.portal, item.maxRows);
    case 'sync':
      return frontend.sync();
    case 'flush':
    case 'flush-and-wait':
      return frontend.flush();
  }
}

/** How many messages end the answers to these, as long as none fails: what to wait for after a Flush. */
export function expectedAnswers(items: readonly FlowItem[]): number {
  return items.filter((item) => ['parse', 'bind', 'describe', 'close', 'execute'].includes(item.op)).length;
}

/** Types of the messages that end an answer: complete, described, suspended, empty. */
export const ANSWER_ENDS = new Set(['1', '2', '3', 'T', 'n', 'C', 's', 'I']);
