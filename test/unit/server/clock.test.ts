import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { it } from 'node:test';

/** The time of day may be set, so that it tells nobody how long something has taken. `npm run chaos` has it jump. */
const SOURCES = resolve(import.meta.dirname, '../../../../src');

/** Who writes down when something was, and does nothing else with it. */
const STAMPS = ['audit/audit.ts'];

it('no limit depends on the time of day', () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  assert.ok(files.length > 100);
  const asking = files.filter((file) =>
    /\bDate\.now\b|\bnew Date\(\)|\bDate\(\)/.test(readFileSync(join(SOURCES, file), 'utf8')),
  );
  assert.deepEqual(asking, STAMPS);
  const stamps = readFileSync(join(SOURCES, STAMPS[0]!), 'utf8');
  assert.equal(stamps.split('new Date().toISOString()').length, 2);
  assert.equal(stamps.split(/\bDate\b/).length, 2);
});
