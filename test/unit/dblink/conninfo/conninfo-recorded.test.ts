import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ConninfoError, type ResolvedConninfo } from '../../../../src/dblink/conninfo/index.js';
import { type Environment, HOME_FILES, resolve } from './conninfo-context.js';

function withError(message: string) {
  return (error: unknown) => {
    assert.ok(error instanceof ConninfoError, String(error));
    assert.equal(error.messageBytes.toString('latin1'), message);
    return true;
  };
}

function read<Recorded>(name: string): readonly Recorded[] {
  const file = new URL(`../../../../../test/unit/dblink/conninfo/${name}.jsonl`, import.meta.url);
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Recorded);
}

interface ResolveRecord {
  readonly text: string;
  readonly env: Environment;
  readonly libpq: string;
  /** PQerrorMessage if libpq refused before trying any address. */
  readonly error?: string;
  /** What followed `connection to server at … failed: `. */
  readonly attemptError?: string;
  /** Where the first attempt went, and with what. */
  readonly first?: { host: string; port: number; user: string; database: string; password: string };
}

function firstAttempt(resolved: ResolvedConninfo): ResolveRecord['first'] {
  const index = resolved.hosts.findIndex((host) => host.problem === undefined);
  const host = resolved.hosts[index];
  assert.ok(host);
  return {
    host: host.host || (host.hostaddr ?? ''),
    port: host.port,
    user: resolved.user,
    database: resolved.database,
    password: resolved.passwordFor(index) ?? '',
  };
}

describe('resolveConninfo answers as libpq does', () => {
  const records = read<ResolveRecord>('conninfo-resolve');
  assert.ok(records.length > 200);
  for (const record of records) {
    it(`libpq ${record.libpq}: ${JSON.stringify(record.text)} ${JSON.stringify(record.env)}`, async () => {
      const resolving = resolve(record.text, record.env, HOME_FILES);
      if (record.error !== undefined) {
        await assert.rejects(resolving, withError(record.error));
      } else if (record.attemptError !== undefined) {
        const problem = (await resolving).hosts[0]?.problem;
        assert.equal(problem?.error.message, record.attemptError);
        assert.equal(problem?.prefixed, true);
      } else {
        assert.deepEqual(firstAttempt(await resolving), record.first);
      }
    });
  }
});

interface StartupRecord {
  readonly text: string;
  readonly env: Environment;
  readonly libpq: string;
  readonly protocol: number;
  readonly parameters: readonly (readonly [string, string])[];
}

describe('the startup packet is the one of libpq', () => {
  const records = read<StartupRecord>('conninfo-startup');
  assert.ok(records.length >= 60);
  for (const record of records) {
    it(`libpq ${record.libpq}: ${JSON.stringify(record.text)} ${JSON.stringify(record.env)}`, async () => {
      const resolved = await resolve(record.text, record.env);
      const parameters = [['user', resolved.user], ['database', resolved.database], ...resolved.startup];
      assert.deepEqual(parameters, record.parameters);
      assert.equal(resolved.protocol.max, record.protocol);
    });
  }
});
