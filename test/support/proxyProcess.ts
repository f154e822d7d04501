import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The proxy as it is started by its operator: a process of its own, which can be measured. */
export interface ProxyProcess {
  readonly port: number;
  readonly child: ChildProcess;
  /** Bytes that it holds: resident memory, and what waits in its sockets' buffers in the kernel. */
  memory(): number;
  /** Ends it and gives the exit code. */
  stop(): Promise<number | null>;
}

/** Whether the system tells enough about another process for `memory`. */
export const canMeasure = process.platform === 'linux';

/** Starts `bin/dblink-proxy` on a free port, with further arguments. */
export async function startProxyProcess(
  primary: string,
  args: readonly string[] = [],
): Promise<ProxyProcess> {
  // This file runs in dist/test/support.
  const program = fileURLToPath(new URL('../../../bin/dblink-proxy', import.meta.url));
  const child = spawn(
    process.execPath,
    [program, 'start', '--listen', '127.0.0.1:0', '--primary', primary, ...args],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] } },
  );
  const said: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the proxy ended with ${code}: ${said.join('\n')}`)));
    createInterface({ input: child.stderr! }).on('line', (line) => {
      said.push(line);
      const address = /"addresses":\[\{[^}]*"port":(\d+)/.exec(line);
      if (address !== null) resolve(Number(address[1]));
    });
  });
  const pid = child.pid!;
  return {
    port,
    child,
    memory: () => residentBytes(pid) + socketBufferBytes(pid),
    async stop() {
      if (child.exitCode !== null) return child.exitCode;
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = (await exit) as [number | null];
      return code;
    },
  };
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** What waits in the kernel to be read by this process, or to be acknowledged by its peers. */
function socketBufferBytes(pid: number): number {
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // Closed since the directory was read.
    }
  }
  let bytes = 0;
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (!inodes.has(fields[9] ?? '')) continue;
    for (const queue of (fields[4] ?? '').split(':')) bytes += Number.parseInt(queue, 16);
  }
  return bytes;
}
