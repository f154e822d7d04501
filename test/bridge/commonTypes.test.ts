import assert from 'node:assert/strict';
import { it } from 'node:test';
import { COMMON_TYPES, readingSql } from '../../src/router/bridge/commonTypes.js';
import { SERVICE_SCHEMA_SQL } from '../../src/router/bridge/serviceSchema.js';
import { createDatabase, execute, primaryServer } from '../support/postgres.js';

for (const major of [15, 18]) {
  it(`PostgreSQL ${major} reads the types whose OIDs are known as it would without`, async () => {
    const url = await createDatabase(await primaryServer(major), 'common_types');
    await execute(url, SERVICE_SCHEMA_SQL);
    for (const [oid, name] of COMMON_TYPES) {
      const [[type, sql] = []] = await execute(
        url,
        `SELECT 'pg_catalog.${name}'::regtype::oid::int, dblink_proxy.reading(dblink_proxy.guessed('{${oid}}'))`,
      );
      assert.equal(type, oid, name);
      // But for the names: there as the server prints them, here with their schema.
      const shape = (text: string): string => text.replace(/\(c1 .*\)/, '(c1)');
      assert.equal(shape(readingSql([oid])), shape(String(sql)), name);
      const definition = /\(c1 (.*)\)/.exec(String(sql))?.[1];
      assert.deepEqual(await execute(url, `SELECT '${definition}'::regtype::oid::int`), [[oid]]);
    }
  });
}

it('leaves to the primary what depends on more than an OID', () => {
  assert.notEqual(readingSql([23, 25]), '');
  for (const oids of [[], [23, 114], [3802], [100_000]]) assert.equal(readingSql(oids), '');
});
