import type { Frame } from '../../support/wire.js';
import { type Decoded, decode, type Field } from './decode.js';
import { type ClientEncoding, display } from './encoding.js';
import { type KnownDifference, reconcile, STYLE_REPORTS, withLateStyleReports } from './known-differences.js';
import { normaliser, type SideFacts } from './normalise.js';

/** What was sent in one flight, and all that came back until the server was ready or silent. */
export interface Exchange {
  readonly label: string;
  /** Which step of the case it belongs to, if it is one. */
  readonly step?: number;
  readonly frames: readonly Frame[];
}

/** One run of a case on one side. */
export interface Conversation {
  readonly exchanges: readonly Exchange[];
  readonly facts: SideFacts;
}

/** The first difference between two conversations. */
export interface Difference {
  readonly exchange: string;
  /** What differs, without values: equal for all differences of the same kind. */
  readonly what: string;
  readonly extension: string;
  readonly proxy: string;
  /** Both message lists side by side, the first difference marked. */
  readonly report: string;
}

export interface CompareOptions {
  readonly encoding: ClientEncoding;
  /** Of the servers. */
  readonly major: number;
  readonly differs?: KnownDifference | undefined;
}

/** Compares message by message and field by field; undefined if nothing differs. */
export function compare(
  extension: Conversation,
  proxy: Conversation,
  options: CompareOptions,
): Difference | undefined {
  const count = Math.max(extension.exchanges.length, proxy.exchanges.length);
  const sides: Sides = [prepareSide(extension, options), prepareSide(proxy, options)];
  for (let index = 0; index < count; index += 1) {
    const [left, right] = [extension.exchanges[index], proxy.exchanges[index]];
    if (left === undefined || right === undefined || left.label !== right.label) {
      const [a, b] = [left?.label ?? '(nothing sent)', right?.label ?? '(nothing sent)'];
      return {
        exchange: a,
        what: 'course of the conversation',
        extension: a,
        proxy: b,
        report: `the sides went different ways:\n  extension: ${a}\n  proxy: ${b}`,
      };
    }
    const difference = compareExchange(left, right, sides, options);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

interface PreparedSide {
  readonly facts: SideFacts;
  readonly normalise: (messages: readonly Decoded[]) => readonly Decoded[];
}
type Sides = readonly [extension: PreparedSide, proxy: PreparedSide];

function prepareSide({ facts }: Conversation, { major }: CompareOptions): PreparedSide {
  const normalise = normaliser(facts);
  if (!STYLE_REPORTS.applies(major)) return { facts, normalise };
  const reportLate = withLateStyleReports();
  return { facts, normalise: (messages) => reportLate(normalise(messages)) };
}

function compareExchange(
  left: Exchange,
  right: Exchange,
  [leftSide, rightSide]: Sides,
  { encoding, major, differs }: CompareOptions,
): Difference | undefined {
  const prepare = (
    { frames }: { readonly frames: readonly Frame[] },
    side: PreparedSide,
  ): readonly Decoded[] => side.normalise(frames.map(decode));
  if (
    sameBytes(left.frames, right.frames) &&
    !isPeculiar(left.frames, [leftSide.facts, rightSide.facts]) &&
    !STYLE_REPORTS.applies(major)
  ) {
    // Rows in a later exchange may be described in this one.
    const descriptions = { frames: left.frames.filter(({ type }) => type === 'T') };
    prepare(descriptions, leftSide);
    prepare(descriptions, rightSide);
    return undefined;
  }
  const [extension, proxy] = reconcile(prepare(left, leftSide), prepare(right, rightSide), differs);
  for (let index = 0; index < Math.max(extension.length, proxy.length); index += 1) {
    const found = compareMessages(extension[index], proxy[index], encoding);
    if (found !== undefined) {
      return {
        exchange: left.label,
        ...found,
        report: sideBySide(left.label, extension, proxy, index, encoding),
      };
    }
  }
  return undefined;
}

/** Most exchanges agree to the byte and need not be taken apart. */
function sameBytes(left: readonly Frame[], right: readonly Frame[]): boolean {
  return (
    left.length === right.length &&
    left.every((frame, index) => frame.type === right[index]?.type && frame.body.equals(right[index].body))
  );
}

/** Whether the bytes mention an OID or a port that stands for something else on the other side. */
function isPeculiar(frames: readonly Frame[], sides: readonly SideFacts[]): boolean {
  if (sides.some(({ objectNames }) => objectNames.size > 0)) return true;
  const ports = sides.flatMap((facts) => [...facts.ports.values()]);
  return frames.some(({ type, body }) => 'END'.includes(type) && ports.some((port) => body.includes(port)));
}

function compareMessages(
  extension: Decoded | undefined,
  proxy: Decoded | undefined,
  encoding: ClientEncoding,
): Omit<Difference, 'exchange' | 'report'> | undefined {
  if (extension?.name !== proxy?.name) {
    const name = (message: Decoded | undefined): string =>
      message === undefined ? '(no message)' : printMessage(message, encoding);
    return {
      what: `${extension?.name ?? 'no message'} became ${proxy?.name ?? 'no message'}`,
      extension: name(extension),
      proxy: name(proxy),
    };
  }
  const [left, right] = [extension?.fields ?? [], proxy?.fields ?? []];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const [a, b] = [left[index], right[index]];
    if (a?.[0] === b?.[0] && a?.[1] === b?.[1]) continue;
    return {
      what: `${extension?.name}: ${a?.[0] ?? `additional ${b?.[0]}`}`,
      extension: printField(a, encoding),
      proxy: printField(b, encoding),
    };
  }
  return undefined;
}

function printField(field: Field | undefined, encoding: ClientEncoding): string {
  if (field === undefined) return '(absent)';
  return field[1] === null ? `${field[0]} NULL` : `${field[0]} "${display(field[1], encoding)}"`;
}

function printMessage(message: Decoded, encoding: ClientEncoding): string {
  return [message.name, ...message.fields.map((field) => printField(field, encoding))].join(' · ');
}

/** Both lists in full, one message under the other where they agree, both where they do not. */
function sideBySide(
  label: string,
  extension: readonly Decoded[],
  proxy: readonly Decoded[],
  first: number,
  encoding: ClientEncoding,
): string {
  const lines = [`sent: ${label}`];
  const print = (message: Decoded | undefined): string =>
    message === undefined ? '(no message)' : printMessage(message, encoding);
  for (let index = 0; index < Math.max(extension.length, proxy.length); index += 1) {
    const [left, right] = [print(extension[index]), print(proxy[index])];
    const mark = index === first ? '>>' : '  ';
    if (left === right) lines.push(`${mark}     both: ${left}`);
    else lines.push(`${mark}extension: ${left}`, `${mark}    proxy: ${right}`);
  }
  return lines.join('\n');
}
