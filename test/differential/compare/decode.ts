import { CLOSED, dataRowValues, type Frame, TIMEOUT } from '../../support/wire.js';

/** A message of the server taken apart: everything in it has a name and a value that can be compared and printed. */
export interface Decoded {
  readonly name: string;
  /** In the order of the bytes. Values are latin1 text of the bytes, numbers in decimal, null for NULL. */
  readonly fields: readonly Field[];
}

export type Field = readonly [name: string, value: string | null];

/** Reads a message from its start; a message that ends too early or too late is reported as malformed. */
class Body {
  #offset = 0;
  constructor(readonly bytes: Buffer) {}

  get rest(): number {
    return this.bytes.length - this.#offset;
  }

  text(): string {
    const end = this.bytes.indexOf(0, this.#offset);
    if (end < 0) throw new RangeError('text without an end');
    const text = this.bytes.toString('latin1', this.#offset, end);
    this.#offset = end + 1;
    return text;
  }

  number(size: 1 | 2 | 4): string {
    const value = this.bytes.readIntBE(this.#offset, size);
    this.#offset += size;
    return String(value);
  }

  raw(length: number): string {
    if (length < 0 || length > this.rest) throw new RangeError('bytes beyond the end');
    const text = this.bytes.toString('latin1', this.#offset, this.#offset + length);
    this.#offset += length;
    return text;
  }

  times<T>(count: number, read: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => read(index));
  }
}

/** What each field of ErrorResponse and NoticeResponse means (PostgreSQL documentation, "Error and Notice Message Fields"). */
const ERROR_FIELDS: Readonly<Record<string, string>> = {
  S: 'severity',
  V: 'severity (not localised)',
  C: 'SQLSTATE',
  M: 'message',
  D: 'detail',
  H: 'hint',
  P: 'position',
  p: 'internal position',
  q: 'internal query',
  W: 'context',
  s: 'schema',
  t: 'table',
  c: 'column',
  d: 'data type',
  n: 'constraint',
  F: 'file',
  L: 'line',
  R: 'routine',
};

function errorFields(body: Body): Field[] {
  const fields: Field[] = [];
  for (;;) {
    const code = body.raw(1);
    if (code === '\0') return fields;
    fields.push([ERROR_FIELDS[code] ?? `field ${code}`, body.text()]);
  }
}

function rowDescription(body: Body): Field[] {
  return body
    .times(Number(body.number(2)), (index): Field[] => [
      [`column ${index + 1} name`, body.text()],
      [`column ${index + 1} table`, body.number(4)],
      [`column ${index + 1} attribute`, body.number(2)],
      [`column ${index + 1} type`, body.number(4)],
      [`column ${index + 1} size`, body.number(2)],
      [`column ${index + 1} typmod`, body.number(4)],
      [`column ${index + 1} format`, body.number(2)],
    ])
    .flat();
}

function dataRow(body: Body): Field[] {
  const values = dataRowValues(body.bytes);
  body.raw(2 + values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 0));
  return values.map((value, index) => [`value ${index + 1}`, value?.toString('latin1') ?? null]);
}

function copyResponse(body: Body): Field[] {
  const format: Field = ['format', body.number(1)];
  const count = Number(body.number(2));
  return [format, ...body.times(count, (index): Field => [`column ${index + 1} format`, body.number(2)])];
}

const DECODERS: Readonly<Record<string, readonly [string, (body: Body) => Field[]]>> = {
  R: [
    'Authentication',
    (b) => [
      ['code', b.number(4)],
      ['data', b.raw(b.rest)],
    ],
  ],
  K: [
    'BackendKeyData',
    (b) => [
      ['pid', b.number(4)],
      ['key', b.raw(b.rest)],
    ],
  ],
  S: [
    'ParameterStatus',
    (b) => [
      ['parameter', b.text()],
      ['value', b.text()],
    ],
  ],
  v: [
    'NegotiateProtocolVersion',
    (b) => [
      ['version', b.number(4)],
      ['options', b.raw(b.rest)],
    ],
  ],
  Z: ['ReadyForQuery', (b) => [['status', b.raw(1)]]],
  T: ['RowDescription', rowDescription],
  D: ['DataRow', dataRow],
  C: ['CommandComplete', (b) => [['tag', b.text()]]],
  E: ['ErrorResponse', errorFields],
  N: ['NoticeResponse', errorFields],
  A: [
    'NotificationResponse',
    (b) => [
      ['pid', b.number(4)],
      ['channel', b.text()],
      ['payload', b.text()],
    ],
  ],
  t: [
    'ParameterDescription',
    (b) => b.times(Number(b.number(2)), (index): Field => [`parameter ${index + 1} type`, b.number(4)]),
  ],
  1: ['ParseComplete', () => []],
  2: ['BindComplete', () => []],
  3: ['CloseComplete', () => []],
  n: ['NoData', () => []],
  s: ['PortalSuspended', () => []],
  I: ['EmptyQueryResponse', () => []],
  G: ['CopyInResponse', copyResponse],
  H: ['CopyOutResponse', copyResponse],
  W: ['CopyBothResponse', copyResponse],
  d: ['CopyData', (b) => [['data', b.raw(b.rest)]]],
  c: ['CopyDone', () => []],
  V: ['FunctionCallResponse', (b) => [['result', b.raw(b.rest)]]],
  [CLOSED]: ['(connection closed)', () => []],
  [TIMEOUT]: ['(nothing more within the time limit)', () => []],
};

/** Takes a message apart. Never throws: what is malformed is shown as such, with its bytes. */
export function decode(frame: Frame): Decoded {
  const decoder = DECODERS[frame.type];
  if (decoder === undefined)
    return { name: `message ${frame.type}`, fields: [['bytes', frame.body.toString('hex')]] };
  const [name, read] = decoder;
  try {
    const body = new Body(frame.body);
    const fields = read(body);
    if (body.rest > 0) throw new RangeError('trailing bytes');
    return { name, fields };
  } catch {
    return { name: `malformed ${name}`, fields: [['bytes', frame.body.toString('hex')]] };
  }
}
