import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { Analyzer, type OffloadLimits } from '../../../src/sql/analysis/offload/analyzer.js';
import { ByteBoundedCache } from '../../../src/sql/analysis/offload/cache.js';
import { analyze, isPlainlyReadOnly, loadParser } from '../../../src/sql/index.js';
import { LIVENESS_MS } from '../../support/pace.js';

before(loadParser);

const OPTIONS = { schemas: ['public'] };
const analyzers: Analyzer[] = [];
const reports: string[] = [];
const analyzer = (limits: Partial<OffloadLimits> = {}, report?: (error: unknown) => void): Analyzer => {
  const made = new Analyzer(limits, report);
  analyzers.push(made);
  return made;
};
after(() => Promise.all(analyzers.map((made) => made.close())));

const small = (n = 1) => Buffer.from(`SELECT dblink_exec('c', 'é ${n}')`);
const large = (n = 1) => Buffer.from(`SELECT dblink_exec('c', 'x') /* ${'é'.repeat(5000)} ${n} */`);
/** Overflows the parser's stack. */
const deep = () => Buffer.from(`SELECT dblink_exec('c', 'x' || 1${'+1'.repeat(300_000)})`);

describe('Analyzer', () => {
  it('analyses small texts at once and large ones in a thread, with the same result', async () => {
    const made = analyzer();
    const direct = made.analyze(small(), OPTIONS);
    assert.ok(!(direct instanceof Promise));
    assert.deepEqual(direct, analyze(small(), OPTIONS));
    const promised = made.analyze(large(), OPTIONS);
    assert.ok(promised instanceof Promise);
    const analysis = await promised;
    assert.ok(analysis !== undefined);
    assert.deepEqual(analysis, analyze(large(), OPTIONS));
  });

  it('remembers both kinds by text and options, and copies the bytes it was given', async () => {
    const made = analyzer();
    const bytes = large();
    const promised = made.analyze(bytes, OPTIONS);
    bytes.fill(0x20);
    const analysis = await promised;
    assert.ok(analysis !== undefined);
    assert.equal(made.analyze(large(), OPTIONS), analysis);
    assert.equal(made.analyze(small(), OPTIONS), made.analyze(small(), OPTIONS));
    const qualified = Buffer.from(`SELECT other.dblink_exec('c', 'x')`);
    assert.equal(made.analyze(qualified, OPTIONS), undefined);
    assert.notEqual(made.analyze(qualified, { ...OPTIONS, schemas: ['other'] }), undefined);
  });

  it('answers many large texts in any number at once', async () => {
    const made = analyzer();
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => made.analyze(large(i), OPTIONS)));
    for (const [i, analysis] of all.entries()) assert.deepEqual(analysis, analyze(large(i), OPTIONS));
  });

  it('tells of SQL of any length whether it only reads', async () => {
    const made = analyzer();
    const reads = (sql: string) => made.readRemoteText(Buffer.from(sql));
    const padding = `/* ${'x'.repeat(9000)} */`;
    assert.deepEqual(
      [reads('select 1'), reads('delete from t'), reads('select f(1)')],
      ['reads', 'writes', 'calls'],
    );
    assert.ok(reads(`select 1 ${padding}`) instanceof Promise);
    assert.deepEqual(
      [await reads(`select 2 ${padding}`), await reads(`delete from t ${padding}`)],
      ['reads', 'writes'],
    );
    assert.equal(reads(`select 2 ${padding}`), 'reads');
    assert.equal(isPlainlyReadOnly(Buffer.from(`select 1 ${padding}`)), false);
  });

  it('takes texts for a remote that differ in literals and numbers for the same, unless they can mean something else', () => {
    const made = analyzer();
    const reads = (sql: string) => made.readRemoteText(Buffer.from(sql));
    assert.equal(reads("SELECT a FROM t1 WHERE b = 'x' AND c > 5"), 'reads');
    assert.equal(reads("SELECT a FROM t1 WHERE b = 'it''s' AND c > 77"), 'reads');
    assert.equal(reads('SELECT a::float(60) FROM t'), 'anything');
    assert.equal(reads('SELECT a::float(20) FROM t'), 'reads');
    assert.equal(reads(`SELECT U&"!0061!0062!0073" UESCAPE '!' (1)`), 'reads');
    assert.equal(reads(`SELECT U&"!0065!0076!0066" UESCAPE '!' (1)`), 'calls');
    assert.equal(reads('SELECT "f 1"(), "abs"(1)'), 'calls');
    assert.equal(made.readRemoteTextNow(Buffer.from(`SELECT 1 -- ${'x'.repeat(10_000)}`)), 'anything');
  });

  it('gives up a text that breaks the parser, and serves the next one', async () => {
    const made = analyzer({}, (error) => reports.push(String(error)));
    const [broken, next] = await Promise.all([made.analyze(deep(), OPTIONS), made.analyze(large(), OPTIONS)]);
    assert.equal(broken, undefined);
    assert.notEqual(next, undefined);
    assert.match(reports.join(), /nested too deeply/);
  });

  it('gives up a text that takes too long, and serves the next one', async () => {
    const made = analyzer({ workMs: 300 });
    /** On a busy machine even a small text can be too late. */
    const served = async (from: number): Promise<boolean> => {
      for (let n = from; n < from + 20; n++) {
        if ((await made.analyze(large(n), OPTIONS)) !== undefined) return true;
      }
      return false;
    };
    assert.ok(await served(0));
    const long = Buffer.from(`SELECT dblink_exec('c', 'x'), 1 IN (${'12345, '.repeat(400_000)}1)`);
    assert.equal(await made.analyze(long, OPTIONS), undefined);
    assert.ok(await served(20));
  });

  it('lets no more texts wait than its limits say', async () => {
    const byNumber = analyzer({ maxWaiting: 1 });
    const numbers = await Promise.all([1, 2, 3].map((n) => byNumber.analyze(large(n), OPTIONS)));
    assert.deepEqual(
      numbers.map((analysis) => analysis === undefined),
      [false, false, true],
    );
    const byBytes = analyzer({ maxWaitingBytes: 15_000 });
    const bytes = await Promise.all([1, 2, 3].map((n) => byBytes.analyze(large(n), OPTIONS)));
    assert.deepEqual(
      bytes.map((analysis) => analysis === undefined),
      [false, false, true],
    );
    assert.equal(analyzer({ maxTextBytes: 1000 }).analyze(large(), OPTIONS), undefined);
  });

  it('replaces a worker that has read a lot', async () => {
    const made = analyzer({ renewAfterBytes: 1 });
    for (let i = 0; i < 3; i++) assert.notEqual(await made.analyze(large(i), OPTIONS), undefined);
  });

  it('settles what waits when it is closed', async () => {
    const made = analyzer();
    const waiting = [1, 2].map((n) => made.analyze(large(n), OPTIONS));
    await made.close();
    assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
  });

  it('keeps no process alive', () => {
    const module = new URL('../../../src/sql/index.js', import.meta.url);
    const program = `
      import { analyzeAsync, loadParser } from ${JSON.stringify(module.href)};
      await loadParser();
      const text = Buffer.from("SELECT dblink_exec('c', '" + 'x'.repeat(20000) + "')");
      const analysis = await analyzeAsync(text, ${JSON.stringify(OPTIONS)});
      console.log(analysis.statements.length);`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: LIVENESS_MS,
    });
    assert.deepEqual([status, stdout], [0, '1\n'], stderr);
  });
});

describe('ByteBoundedCache', () => {
  it('forgets what was used longest ago, and keeps its bound', () => {
    const cache = new ByteBoundedCache<number | undefined>(80);
    for (let i = 0; i < 8; i++) cache.set(`k${i}`, i, 10);
    assert.deepEqual(cache.get('k0'), { value: 0, bytes: 10 });
    cache.set('k8', undefined, 10);
    assert.equal(cache.get('k1'), undefined);
    assert.equal(cache.get('k0')?.value, 0);
    assert.ok(cache.get('k8') !== undefined && cache.get('k8')?.value === undefined);
    assert.deepEqual([cache.bytes, cache.size], [80, 8]);
  });

  it('does not take what is too large, and counts an entry once', () => {
    const cache = new ByteBoundedCache<number>(80);
    cache.set('large', 1, 11);
    assert.equal(cache.get('large'), undefined);
    for (let i = 0; i < 100; i++) cache.set('same', i, 10);
    assert.deepEqual([cache.bytes, cache.size, cache.get('same')?.value], [10, 1, 99]);
  });
});
