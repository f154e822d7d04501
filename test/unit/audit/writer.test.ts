import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AuditWriter } from '../../../src/audit/index.js';
import { eventually } from '../../support/eventually.js';

describe('the file of the audit', () => {
  let directory: string;
  const writers: AuditWriter[] = [];
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'audit-test-'));
  });
  after(async () => {
    for (const writer of writers) await writer.close(0);
    rmSync(directory, { recursive: true });
  });

  const reports: (string | undefined)[] = [];

  function open(
    file: string,
    options: { maxBytes?: number; onFull?: 'wait' | 'drop'; stuckMs?: number } = {},
  ): AuditWriter {
    reports.length = 0;
    const writer = new AuditWriter({
      file: file.startsWith('/') ? file : join(directory, file),
      maxBytes: 1000,
      onFull: 'wait',
      dropped: (lines) => `dropped ${lines}`,
      report: (error) => void reports.push(error?.message),
      ...options,
    });
    writers.push(writer);
    return writer;
  }

  const lines = (file: string): readonly string[] =>
    readFileSync(join(directory, file), 'utf8').split('\n').slice(0, -1);

  it('has every line, in order, behind what was there', async () => {
    writeFileSync(join(directory, 'order'), 'before\n');
    const writer = open('order', { maxBytes: 1e9 });
    const given = Array.from({ length: 20_000 }, (_, i) => `line ${i} ${'x'.repeat(i % 100)}`);
    for (const line of given) writer.add(line);
    assert.equal(await writer.close(10_000), 0);
    assert.deepEqual(lines('order'), ['before', ...given]);
  });

  it('is made for its owner alone, whatever the umask says', async () => {
    const before = process.umask(0);
    try {
      open('mode');
    } finally {
      process.umask(before);
    }
    assert.equal(statSync(join(directory, 'mode')).mode & 0o777, 0o600);
  });

  it('cannot be opened: the start fails', () => {
    assert.throws(() => open('no/such/directory'), { code: 'ENOENT' });
    assert.throws(() => open('.'), { code: 'EISDIR' });
  });

  it('is a pipe that nobody reads: nobody waits for it', () => {
    const path = join(directory, 'fifo');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    assert.throws(() => open('fifo'), { code: 'ENXIO' });
  });

  it('is a pipe whose reader stands still: that is told, and what waits is written when it reads again', async () => {
    const path = join(directory, 'slow');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = open('slow', { maxBytes: 1e9, stuckMs: 20 });
    const line = 'x'.repeat(999);
    // More than a pipe holds.
    for (let i = 0; i < 500; i++) writer.add(line);
    await eventually('it is told', () => assert.deepEqual(reports, ['nothing can be written']));
    let text = '';
    const part = Buffer.alloc(65_536);
    const read = (): void => {
      try {
        for (let n = readSync(reader, part); n > 0; n = readSync(reader, part))
          text += part.toString('latin1', 0, n);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      }
    };
    const reading = setInterval(read, 1);
    assert.equal(await writer.close(60_000), 0);
    clearInterval(reading);
    read();
    closeSync(reader);
    assert.ok(text === `${line}\n`.repeat(500), `${text.length} characters, not ${500 * 1000}`);
    assert.deepEqual(reports, ['nothing can be written', undefined]);
  });

  it('is opened anew after it has been moved away, and no line is lost or twice', async () => {
    const writer = open('moved', { maxBytes: 1e9 });
    const given: string[] = [];
    const add = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const line = `line ${given.length}`;
        given.push(line);
        writer.add(line);
      }
    };
    add(5000);
    renameSync(join(directory, 'moved'), join(directory, 'moved.1'));
    add(5000);
    writer.reopen();
    add(5000);
    await eventually('there is a new file', () => assert.ok(lines('moved').length > 0));
    assert.equal(await writer.close(10_000), 0);
    assert.deepEqual([...lines('moved.1'), ...lines('moved')], given);
    assert.equal(statSync(join(directory, 'moved')).mode & 0o777, 0o600);
  });

  it('is full: who makes lines has to wait until there is room, and nothing is lost', async () => {
    // Nothing can be written there, so that what waits stays.
    const writer = open('/dev/full');
    const line = 'x'.repeat(99);
    for (let i = 0; i < 9; i++) writer.add(line);
    assert.equal(writer.makesWait, false);
    writer.add(line);
    assert.equal(writer.makesWait, true);
    let waits = true;
    const waiting = writer.room().then(() => {
      waits = false;
    });
    await eventually('it is told', () => assert.equal(reports.length, 1));
    assert.match(reports[0]!, /ENOSPC/);
    // What is under way then still gets in.
    writer.add(line);
    assert.equal(writer.dropped, 0);
    assert.equal(waits, true);
    // Who cannot wait is not let in.
    writer.add(line, false);
    assert.equal(writer.dropped, 1);
    assert.equal(await writer.close(0), 12);
    await waiting;
  });

  it('is full: lines are dropped, counted, and that is told when there is room', async () => {
    const path = join(directory, 'drop');
    writeFileSync(path, '');
    const writer = open('drop', { onFull: 'drop' });
    // All of this comes before anything can be written.
    for (let i = 0; i < 30; i++) writer.add('x'.repeat(99));
    assert.equal(writer.makesWait, false);
    assert.equal(writer.dropped, 20);
    await eventually('it is told', () => assert.equal(lines('drop').at(-1), 'dropped 20'));
    writer.add('after');
    assert.equal(await writer.close(10_000), 0);
    assert.deepEqual(lines('drop').slice(10), ['dropped 20', 'after']);
  });

  it('is broken and well again: it is told twice, and nothing is lost', async () => {
    const writer = open('broken', { maxBytes: 10_000 });
    writer.add('first');
    await eventually('it is written', () => assert.deepEqual(lines('broken'), ['first']));
    rmSync(join(directory, 'broken'));
    writeFileSync(join(directory, 'file'), '');
    // A directory cannot be written to.
    spawnSync('mkdir', [join(directory, 'broken')]);
    writer.reopen();
    for (let i = 0; i < 5; i++) writer.add(`line ${i}`);
    await eventually('it is told', () => assert.equal(reports.length, 1));
    rmSync(join(directory, 'broken'), { recursive: true });
    writer.add('last');
    await eventually('it is well again', () => assert.deepEqual(reports.slice(1), [undefined]));
    assert.deepEqual(lines('broken'), ['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'last']);
    chmodSync(join(directory, 'broken'), 0o600);
  });

  it('ends in the middle of a line where the disk was full: that line comes again, whole', async () => {
    // What a file may have in all is limited for this process: the last line does not fit.
    const program = `
      import { AuditWriter } from ${JSON.stringify(new URL('../../../src/audit/index.js', import.meta.url).href)};
      process.on('SIGXFSZ', () => undefined);
      const writer = new AuditWriter({ file: process.argv[1], maxBytes: 1e6, onFull: 'wait', dropped: String, report: () => undefined });
      for (let i = 0; i < 12; i++) writer.add(String(i % 10).repeat(99));
      await writer.close(200);
      process.exit(0);`;
    const path = join(directory, 'torn');
    writeFileSync(path, '');
    // ulimit -f counts in blocks of 512 or 1024 bytes.
    const limited = [
      '-c',
      'ulimit -f 1; exec "$@"',
      'sh',
      process.execPath,
      '--input-type=module',
      '-e',
      program,
    ];
    const { stderr } = spawnSync('sh', [...limited, path], { encoding: 'utf8' });
    const size = statSync(path).size;
    assert.ok(size === 512 || size === 1024, `${size} ${stderr}`);
    const torn = readFileSync(path, 'utf8').split('\n').at(-1)!;
    assert.ok(torn.length > 0 && torn.length < 99);
  });
});
