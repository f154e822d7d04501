import type { Decoded, Field } from './decode.js';

/**
 * The closed list of what is made equal before two conversations are compared: process ids, ports, OIDs and cancel
 * keys, which no two servers share, and one order that the extension leaves to a hash table. Nothing else may be added
 * here to make a test pass; where the proxy differs from the extension on purpose, see known-differences.ts.
 */

/** What is peculiar to one side. */
export interface SideFacts {
  /** Port numbers by what listens there, for example `remote`. All have five digits, so that lengths agree. */
  readonly ports: ReadonlyMap<string, string>;
  /** Names of OIDs from 16384 on, as the side's own catalogue gives them. */
  readonly objectNames: ReadonlyMap<string, string>;
}

interface Rule {
  readonly what: string;
  readonly applies: (message: Decoded, field: string) => boolean;
  readonly replace: (value: string, facts: SideFacts) => string;
}

/** Fields of errors and notices that may name a port. An SQLSTATE, a line or a position is a number that only looks like one. */
const PROSE: ReadonlySet<string> = new Set(['message', 'detail', 'hint', 'context', 'internal query']);

const RULES: readonly Rule[] = [
  {
    what: 'process id of the session and of a notifying session',
    applies: (message, field) =>
      field === 'pid' && (message.name === 'BackendKeyData' || message.name === 'NotificationResponse'),
    replace: () => '<pid>',
  },
  {
    what: 'cancel key: random, but its length is compared',
    applies: (message, field) => field === 'key' && message.name === 'BackendKeyData',
    replace: (value) => `<${value.length} bytes>`,
  },
  {
    what: 'ports of the servers, wherever text may name them',
    applies: (message, field) =>
      message.name === 'DataRow' ||
      ((message.name === 'ErrorResponse' || message.name === 'NoticeResponse') && PROSE.has(field)),
    replace: (value, facts) => {
      let text = value;
      for (const [label, port] of facts.ports) {
        // Not in a long number in hexadecimal, where any five digits can be.
        text = text.replace(new RegExp(`(?<![\\da-f])${port}(?![\\da-f])`, 'g'), `<${label} port>`);
      }
      return text;
    },
  },
  {
    what: 'OIDs that are given out at run time: replaced by the name of the type or relation',
    applies: (message, field) =>
      (message.name === 'RowDescription' || message.name === 'ParameterDescription') &&
      (field.endsWith(' type') || field.endsWith(' table')),
    replace: (value, facts) =>
      Number(value) < 16384 ? value : (facts.objectNames.get(value) ?? '<unknown OID>'),
  },
];

/** Column that reports the names of open connections; their order is that of a hash table ("arbitrary", says the manual). */
const CONNECTIONS_COLUMN = 'dblink_get_connections';

/** What the last RowDescription said; the rows of a statement described before it was bound come in a later exchange. */
interface Column {
  readonly name: string | null;
  readonly type: string | null;
}

/** Applies the list to the exchanges of one conversation, which must come in their order. */
export function normaliser(facts: SideFacts): (messages: readonly Decoded[]) => readonly Decoded[] {
  let columns: readonly Column[] = [];
  return (messages) =>
    messages.map((message) => {
      if (message.name === 'RowDescription') columns = described(message);
      const fields = message.fields.map(([name, value], index): Field => {
        if (value === null) return [name, value];
        let text = value;
        for (const rule of RULES) if (rule.applies(message, name)) text = rule.replace(text, facts);
        return [name, message.name === 'DataRow' ? normaliseValue(text, columns[index], facts) : text];
      });
      return { name: message.name, fields };
    });
}

function described(message: Decoded): readonly Column[] {
  const values = (suffix: string): (string | null)[] =>
    message.fields.filter(([name]) => name.endsWith(suffix)).map(([, value]) => value);
  const types = values(' type');
  return values(' name').map((name, index) => ({ name, type: types[index] ?? null }));
}

/** The two rules for values that depend on their column: names of connections, and element types of binary arrays. */
function normaliseValue(text: string, column: Column | undefined, facts: SideFacts): string {
  const binaryArray = text.length >= 12 && text.startsWith('\0\0\0');
  if (column?.name === CONNECTIONS_COLUMN) return binaryArray ? sortedBinaryArray(text) : sortedArray(text);
  if (!binaryArray || column?.type === undefined || Number(column.type) < 16384) return text;
  // An array names the type of its elements by OID behind the number of dimensions and the flags.
  const element = facts.objectNames.get(String(Buffer.from(text.slice(8, 12), 'latin1').readUInt32BE(0)));
  return element === undefined ? text : `${text.slice(0, 8)}<${element}>${text.slice(12)}`;
}

/** Elements of a one-dimensional text[] in text format, sorted; quoted elements stay whole. */
function sortedArray(text: string): string {
  if (!/^\{.+\}$/s.test(text)) return text;
  const elements = text.slice(1, -1).match(/"(?:[^"\\]|\\.)*"|[^,]+/g) ?? [];
  return `{${elements.sort().join(',')}}`;
}

/** The same in binary format: 20 bytes of header, then elements with their lengths. */
function sortedBinaryArray(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  const elements: string[] = [];
  for (let offset = 20; offset + 4 <= bytes.length; ) {
    const end = offset + 4 + Math.max(bytes.readInt32BE(offset), 0);
    elements.push(bytes.toString('latin1', offset, end));
    offset = end;
  }
  return text.slice(0, 20) + elements.sort().join('');
}
