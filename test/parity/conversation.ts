import { frontend } from '../support/wire.js';

/** A part of a conversation: what the client sends, and which messages it waits for before it goes on. */
export interface Step {
  readonly send: Buffer;
  /** Type of message to wait for; `Z` unless stated. The empty string waits for nothing. */
  readonly until?: string;
  /** How many of them; 1 unless stated. */
  readonly count?: number;
}

/** What a client says from its startup packet on; a Terminate follows. */
export interface Conversation {
  readonly name: string;
  /** Parameters of the startup packet beside the user; the database is `parity` unless stated. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
  /** The answers depend on the client's waiting: not to be sent all at once. */
  readonly interactive?: boolean;
  /** The client can only be served from this major version on. */
  readonly since?: number;
}

/** Messages sent together, whose answers are awaited up to as many ReadyForQuery as there are Query, Sync and FunctionCall. */
export function say(...messages: readonly Buffer[]): Step {
  const count = messages.filter((message) => 'QSF'.includes(message.toString('latin1', 0, 1))).length;
  return { send: Buffer.concat(messages), count, ...(count === 0 && { until: '' }) };
}

/** Messages sent together that must be answered by a message of this type. */
export const ask = (until: string, ...messages: readonly Buffer[]): Step => ({
  send: Buffer.concat(messages),
  until,
});

export const { query, parse, bind, describe, execute, close, flush, sync, copyData, copyDone, copyFail } =
  frontend;

/** A conversation of simple queries, each waited for. */
export const queries = (name: string, ...sql: readonly (string | Buffer)[]): Conversation => ({
  name,
  steps: sql.map((text) => say(query(text))),
});

/** Parse, Bind, Describe and Execute of one statement, without a Sync. */
export const extended = (
  sql: string | Buffer,
  values: readonly (Buffer | null)[] = [],
  maxRows = 0,
): Buffer => Buffer.concat([parse('', sql), bind({ values }), describe('P', ''), execute('', maxRows)]);

/** A statement that succeeds, and one that fails when it is executed. */
export const one = extended('SELECT 1');
export const failing = extended('SELECT 1/0');

/** FunctionCall: arguments and result in binary. */
export function functionCall(oid: number, args: readonly (Buffer | null)[], resultFormat = 1): Buffer {
  const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
  const values = args.map((value) =>
    value === null ? int32(-1) : Buffer.concat([int32(value.length), value]),
  );
  const body = Buffer.concat([
    int32(oid),
    int16(1),
    int16(1),
    int16(args.length),
    ...values,
    int16(resultFormat),
  ]);
  return Buffer.concat([Buffer.from('F'), int32(body.length + 4), body]);
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export const text = (value: string): Buffer => Buffer.from(value);
export const latin1 = (value: string): Buffer => Buffer.from(value, 'latin1');

/** What the conversations find in the database `parity`; they leave it as it is. */
export const FIXTURE = `
  CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(6,2) CHECK (price >= 0), data bytea);
  INSERT INTO item VALUES (1, 'one', 1.50, '\\x00ff'), (2, 'zwei €', 2, NULL), (3, 'drei 😀', NULL, '\\x');
  CREATE TABLE copied (id int PRIMARY KEY, note text);
  CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
  CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
  CREATE TYPE mood AS ENUM ('gut', 'schlecht');
  CREATE FUNCTION complain() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      RAISE NOTICE 'first' USING DETAIL = 'a detail', HINT = 'a hint';
      RAISE WARNING 'second';
      RETURN 7;
    END $$;
  CREATE FUNCTION fail(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'number %', n USING ERRCODE = 'P4711', DETAIL = 'd', HINT = 'h', SCHEMA = 's', TABLE = 't',
        COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'y';
    END $$;
`;
