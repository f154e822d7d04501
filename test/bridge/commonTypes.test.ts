import assert from 'node:assert/strict';
import { it } from 'node:test';
import { COMMON_TYPES } from '../../src/bridge/installed/commonTypes.js';
import { SERVICE_SCHEMA_SQL } from '../../src/bridge/installed/serviceSchema.js';
import { createDatabase, execute, primaryServer } from '../support/postgres.js';

for (const major of [15, 18]) {
  it(`PostgreSQL ${major} reads the types whose OIDs are known as it would without`, async () => {
    const url = await createDatabase(await primaryServer(major), 'common_types');
    await execute(url, SERVICE_SCHEMA_SQL);
    for (const [oid, name] of COMMON_TYPES) {
      const [[type, sql, common] = []] = await execute(
        url,
        `SELECT 'pg_catalog.${name}'::regtype::oid::int, dblink_proxy.reading(dblink_proxy.guessed('{${oid}}')),
           dblink_proxy.common('{${oid}}')`,
      );
      assert.equal(type, oid, name);
      // But for the names: there as the server prints them, here with their schema.
      const shape = (text: string): string => text.replace(/\(c1 .*\)/, '(c1)');
      assert.equal(shape(String(common)), shape(String(sql)), name);
      const definition = /\(c1 (.*)\)/.exec(String(sql))?.[1];
      assert.deepEqual(await execute(url, `SELECT '${definition}'::regtype::oid::int`), [[oid]]);
    }
    // What depends on more than an OID is for the general way.
    const common = (oids: readonly number[]): string => `dblink_proxy.common('{${oids.join()}}') IS NULL`;
    const [nulls] = await execute(
      url,
      `SELECT ${[[23, 25], [], [23, 114], [3802], [100_000]].map(common).join(', ')}`,
    );
    assert.deepEqual(nulls, [false, true, true, true, true]);
  });
}
