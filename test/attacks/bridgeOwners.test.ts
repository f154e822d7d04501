import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { bridgeComment } from '../../src/primary/marks.js';
import { brief, errorOf, FaultClient, fieldsOf } from '../faults/world/client.js';
import { testedMajors } from '../support/majors.js';
import { execute } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';

/**
 * A role without rights comes first, or comes later and changes what is there: it owns the code that others run when they
 * call dblink. Without an account of the proxy's own, which is when a session's own user makes it.
 */

const COMMENT = bridgeComment();

/** A function with a signature of dblink's that says who has run it. */
const planted = (name: string, args: string, body = ''): string =>
  `CREATE FUNCTION ${name}(${args}) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
     RAISE NOTICE 'planted, as %', current_user; RETURN 'planted'; END ${body}$$`;

for (const major of testedMajors()) {
  describe(`who owns the code that everybody runs, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let proxy: TestProxy;
    let remote: string;
    let databases = 0;

    /** A database in which everybody may make objects, as before PostgreSQL 15, and low also schemas. */
    async function database(owner = 'postgres'): Promise<(user: string) => Promise<FaultClient>> {
      const name = `owners${++databases}`;
      await execute(primary.url(), `CREATE DATABASE ${name} OWNER ${owner}`);
      await execute(
        primary.url(name),
        `GRANT CREATE ON DATABASE ${name} TO low; GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE SCHEMA low AUTHORIZATION low`,
      );
      return (user) => FaultClient.open(proxy.port, { user, database: name });
    }
    /** Nothing of low's is run for the superuser, whatever comes of the statement. */
    async function runsNothing(root: FaultClient, sql: string): Promise<string> {
      const frames = await root.query(sql);
      const said = frames.filter(({ type }) => type === 'N').map((frame) => fieldsOf(frame)['M'] ?? '');
      assert.deepEqual(said, [], sql);
      return brief(frames);
    }
    /** A use of dblink that only functions in the primary can serve. */
    const bridged = (): string =>
      `SELECT g, dblink_connect('c' || g, '${remote}') FROM generate_series(1, 2) AS g WHERE g > random() ORDER BY dblink_get_connections()`;

    before(async () => {
      const installation = await prepareBinaries({ major, dblink: false });
      primary = await startPostgres({ installation });
      remote = `host=${primary.host} port=${primary.port} user=postgres dbname=postgres`;
      await execute(
        primary.url(),
        'CREATE ROLE low LOGIN; CREATE ROLE owner LOGIN; CREATE ROLE root LOGIN SUPERUSER',
      );
      proxy = await startTestProxy(primary);
    });
    after(async () => {
      await proxy?.stop();
      await primary?.stop('immediate');
    });

    it('the first comer makes neither the functions nor the schema behind them', async () => {
      const open = await database();
      const low = await open('low');
      const refused = errorOf(await low.query('CREATE EXTENSION dblink'));
      assert.deepEqual(
        [refused['C'], refused['M']],
        ['42501', 'permission denied to create extension "dblink"'],
      );
      const unserved = errorOf(await low.query(bridged()));
      assert.equal(unserved['C'], '0A000');
      assert.match(unserved['H'] ?? '', /account/);
      assert.deepEqual(await low.rows("SELECT FROM pg_namespace WHERE nspname = 'dblink_proxy'"), []);
      await low.end();
      const root = await open('root');
      await root.rows('CREATE EXTENSION dblink');
      assert.match(await runsNothing(root, bridged()), /^T D C:SELECT 2 /);
      await root.end();
    });

    it("the schema dblink_proxy of a role without rights is nobody else's", async () => {
      const open = await database();
      const low = await open('low');
      await low.rows('CREATE SCHEMA dblink_proxy');
      await low.rows(`COMMENT ON SCHEMA dblink_proxy IS '${COMMENT}'`);
      await low.rows(planted('dblink_proxy.guessed', 'oids text'));
      await low.rows('GRANT USAGE ON SCHEMA dblink_proxy TO PUBLIC');
      const root = await open('root');
      const refused = errorOf(await root.query('CREATE EXTENSION dblink'));
      assert.equal(refused['C'], '0A000');
      assert.match(refused['M'] ?? '', /belongs to "low"/);
      assert.match(await runsNothing(root, bridged()), /^E:0A000 /);
      await Promise.all([low.end(), root.end()]);
    });

    for (const marked of [true, false]) {
      it(`a function that somebody has planted is not run, ${marked ? 'marked as' : 'unlike'} the bridge's`, async () => {
        const open = await database();
        const low = await open('low');
        for (const [name, args] of [
          ['dblink_connect', 'text, text'],
          ['dblink_exec', 'text, text'],
        ]) {
          await low.rows(planted(`public.${name}`, args!));
          if (marked) await low.rows(`COMMENT ON FUNCTION public.${name}(${args}) IS '${COMMENT}'`);
        }
        const root = await open('root');
        assert.match(await runsNothing(root, `SELECT dblink_connect('c', '${remote}')`), /^T D C:SELECT 1 /);
        assert.match(await runsNothing(root, "SELECT dblink_exec('c', 'SET a.b = 1')"), /^T D C:SELECT 1 /);
        assert.match(
          await runsNothing(
            root,
            `SELECT dblink_connect('d' || g, '${remote}') FROM generate_series(1, 2) AS g`,
          ),
          /^T D C:SELECT 2 |^E:0A000 /,
        );
        await root.end();
        // A user's own function of that name is what that user calls.
        const own = await low.query("SELECT dblink_exec('c', 'SET a.b = 1')");
        if (!marked) assert.match(brief(own), /^T N:00000 D C:SELECT 1 /);
        await low.end();
      });
    }

    it("a body that the database's owner has changed is not run", async () => {
      const open = await database('owner');
      const owner = await open('owner');
      await owner.rows('CREATE EXTENSION dblink');
      const root = await open('root');
      assert.match(await runsNothing(root, bridged()), /^T D C:SELECT 2 /);
      await owner.rows(planted('public.dblink_connect', 'text, text').replace('CREATE', 'CREATE OR REPLACE'));
      await root.rows('DISCARD ALL');
      const again = await open('root');
      assert.match(await runsNothing(again, bridged()), /^E:0A000 /);
      await Promise.all([owner.end(), root.end(), again.end()]);
    });
  });
}
