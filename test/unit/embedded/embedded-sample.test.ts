import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runExample } from '../../../src/embedded/example.js';
import { startDemo } from '../../../src/embedded/index.js';
import { PRIMARY_DATA, PRIMARY_DATABASE } from '../../../src/embedded/sample.js';
import { createDatabase, execute, extensionServer } from '../../support/postgres.js';

describe('the sample', () => {
  it('starts a primary that lacks dblink, and a remote that it names', async () => {
    const demo = await startDemo();
    try {
      const shop = demo.primary.url(PRIMARY_DATABASE);
      assert.deepEqual(await execute(shop, 'SELECT name, conninfo FROM remotes'), [['sales', demo.conninfo]]);
      await assert.rejects(execute(shop, "SELECT dblink_connect('x')"), { code: '42883' });
      assert.deepEqual(await execute(demo.remote.url('sales'), 'SELECT count(*)::int FROM orders'), [[6]]);
    } finally {
      await demo.stop();
    }
  });

  it('has statements that the extension itself accepts, twice in a row', async () => {
    const native = await extensionServer(18);
    const url = await createDatabase(native, PRIMARY_DATABASE);
    const demo = await startDemo();
    try {
      await execute(
        url,
        `CREATE EXTENSION dblink; ${PRIMARY_DATA}; INSERT INTO remotes VALUES ('sales', '${demo.conninfo}')`,
      );
      for (const archived of [2, 4]) {
        const printed: string[] = [];
        await runExample(url, (text) => printed.push(text));
        const results = printed.filter((_, index) => index % 2 === 1);
        assert.equal(results[0], ' dblink_connect\n----------------\n OK\n(1 row)\n\n');
        assert.equal(
          results[2],
          [
            '     name     |   city    | orders |  total',
            '--------------+-----------+--------+---------',
            ' Ada Lovelace | London    |      2 | 5119.99',
            ' Grace Hopper | New York  |      2 |  950.80',
            ' Emmy Noether | Göttingen |      2 |  385.25',
            '(3 rows)\n\n',
          ].join('\n'),
        );
        assert.equal(results[3], 'INSERT 0 2\n\n');
        assert.ok(results[4]?.endsWith(`(${archived} rows)\n\n`));
        assert.ok(results[5]?.includes('UPDATE 4'));
      }
    } finally {
      await demo.stop();
    }
  });
});
