import { createSocket } from 'node:dgram';

/** What a name server on loopback answers: addresses, or how it fails. */
export type NameAnswer = readonly string[] | 'silent' | 'nxdomain' | 'servfail';

export interface NameServer {
  /** As the resolver takes it: `127.0.0.1:port`. */
  readonly address: string;
  /** Questions so far, as `name type`. */
  readonly questions: readonly string[];
  stop(): Promise<void>;
}

const TYPE_A = 1;
const TYPE_AAAA = 28;
const RCODES = { nxdomain: 3, servfail: 2 } as const;

/** Starts a name server on a free port; a name that `answers` does not have does not exist. */
export async function nameServer(answers: (name: string) => NameAnswer | undefined): Promise<NameServer> {
  const questions: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const { name, type, end } = question(query);
    questions.push(`${name} ${type === TYPE_A ? 'A' : 'AAAA'}`);
    const answer = answers(name) ?? 'nxdomain';
    if (answer === 'silent') return;
    const addresses =
      typeof answer === 'string'
        ? []
        : answer.filter((address) => address.includes(':') === (type === TYPE_AAAA));
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180 | (typeof answer === 'string' ? RCODES[answer] : 0), 2);
    header.writeUInt16BE(addresses.length, 6);
    header.writeUInt32BE(0, 8);
    const records = addresses.map((address) => record(address, type));
    socket.send(Buffer.concat([header, query.subarray(12, end), ...records]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    stop: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length !== 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function record(address: string, type: number): Buffer {
  const data =
    type === TYPE_A
      ? Buffer.from(address.split('.').map(Number))
      : Buffer.from(
          address
            .split(':')
            .flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
        );
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(1, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
