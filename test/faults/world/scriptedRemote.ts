import type { Socket } from 'node:net';
import { bindSocket, CommandCode } from 'pg-server';
import { backend, type FakeConnection, fakePrimary } from '../../support/fakePrimary.js';

/** A remote that logs everybody in and then does what a script says. */
export interface ScriptedRemote {
  readonly port: number;
  readonly conninfo: string;
  /** Connections that are open now. */
  readonly open: () => number;
  close(): Promise<void>;
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'latin1');

function numbers(...values: readonly (readonly [value: number, bytes: 2 | 4])[]): Buffer {
  return Buffer.concat(
    values.map(([value, bytes]) => {
      const buffer = Buffer.alloc(bytes);
      if (bytes === 2) buffer.writeUInt16BE(value & 0xffff);
      else buffer.writeInt32BE(value | 0);
      return buffer;
    }),
  );
}

/** Backend messages as a server that keeps to the protocol sends them, and as one that does not. */
export const remote = {
  parameter: (name: string, value: string): Buffer => backend('S', Buffer.concat([text(name), text(value)])),
  ready: (status = 'I'): Buffer => backend('Z', status),
  tag: (tag: string): Buffer => backend('C', `${tag}\0`),
  error: (sqlstate: string, message: string, severity = 'ERROR'): Buffer =>
    backend('E', `S${severity}\0V${severity}\0C${sqlstate}\0M${message}\0\0`),
  notice: (message: string): Buffer => backend('N', `SNOTICE\0VNOTICE\0C00000\0M${message}\0\0`),
  /** A RowDescription of columns of this type; `count` is what it claims to have. */
  columns: (typeOids: readonly number[], count = typeOids.length): Buffer =>
    backend(
      'T',
      Buffer.concat([
        numbers([count, 2]),
        ...typeOids.map((oid, i) =>
          Buffer.concat([text(`c${i}`), numbers([0, 4], [0, 2], [oid, 4], [-1, 2], [-1, 4], [0, 2])]),
        ),
      ]),
    ),
  /** A DataRow of text values; `count` is what it claims to have. */
  row: (values: readonly (string | null)[], count = values.length): Buffer =>
    backend(
      'D',
      Buffer.concat([
        numbers([count, 2]),
        ...values.map((value) =>
          value === null
            ? numbers([-1, 4])
            : Buffer.concat([numbers([Buffer.byteLength(value), 4]), Buffer.from(value)]),
        ),
      ]),
    ),
  /** A DataRow with these lengths in front of these bytes, whatever they are. */
  lyingRow: (count: number, length: number, bytes: Buffer | string): Buffer =>
    backend('D', Buffer.concat([numbers([count, 2], [length, 4]), Buffer.from(bytes as string)])),
};

/** What a PostgreSQL 18 says at the end of a login. */
export const WELCOME = Buffer.concat([
  backend('R', '\0\0\0\0'),
  remote.parameter('client_encoding', 'UTF8'),
  remote.parameter('server_version', '18.0'),
  remote.parameter('DateStyle', 'ISO, MDY'),
  remote.parameter('IntervalStyle', 'postgres'),
  remote.parameter('TimeZone', 'UTC'),
  backend('K', '\0\0\0\x05key!'),
  remote.ready(),
]);

export interface RemoteScript {
  /** Instead of the welcome. */
  readonly login?: (connection: FakeConnection, startup: Buffer) => Promise<void> | void;
  /** Answers a query; without it the remote says nothing. */
  readonly query?: (sql: string, socket: Socket) => void;
  /** Takes a cancel request. */
  readonly cancel?: () => void;
}

/** Protocol version of a cancel request. */
const CANCEL_REQUEST = 80877102;

/** The commands of a client that is logged in, as pg-server reads them. */
function serve(socket: Socket, startup: Buffer, { query }: RemoteScript): void {
  bindSocket(socket, ({ command }) => {
    if (command.type === CommandCode.end) socket.end();
    else if (command.type === CommandCode.query) query?.(command.query, socket);
  });
  // It reads a connection from its startup packet on.
  socket.unshift(startup);
}

export async function scriptedRemote(script: RemoteScript): Promise<ScriptedRemote> {
  let open = 0;
  const server = await fakePrimary(async (connection) => {
    const { socket } = connection;
    const startup = await connection.startup();
    if (startup.readInt32BE(4) === CANCEL_REQUEST) {
      script.cancel?.();
      return void socket.end();
    }
    open++;
    socket.once('close', () => open--);
    if (script.login === undefined) socket.write(WELCOME);
    else await script.login(connection, startup);
    serve(socket, Buffer.concat([startup, connection.release()]), script);
  });
  return {
    port: server.port,
    conninfo: `host=127.0.0.1 port=${server.port} user=u sslmode=disable`,
    open: () => open,
    close: () => server.stop(),
  };
}
