import { connect, createServer, type Socket } from 'node:net';
import type { Choices } from './choices.js';
import { change, decode, encode, type Piece, trace } from './pieces.js';

/** What a meddler does with the answers of a server, decided before they come. */
export interface Meddling {
  readonly choices: Choices;
  /** Whether a connection with this startup packet is meddled with. */
  readonly concerns: (startup: Buffer) => boolean;
  /** Numbers of the messages, counted on each connection, at which something is changed. */
  readonly at: ReadonlySet<number>;
  /** Messages that no server would send here. */
  readonly donors: readonly Piece[];
}

/** A relay in front of a server: it changes what the server says, and can end all connections. */
export interface Meddler {
  readonly port: number;
  meddling: Meddling | undefined;
  /** The server is away: how each connection ends that comes meanwhile. */
  away: 'end' | 'reset' | undefined;
  /** When anything passed last. */
  readonly silentMs: () => number;
  /** Ends all connections that are open now. */
  cut(how: 'end' | 'reset'): void;
  readonly open: () => number;
  stop(): Promise<void>;
}

function endSocket(socket: Socket, how: 'end' | 'reset'): void {
  if (how === 'end') socket.end();
  else socket.resetAndDestroy();
}

export async function startMeddler(server: {
  readonly host: string;
  readonly port: number;
}): Promise<Meddler> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let last = performance.now();
  const meddler: Pick<Meddler, 'meddling' | 'away'> = { meddling: undefined, away: undefined };

  const listener = createServer({ noDelay: true }, (client) => {
    if (meddler.away !== undefined) {
      client.on('error', () => {});
      endSocket(client, meddler.away);
      client.resume();
      return;
    }
    const upstream = connect({ port: server.port, host: server.host, noDelay: true });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    let active: Meddling | undefined;
    let started = false;
    let pending: Buffer = Buffer.alloc(0);
    let number = 0;
    client.on('data', (chunk) => {
      last = performance.now();
      if (!started) {
        started = true;
        active = meddler.meddling?.concerns(chunk) === true ? meddler.meddling : undefined;
      }
      if (!upstream.write(chunk)) {
        client.pause();
        upstream.once('drain', () => client.resume());
      }
    });
    upstream.on('data', (chunk) => {
      last = performance.now();
      const out = active === undefined ? chunk : meddle(chunk, active);
      if (out.length > 0 && !client.write(out)) {
        upstream.pause();
        client.once('drain', () => upstream.resume());
      }
    });
    const meddle = (chunk: Buffer, { at, choices, donors }: Meddling): Buffer => {
      // The answer to a request for encryption has no length.
      if (number === 0 && pending.length === 0 && chunk.length === 1) return chunk;
      const { pieces, rest } = decode(Buffer.concat([pending, chunk]));
      pending = Buffer.from(rest);
      const out: Buffer[] = [];
      for (const piece of pieces) {
        if (!at.has(number++)) out.push(encode(piece));
        else {
          const changed = change([piece], donors, choices);
          trace([piece], `${number - 1} was`);
          trace(changed, `${number - 1} is`);
          out.push(...changed.map(encode));
        }
      }
      return Buffer.concat(out);
    };
    const over = (): void => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) socket.on('error', () => {}).on('close', over);
    client.on('end', () => upstream.end());
    upstream.on('end', () => client.end());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  return Object.assign(meddler, {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    silentMs: () => performance.now() - last,
    cut(how: 'end' | 'reset') {
      for (const [client, upstream] of pairs) {
        endSocket(client, how);
        upstream.destroy();
      }
    },
    open: () => pairs.size,
    async stop() {
      for (const [client, upstream] of pairs) {
        client.destroy();
        upstream.destroy();
      }
      await new Promise((resolve) => listener.close(resolve));
    },
  });
}
