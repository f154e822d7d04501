import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isPortableType } from '../../../src/bridge/installed/portableTypes.js';
import { SERVICE_SCHEMA_SQL } from '../../../src/bridge/installed/serviceSchema.js';
import { createDatabase, execute, primaryServer } from '../../support/postgres.js';

describe('types of a side table', () => {
  it('are what the server says of its own types', async () => {
    for (const major of [18, 15]) {
      const url = await createDatabase(await primaryServer(major), 'portable');
      await execute(url, SERVICE_SCHEMA_SQL);
      // The function of the session and the proxy have to agree, or a column would have another type than is read.
      const rows = await execute(
        url,
        `SELECT name, (dblink_proxy.portable(ARRAY[name]))[1] FROM (
           SELECT format_type(oid, NULL) FROM pg_type WHERE typtype IN ('b', 'e', 'd', 'r', 'm')
           UNION SELECT unnest(ARRAY['numeric(10,2)', 'numeric(3,-2)', 'character varying(3)', 'character(3)[]', 'bit(3)', 'timestamp(3) with time zone',
             'time(0) without time zone[]', 'interval day to second(3)', 'interval year', 'interval(2)'])) AS t(name)`,
      );
      assert.ok(rows.length > 100);
      for (const [name, portable] of rows) {
        assert.equal(isPortableType(String(name)), portable === name, String(name));
      }
      assert.ok(rows.filter(([, portable]) => portable !== null).length > 60);
    }
  });

  it('are nothing else, whatever a session claims', () => {
    for (const name of [
      '',
      'integer, x integer',
      'integer); DROP TABLE x; --',
      'integer PRIMARY KEY',
      'integer references secret',
      'integer default 1',
      'integer check (true)',
      'text collate "C"',
      'integer(1',
      'public.t',
      '"x"',
      'regclass',
      'money',
      'xml',
      'integer[][]',
      'integer -- ',
      'timestamp(3) with time zone default now()',
      'interval day to second(3) not null',
      'Integer',
    ]) {
      assert.equal(isPortableType(name), false, name);
    }
  });
});
