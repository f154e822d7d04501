import { connect, createServer, type OnReadOpts, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Contender } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import { ProcessMeter } from '../measure/processMeter.js';
import { startChild, waitFor } from './children.js';

/**
 * The least that a relay in Node has to do. Clients must not ask for encryption. This file is the program as well:
 * `node bareRelay.js PORT` relays to 127.0.0.1:PORT.
 */
export interface BareRelay {
  readonly contender: Contender;
  stop(): Promise<void>;
}

const PROGRAM = fileURLToPath(import.meta.url);
const BUFFER_BYTES = 64 * 1024;
const NEEDLE = Buffer.from('dblink');
const QUERY = 0x51;
const PARSE = 0x50;
const HEADER_BYTES = 5;
const NOTHING = Buffer.alloc(0);

export async function startBareRelay(server: { readonly port: number }): Promise<BareRelay> {
  const child = await startChild(process.execPath, [PROGRAM, String(server.port)]);
  const port = await waitFor(child, 'the bare relay', async () => {
    const [, listening] = /^port (\d+)$/m.exec(child.log()) ?? [];
    if (listening === undefined) throw new Error('it does not listen yet');
    return Number(listening);
  });
  const contender: Contender = {
    name: 'bare',
    host: '127.0.0.1',
    port,
    meter: new ProcessMeter(child.pid),
  };
  await (await Connection.open(contender.host, port)).end();
  return { contender, stop: () => child.stop('SIGTERM') };
}

/** Walks over the messages of one direction and looks for `dblink` in Query and Parse. */
export class MessageWalk {
  /** How many pieces of such messages contained it. */
  found = 0;
  /** Bytes of the message that are still to come. */
  #left = 0;
  /** Bytes of the header that have come, and what they say so far. */
  #headerBytes: number;
  #type = 0;
  #length = 0;

  /** @param startup the first message has no type, as the client's */
  constructor(startup: boolean) {
    this.#headerBytes = startup ? 1 : 0;
  }

  take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left);
        if (this.#type === QUERY || this.#type === PARSE) {
          const hit = chunk.indexOf(NEEDLE, at);
          if (hit >= 0 && hit < end) this.found++;
        }
        this.#left -= end - at;
        at = end;
      } else if (this.#headerBytes === 0 && chunk.length - at >= HEADER_BYTES) {
        this.#type = chunk[at]!;
        this.#left = chunk.readInt32BE(at + 1) - 4;
        at += HEADER_BYTES;
      } else {
        const byte = chunk[at++]!;
        if (this.#headerBytes === 0) this.#type = byte;
        else this.#length = this.#length * 256 + byte;
        if (++this.#headerBytes === HEADER_BYTES) {
          this.#left = this.#length - 4;
          this.#headerBytes = this.#length = 0;
        }
      }
    }
  }
}

/** Node's internals of a socket, as far as the handle's taking over needs them. */
interface WithHandle {
  _handle: unknown;
}

/**
 * Reads into one buffer over and over, and writes what it has read to the other side. What could not be written at once is still in
 * the buffer: nothing more is read before it is gone.
 */
function readInto(walk: MessageWalk, from: () => Socket, to: () => Socket): OnReadOpts {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  return {
    buffer,
    callback: (length) => {
      const chunk = buffer.subarray(0, length);
      const other = to();
      walk.take(chunk);
      other.write(chunk);
      if (other.writableLength === 0) return true;
      other.write(NOTHING, () => from().resume());
      return false;
    },
  };
}

function serve(targetPort: number): void {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (accepted) => {
    // A socket that is accepted cannot be told to read into a buffer. A new one on the same handle can.
    const handle = (accepted as unknown as WithHandle)._handle;
    (accepted as unknown as WithHandle)._handle = null;
    const onServerRead = readInto(
      new MessageWalk(false),
      () => upstream,
      () => client,
    );
    const onClientRead = readInto(
      new MessageWalk(true),
      () => client,
      () => upstream,
    );
    const upstream = connect({ host: '127.0.0.1', port: targetPort, noDelay: true, onread: onServerRead });
    const options = { handle, onread: onClientRead } as ConstructorParameters<typeof Socket>[0];
    const client = new Socket(options);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.end());
    upstream.on('close', () => client.end());
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') process.stderr.write(`port ${address.port}\n`);
  });
}

if (process.argv[1] === PROGRAM) serve(Number(process.argv[2]));
