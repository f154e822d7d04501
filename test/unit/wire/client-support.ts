import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { after } from 'node:test';
import type { ErrorFields } from '../../../src/wire/errors.js';
import {
  type ConnectOptions,
  type FieldDescription,
  parseDataRow,
  parseRowDescription,
  type QueryHandler,
  WireClient,
} from '../../../src/wire/outbound/index.js';
import { Backend } from '../../../src/wire/protocol.js';
import { MessageWriter } from '../../../src/wire/writer.js';
import { soon } from '../../support/eventually.js';

/** Connects as postgres, without TLS unless stated. */
export const connectTo = (
  address: ConnectOptions['address'],
  options: Partial<ConnectOptions> = {},
): Promise<WireClient> =>
  WireClient.connect({
    address,
    tls: { mode: 'disable' },
    startup: [
      ['user', 'postgres'],
      ['database', 'postgres'],
    ],
    ...options,
  });

/** Everything that a query gave, in order. */
export interface Collected {
  readonly columns: (readonly FieldDescription[])[];
  readonly rows: (string | null)[][];
  readonly tags: string[];
  readonly errors: ErrorFields[];
  readonly events: string[];
}

/** A handler that collects, and what it has collected. */
export function collector(): { readonly handler: QueryHandler; readonly got: Collected } {
  const got: Collected = { columns: [], rows: [], tags: [], errors: [], events: [] };
  const handler: QueryHandler = {
    rowDescription(message) {
      got.columns.push(parseRowDescription(Buffer.from(message)));
      got.events.push('columns');
      return 'rows';
    },
    row(message) {
      got.rows.push(parseDataRow(message).map((value) => value?.toString('latin1') ?? null));
      got.events.push('row');
    },
    commandComplete(tag) {
      got.tags.push(tag);
      got.events.push(tag);
    },
    emptyQuery: () => void got.events.push('empty'),
    error(fields) {
      got.errors.push(fields);
      got.events.push(`error ${fields.sqlstate}`);
    },
    copyOut: () => void got.events.push('copyOut'),
    copyData: (bytes) => void got.events.push(`data ${bytes.toString('latin1')}`),
  };
  return { handler, got };
}

/** Runs a simple query and returns what it gave. */
export async function run(client: WireClient, sql: string | Buffer): Promise<Collected> {
  const { handler, got } = collector();
  await client.query(Buffer.from(sql), handler);
  return got;
}

export const message = {
  authentication: (code: number, body: Uint8Array | string = ''): Buffer =>
    new MessageWriter(Backend.authentication).int32(code).bytes(Buffer.from(body)).end(),
  key: (processId = 7, key: Uint8Array = Buffer.from([1, 2, 3, 4])): Buffer =>
    new MessageWriter(Backend.backendKeyData).int32(processId).bytes(key).end(),
  parameter: (name: string, value: string): Buffer =>
    new MessageWriter(Backend.parameterStatus).cstring(name).cstring(value).end(),
  ready: (status = 'I'): Buffer => new MessageWriter(Backend.readyForQuery).byte(status.charCodeAt(0)).end(),
  columns: (...names: string[]): Buffer => {
    const writer = new MessageWriter(Backend.rowDescription).int16(names.length);
    for (const name of names) writer.cstring(name).int32(0).int16(0).int32(25).int16(-1).int32(-1).int16(0);
    return writer.end();
  },
  row: (...values: (string | null)[]): Buffer => {
    const writer = new MessageWriter(Backend.dataRow).int16(values.length);
    for (const value of values) writer.value(value === null ? null : Buffer.from(value));
    return writer.end();
  },
  complete: (tag: string): Buffer => new MessageWriter(Backend.commandComplete).cstring(tag).end(),
  error: (severity: string, sqlstate: string, text: string): Buffer =>
    new MessageWriter(Backend.errorResponse)
      .cstring(`S${severity}`)
      .cstring(`C${sqlstate}`)
      .cstring(`M${text}`)
      .byte(0)
      .end(),
  notification: (processId: number, channel: string, payload: string): Buffer =>
    new MessageWriter(Backend.notificationResponse).int32(processId).cstring(channel).cstring(payload).end(),
  /** A header that claims whatever it likes. */
  header: (type: string, length: number): Buffer => {
    const header = Buffer.alloc(5);
    header.write(type, 'latin1');
    header.writeInt32BE(length | 0, 1);
    return header;
  },
};

/** What a server sends to let a client in. */
export const WELCOME = Buffer.concat([message.authentication(0), message.key(), message.ready()]);

/** A server that does what a test says. */
export interface ScriptedServer {
  readonly port: number;
  /** Connections that were accepted, also those that have ended. */
  readonly sockets: readonly Socket[];
  close(): Promise<void>;
}

const scriptedServers = new Set<ScriptedServer>();

// Also those that a failed test has left open, which would keep the process from ending.
after(() => Promise.all([...scriptedServers].map((server) => server.close())));

/** Starts a server on a free port; `behave` is called with every connection and its number from 0. */
export async function scriptedServer(
  behave: (socket: Socket, number: number) => void,
): Promise<ScriptedServer> {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
    behave(socket, sockets.length - 1);
    // The end of a connection is only seen by who reads.
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const scripted: ScriptedServer = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sockets,
    close: async () => {
      scriptedServers.delete(scripted);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  scriptedServers.add(scripted);
  return scripted;
}

/** A server that lets everybody in and then sends `answer` for the first query. */
export const answering = (answer: Buffer, end = false): Promise<ScriptedServer> =>
  scriptedServer((socket) => {
    socket.once('data', () => {
      socket.write(WELCOME);
      socket.once('data', () => {
        if (end) socket.end(answer);
        else socket.write(answer);
      });
    });
  });

/** A port on which nobody listens. */
export async function unusedPort(): Promise<number> {
  const server = await scriptedServer(() => {});
  await server.close();
  return server.port;
}

/** Opens and closes a connection, to know that a server still lives. */
export const reachable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

/** Sockets and timers that the process holds; the test runner has timers of its own, so compare with a base line. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (/^(TCPSocketWrap|PipeWrap|TLSWrap|Timeout|TCPConnectWrap)$/.test(kind)) {
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
  }
  return counts;
}

/**
 * Runs something and waits until sockets and timers are as they were before it, which has to be soon.
 * @throws when they are not
 */
export async function leavesNothing(action: () => Promise<void>): Promise<void> {
  const before = held();
  await action();
  await soon('nothing is left behind', () => {
    const left = Object.entries(held()).filter(([kind, count]) => count > (before[kind] ?? 0));
    if (left.length > 0) throw new Error(`left behind: ${JSON.stringify(Object.fromEntries(left))}`);
  });
}
