import { connect } from 'node:net';
import { CLOSED, dataRowText, type Frame, frontend, TIMEOUT, WireConnection } from '../../support/wire.js';

/** Fields of an ErrorResponse or NoticeResponse by their letter. */
export function fieldsOf(frame: Frame): Readonly<Record<string, string>> {
  const parts = frame.body.toString('utf8').split('\0').filter(Boolean);
  return Object.fromEntries(parts.map((part) => [part.slice(0, 1), part.slice(1)]));
}

/**
 * An answer in short: types in order, `E:57014` for an error, `N:…` for a notice, `Z:I` for a ReadyForQuery, `C:SELECT 1`
 * for a tag, rows as `D` once however many there are; parameters and notifications left out.
 */
export function brief(frames: readonly Frame[]): string {
  const words: string[] = [];
  for (const frame of frames) {
    const { type, body } = frame;
    if (type === 'S' || type === 'A' || type === 'K' || type === 'R') continue;
    if (type === 'E' || type === 'N') words.push(`${type}:${fieldsOf(frame)['C'] ?? '?'}`);
    else if (type === 'Z') words.push(`Z:${body.toString('latin1')}`);
    else if (type === 'C') words.push(`C:${body.toString('latin1', 0, body.length - 1)}`);
    else if (type !== 'D' || words.at(-1) !== 'D') words.push(type);
  }
  return words.join(' ');
}

/** A client that speaks the protocol itself and knows its cancel key. */
export class FaultClient {
  private constructor(
    readonly wire: WireConnection,
    private readonly port: number,
    private readonly key: Buffer,
  ) {}

  /** @throws Error with the answer in short where there is no session; the connection is closed then */
  static async open(
    port: number,
    parameters: Readonly<Record<string, string>> = {},
    timeoutMs?: number,
  ): Promise<FaultClient> {
    const { connection, startup } = await WireConnection.open({
      host: '127.0.0.1',
      port,
      parameters: { user: 'postgres', database: 'postgres', ...parameters },
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    const key = startup.find(({ type }) => type === 'K');
    if (key === undefined || isOver(startup)) {
      connection.destroy();
      throw new Error(`no session: ${brief(startup)}`);
    }
    return new FaultClient(connection, port, key.body);
  }

  /** Simple query: the frames up to ReadyForQuery. */
  async query(sql: string): Promise<Frame[]> {
    this.wire.send(frontend.query(sql));
    return this.answer();
  }

  answer(readies = 1): Promise<Frame[]> {
    return this.wire.collect(readies);
  }

  /** Rows of a simple query, which must succeed. */
  rows(sql: string): Promise<(string | null)[][]> {
    return this.wire.rows(sql);
  }

  /** The messages of one statement with the extended protocol. */
  extended(sql: string): Buffer {
    return Buffer.concat([
      frontend.parse('', sql),
      frontend.bind({}),
      frontend.describe('P', ''),
      frontend.execute('', 0),
      frontend.sync(),
    ]);
  }

  /** Sends one statement by either protocol without waiting. */
  start(sql: string, protocol: Protocol): void {
    this.wire.send(protocol === 'simple' ? frontend.query(sql) : this.extended(sql));
  }

  /** Sends a CancelRequest on a connection of its own; resolves when that is closed. */
  cancel(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1');
      socket.on('error', reject);
      socket.on('close', () => resolve());
      socket.resume();
      socket.write(frontend.cancelRequest(this.key.readInt32BE(0), this.key.subarray(4)));
    });
  }

  end(): Promise<void> {
    return this.wire.end();
  }
}

export type Protocol = 'simple' | 'extended';
export const PROTOCOLS: readonly Protocol[] = ['simple', 'extended'];

/** First value of the first row. */
export function firstValue(frames: readonly Frame[]): string | null | undefined {
  const row = frames.find(({ type }) => type === 'D');
  return row && dataRowText(row.body)[0];
}

export const errorOf = (frames: readonly Frame[]): Readonly<Record<string, string>> => {
  const error = frames.find(({ type }) => type === 'E');
  if (error === undefined) throw new Error(`no error: ${brief(frames)}`);
  return fieldsOf(error);
};

export const isOver = (frames: readonly Frame[]): boolean =>
  frames.some(({ type }) => type === CLOSED || type === TIMEOUT);
