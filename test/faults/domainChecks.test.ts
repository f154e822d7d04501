import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { execute, primaryServer } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { brief, FaultClient, firstValue, PROTOCOLS } from './world/client.js';

/** Conditions of domains that change the session: what the proxy knows of the session has to change, too. */

const MAJOR = 18;
const source = (remote: string, columns: string): string =>
  `SELECT * FROM dblink('c', '${remote}') AS t(${columns})`;
const FLOAT = source('SELECT 0.1::float8 + 0.2', 'a float8');

describe('the condition of a domain that changes a setting', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let proxy: TestProxy;
  let client: FaultClient;

  before(async () => {
    primary = await primaryServer(MAJOR);
    const installation = await prepareBinaries({ major: MAJOR, dblink: true });
    // A cluster of its own: a session of the primary's own cluster would be served as a nested one.
    remote = await startPostgres({ installation, initdbArgs: ['--no-instructions'] });
    await execute(
      primary.url(),
      `CREATE SCHEMA checks; SET search_path = checks;
      CREATE FUNCTION sets(n int) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN IF n = 2 THEN PERFORM set_config('extra_float_digits', '0', false); END IF; RETURN true; END $$;
      CREATE DOMAIN checked AS int CHECK (checks.sets(VALUE));
      CREATE DOMAIN query AS text CHECK (checks.sets(length(VALUE) - 6))`,
    );
    proxy = await startTestProxy(primary);
    client = await FaultClient.open(proxy.port, { options: '-c search_path=checks,public' });
    await client.rows(`SELECT dblink_connect('c', 'host=127.0.0.1 port=${remote.port} user=postgres')`);
  });
  after(async () => {
    await client?.end();
    await proxy?.stop();
    await remote?.stop('immediate');
  });

  const cases: readonly (readonly [where: string, sql: string, answer: string])[] = [
    ['rows', source('SELECT 2', 'a checked'), 'C:SELECT 1'],
    ['an array', source('SELECT ARRAY[2]', 'a checked[]'), 'C:SELECT 1'],
    [
      'rows in front of a notice',
      "SELECT * FROM dblink('c', 'SELECT 2 / (3 - i) FROM generate_series(2, 3) i', false) AS t(a checked)",
      'N:22012',
    ],
    ['an argument', "SELECT * FROM dblink('c', 'SELECT 1'::query::text) AS t(a int)", 'C:SELECT 1'],
  ];
  for (const protocol of PROTOCOLS) {
    for (const [where, sql, answer] of cases) {
      it(`is noticed in ${where}, ${protocol}`, async () => {
        const ask = async (statement: string) => {
          client.start(statement, protocol);
          return client.answer();
        };
        await client.rows('RESET extra_float_digits');
        for (let i = 0; i < 2; i++) assert.equal(firstValue(await ask(FLOAT)), '0.30000000000000004');
        assert.match(brief(await ask(sql)), new RegExp(answer));
        assert.equal(firstValue(await ask(FLOAT)), '0.3');
      });
    }
  }
});
