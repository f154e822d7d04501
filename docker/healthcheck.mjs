// The image's health check: asks the proxy, where its configuration says it listens, whether it does TLS. Any answer
// will do. A connection alone would not: the kernel accepts connections for a process that hangs.
//
// Exit code 0: healthy; 1: not. The primary is not asked: restarting the proxy does not bring a primary back.
import { connect } from 'node:net';
import { loadConfig } from '../dist/src/config/index.js';

const TIMEOUT_MS = 4000;
/** SSLRequest: its length and the code 80877103 (PostgreSQL documentation, "Message Formats"). */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

function fail(reason) {
  console.log(`unhealthy: ${reason}`);
  process.exit(1);
}

function target(address) {
  if (address.kind === 'unix') return { path: address.path };
  const loopback = { '0.0.0.0': '127.0.0.1', '::': '::1' };
  return { host: loopback[address.host] ?? address.host, port: address.port };
}

const config = loadConfig({ flags: {}, env: process.env, partial: true });
const socket = connect(target(config.listen[0]));
socket.setTimeout(TIMEOUT_MS, () => fail(`no answer within ${TIMEOUT_MS} ms`));
socket.once('error', (error) => fail(error.message));
socket.once('close', () => fail('the connection was closed without an answer'));
socket.once('connect', () => socket.write(SSL_REQUEST));
socket.once('data', (answer) => {
  // 'S' or 'N'.
  if (answer[0] === 0x53 || answer[0] === 0x4e) process.exit(0);
  fail("the answer is not PostgreSQL's");
});
