import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CLOSED } from '../support/wire.js';

const PROGRAM = fileURLToPath(new URL('world/deadNetwork.js', import.meta.url));

/** How probes follow one another is the system's business. Here they do so soon. */
const SOON = 'cd /proc/sys/net/ipv4 && echo 1 > tcp_keepalive_intvl && echo 3 > tcp_keepalive_probes';

/** Runs a program where nobody else's packets are. */
const inNamespace = (command: string): readonly [string, readonly string[]] => [
  'unshare',
  ['--net', 'sh', '-c', `ip link set lo up && ${SOON} && cd / && ${command}`],
];

function canDrop(): boolean {
  try {
    const [program, args] = inNamespace('iptables -I INPUT -p tcp --dport 1 -j DROP');
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it('connections over a dead network end by keep-alive, to remotes, to the primary and to clients', {
  skip: canDrop() ? false : 'needs the right to make a network namespace, and iptables',
}, async () => {
  const [program, args] = inNamespace(`exec '${process.execPath}' '${PROGRAM}'`);
  const { stdout } = await promisify(execFile)(program, args, { timeout: 600_000, killSignal: 'SIGKILL' });
  assert.deepEqual(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''), {
    call: '08006',
    after: '1',
    session: '08006',
    closed: CLOSED,
    client: 'gone',
  });
});
