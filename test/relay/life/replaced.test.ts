import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { type LogLine, type Program, startProgram } from '../../attacks/support/program.js';
import { untilGone, untilSleeping } from '../../support/activity.js';
import { findClientTools } from '../../support/clientTools.js';
import { eventually } from '../../support/eventually.js';
import { lively } from '../../support/pace.js';
import { execute } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

const TAKEN_OVER = 'another process has taken over; this one ends when its clients have left';

/** One process after another serves the same address. All write to the log of the first one. */
describe('a proxy that is replaced', () => {
  let primary: PostgresServer;
  const programs = new Set<Program>();
  const directories: string[] = [];
  const holders: ChildProcess[] = [];

  before(async () => {
    primary = await startPostgres({ installation: await prepareBinaries({ major: 18, dblink: false }) });
    await execute(primary.url(), 'CREATE TABLE written (n int)');
  });
  afterEach(async () => {
    for (const program of programs) {
      for (const pid of successorsOf(program)) killed(pid);
      await program.kill();
    }
    programs.clear();
    for (const holder of holders.splice(0)) holder.kill('SIGKILL');
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });
  after(() => primary?.stop('immediate'));

  const url = (): string => `postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`;
  const start = async (options: Parameters<typeof startProgram>[1] = {}): Promise<Program> => {
    const program = await startProgram(url(), options);
    programs.add(program);
    return program;
  };
  const directory = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'replaced-'));
    directories.push(made);
    return made;
  };

  for (const workers of [1, 2]) {
    describe(workers === 1 ? 'of one process' : 'of several processes', () => {
      const args = ['--workers', String(workers), '--log-level', 'debug'];

      it('fails no transaction of pgbench, however often', async (t) => {
        const tools = await findClientTools(['pgbench', 'psql'], 14);
        if (tools === undefined) return t.skip('pgbench is not on this machine');
        const program = await start({ args });
        const script = join(directory(), 'script.sql');
        writeFileSync(script, 'BEGIN;\nINSERT INTO written VALUES (1);\nSELECT pg_sleep(0.01);\nEND;\n');
        await execute(primary.url(), 'TRUNCATE written');
        const [clients, transactions] = [4, 150];
        const place = ['-h', '127.0.0.1', '-p', String(program.port), '-U', 'postgres', 'postgres'];
        // A connection for each transaction: whatever is refused or cut off is a failure.
        const bench = tools.start('pgbench', [
          ...['-n', '-C', '-c', String(clients), '-t', String(transactions), '-f', script],
          ...place,
        ]);
        const said: string[] = [];
        for (const stream of [bench.stdout, bench.stderr])
          stream?.setEncoding('utf8').on('data', (text: string) => said.push(text));
        const ended = once(bench, 'close');
        let over = false;
        void ended.then(() => {
          over = true;
        });
        let current = program.pid;
        let restarts = 0;
        while (!over) {
          current = await lively('a restart', replace(program, current));
          restarts++;
        }
        const [code] = (await ended) as [number];
        assert.equal(code, 0, said.join(''));
        assert.match(said.join(''), new RegExp(`actually processed: ${clients * transactions}/`));
        assert.doesNotMatch(said.join(''), /failed transactions: [1-9]/);
        assert.deepEqual(await execute(primary.url(), 'SELECT count(*)::int FROM written'), [
          [clients * transactions],
        ]);
        t.diagnostic(`${restarts} restarts`);
        assert.ok(restarts >= 2, `${restarts} restarts`);
      });

      it('goes on with its sessions, and ends with 0 when they have left', async () => {
        const program = await start({ args });
        const exit = once(program.child, 'exit');
        const { client } = await logIn(program.port);
        await query(client, 'BEGIN; INSERT INTO written VALUES (2)');
        const successor = await replace(program, program.pid);
        const other = await logIn(program.port);
        assert.equal(
          firstValue(await query(other.client, "SELECT 'served by the other'")),
          'served by the other',
        );
        assert.notEqual(successor, program.pid);
        assert.equal(program.child.exitCode, null);
        await query(client, 'COMMIT');
        client.write(frontend.terminate());
        await client.toEnd();
        assert.deepEqual(await lively('the first process ends', exit), [0, null]);
        assert.equal(firstValue(await query(other.client, 'SELECT 3')), '3');
      });

      it('gets the cancel requests for its sessions, which come to the other one', async () => {
        const program = await start({ args });
        const { client, startup } = await logIn(program.port, { application_name: 'cancelled' });
        const key = startup.find(({ type }) => type === 'K')!.body;
        client.write(frontend.query('SELECT pg_sleep(600)'));
        await untilSleeping(primary, 'cancelled');
        // Of the process before the one before, too.
        await replace(program, await replace(program, program.pid));
        const request = frontend.cancelRequest(key.readInt32BE(0), key.subarray(4));
        const wrong = Buffer.from(request);
        wrong.writeInt32BE(~wrong.readInt32BE(12), 12);
        for (const bytes of [wrong, request]) {
          const sender = await RawClient.connect(program.port);
          sender.write(bytes);
          await sender.toEnd();
        }
        const answer = await client.until('Z');
        assert.equal(answer.find(({ type }) => type === 'E')?.fields['C'], '57014');
      });
    });
  }

  it('ends as after SIGTERM when clients stay for longer than they may', async () => {
    const program = await start({ env: { DBLINK_PROXY_TIMEOUTS_HANDOVER: '300ms' } });
    const exit = once(program.child, 'exit');
    const { client } = await logIn(program.port);
    await replace(program, program.pid);
    const last = await client.messagesToEnd();
    assert.equal(last.at(-1)?.fields['C'], '57P01');
    assert.deepEqual(await lively('the first process ends', exit), [0, null]);
  });

  it('ends at once by SIGTERM while its clients may still go on', async () => {
    const program = await start();
    const exit = once(program.child, 'exit');
    const { client } = await logIn(program.port);
    await replace(program, program.pid);
    program.child.kill('SIGTERM');
    assert.equal((await client.messagesToEnd()).at(-1)?.fields['C'], '57P01');
    assert.deepEqual(await lively('the first process ends', exit), [0, null]);
    assert.equal(firstValue(await query((await logIn(program.port)).client, 'SELECT 4')), '4');
  });

  it('has its Unix socket where it was, until the last one ends', async () => {
    const place = directory();
    const path = join(place, '.s.PGSQL.6432');
    const program = await start({ listen: place });
    assert.ok(existsSync(path));
    const exit = once(program.child, 'exit');
    const successor = await replace(program, program.pid);
    await lively('the first process ends', exit);
    await lively('a connection', once(connect(path).on('error', assert.fail), 'connect'));
    process.kill(successor, 'SIGTERM');
    await eventually('the socket is removed', () => !existsSync(path));
  });

  it('tells by HTTP at the same address, of the one that serves', async () => {
    const program = await start({ args: ['--http-listen', '127.0.0.1:0'] });
    const exit = once(program.child, 'exit');
    const { port } = await program.logged(({ msg }) => msg === 'metrics and health are told by HTTP');
    const isReady = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    assert.equal(await isReady(), 200);
    await replace(program, program.pid);
    assert.equal(await isReady(), 200);
    await lively('the first process ends', exit);
    assert.equal(await isReady(), 200);
  });

  it('goes on where the other one cannot start', async () => {
    const file = join(directory(), 'proxy.yaml');
    writeFileSync(file, 'timeouts:\n  login: 30s\n');
    const program = await start({ args: ['--config', file] });
    writeFileSync(file, 'timeouts:\n  login: never\n');
    program.child.kill('SIGUSR2');
    const { err } = await program.logged(
      ({ msg }) => msg === 'this process could not be replaced, and goes on',
    );
    assert.equal(err, 'it ended with exit code 2');
    assert.equal(firstValue(await query((await logIn(program.port)).client, 'SELECT 5')), '5');
    // What is wrong was said, and is mended.
    assert.ok(program.lines.some((line) => line.includes('proxy.yaml:2:10: timeouts.login')));
    writeFileSync(file, 'timeouts:\n  login: 30s\n');
    await replace(program, program.pid);
    await untilGone(primary, 'nobody');
  });

  it('keeps its Unix socket where the other one cannot listen everywhere', async () => {
    const sockets = directory();
    const file = join(directory(), 'proxy.yaml');
    const config = (host: string, port: number): string =>
      `databases:\n  '*':\n    primary: ${url()}\nlisten: [${sockets}, "${host}:${port}"]\n`;
    // Two addresses of which the second one is in use for whoever asks for all of the host's.
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    writeFileSync(file, config('127.0.0.1', 0));
    const program = await startConfigured(file);
    programs.add(program);
    writeFileSync(file, config('127.0.0.1', port));
    program.child.kill('SIGUSR2');
    await program.logged(({ msg }) => msg === 'this process could not be replaced, and goes on');
    holder.close();
    assert.ok(existsSync(join(sockets, '.s.PGSQL.6432')));
    const client = new Client({ host: sockets, port: 6432, user: 'postgres', database: 'postgres' });
    await client.connect();
    await client.query('SELECT 1');
    await client.end();
  });

  it('takes nobody with it that comes to serve when it was told to end', async () => {
    const program = await start();
    const { client } = await logIn(program.port);
    await query(client, 'BEGIN');
    program.child.kill('SIGUSR2');
    await program.logged(({ msg }) => msg === 'starting a process that replaces this one');
    program.child.kill('SIGTERM');
    const { err } = await program.logged(
      ({ msg }) => msg === 'this process could not be replaced, and goes on',
    );
    assert.equal(err, 'this process was told to end meanwhile');
    await query(client, 'COMMIT');
    assert.equal(await program.ended, 0);
  });

  it('listens on what the configuration names by now, and no more on what it does not', async () => {
    const [one, two] = [directory(), directory()];
    const file = join(directory(), 'proxy.yaml');
    const config = (...listen: string[]): string =>
      `databases:\n  '*':\n    primary: ${url()}\nlisten: [${listen.join(', ')}]\n`;
    writeFileSync(file, config(one));
    const program = await startConfigured(file);
    programs.add(program);
    writeFileSync(file, config(two));
    const exit = once(program.child, 'exit');
    await replace(program, program.pid);
    await lively(
      'a connection',
      once(connect(join(two, '.s.PGSQL.6432')).on('error', assert.fail), 'connect'),
    );
    await lively('the first process ends', exit);
    const refused = connect(join(one, '.s.PGSQL.6432'));
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  describe('by its supervisor', () => {
    it('takes the listening sockets of systemd, which keep connections meanwhile', async () => {
      const held = await hold(url(), 1, 2);
      holders.push(held.child);
      for (let round = 0; round < 2; round++) {
        // It waits until there is a process that accepts it.
        const early = await RawClient.connect(held.port);
        early.write(frontend.startup({ user: 'postgres' }));
        assert.equal((await early.until('Z')).at(-1)?.type, 'Z', held.said());
        const pids = [...held.said().matchAll(/"pid":(\d+),[^\n]*"msg":"listening"/g)].map(([, pid]) =>
          Number(pid),
        );
        assert.equal(pids.length, round + 1);
        process.kill(pids[round]!, 'SIGTERM');
        await eventually(
          'it accepts nothing more',
          () => held.said().split('shutting down').length === round + 2,
        );
      }
      await lively('both have ended', held.ended);
      assert.match(held.said(), /ended with 0\s[\s\S]*ended with 0/);
    });

    it('does not start with sockets that it does not know what to do with', async () => {
      const held = await hold(url(), 2, 1);
      await lively('it has ended', held.ended);
      assert.match(held.said(), /2 listening sockets came with the process, but "listen" has 1 addresses/);
      assert.match(held.said(), /ended with 1/);
    });
  });
});

/** What systemd does: it listens, accepts nothing, and starts the program with the socket, as often as it ends. */
const HOLDER = `
  const [count, times, ...command] = process.argv.slice(1);
  const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
    console.log('holds ' + server.address().port);
    for (let i = 0; i < Number(times); i++) {
      const stdio = ['ignore', 'inherit', 'inherit', server._handle.fd];
      const env = { PATH: process.env.PATH, LISTEN_FDS: count };
      const args = ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...command];
      console.log('ended with ' + require('node:child_process').spawnSync('sh', args, { stdio, env }).status);
    }
    process.exit();
  });`;

interface Held {
  readonly child: ChildProcess;
  readonly port: number;
  said(): string;
  readonly ended: Promise<unknown>;
}

/** Has a socket held, and the program started on it. @param count of sockets, as it is told @param times how often it is started */
async function hold(primary: string, count: number, times: number): Promise<Held> {
  const path = fileURLToPath(new URL('../../../../bin/dblink-proxy', import.meta.url));
  const command = [process.execPath, path, '--listen', '127.0.0.1:0', '--primary', primary];
  const child = spawn(process.execPath, ['-e', HOLDER, String(count), String(times), ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const ended = once(child, 'close');
  const port = (): number => Number(/holds (\d+)/.exec(said.join(''))?.[1]);
  await eventually('the socket is held', () => port() > 0);
  return { child, port: port(), said: () => said.join(''), ended };
}

/** Starts the program on a configuration file alone. */
async function startConfigured(file: string): Promise<Program> {
  return startProgram(undefined, { args: ['--config', file], listen: undefined });
}

/** Has the process that serves replaced. @returns the process id of the other one */
async function replace(program: Program, pid: number): Promise<number> {
  process.kill(pid, 'SIGUSR2');
  const { successor } = await program.logged(
    (line: LogLine) => line.msg === TAKEN_OVER && line['pid'] === pid,
  );
  return successor as number;
}

/** All that have come behind the first one, by the log that they share. */
const successorsOf = ({ lines }: Program): number[] =>
  lines.flatMap((line) => {
    const [, pid] = /"successor":(\d+)/.exec(line) ?? [];
    return pid === undefined ? [] : [Number(pid)];
  });

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
