import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { brief, errorOf, FaultClient } from '../faults/world/client.js';
import { testedMajors } from '../support/majors.js';
import { execute } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { FORGER } from './support/forger.js';

/**
 * A role without rights has superusers and others run what it has made, in every context in which PostgreSQL switches to it, and
 * says there that it is one of them; or it writes where answers are handed over.
 */

const NAMES = ['dblink_connect(text,text)', 'dblink_connect_u(text,text)'];

for (const major of testedMajors()) {
  describe(`roles that are claimed, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let proxy: TestProxy;
    /** The primary asks nobody for a password: only superusers may use that. */
    let trusting: string;

    const open = (user: string): Promise<FaultClient> => FaultClient.open(proxy.port, { user });
    /** May read and write all tables; before 14 there are no roles that may, and it is granted those of the bridge. */
    const makeReader = (role: string, options = ''): Promise<unknown> =>
      execute(
        primary.url(),
        `CREATE ROLE ${role} LOGIN ${options}; ${
          major >= 14
            ? `GRANT pg_read_all_data, pg_write_all_data TO ${role}`
            : `GRANT USAGE ON SCHEMA dblink_proxy TO ${role};
               GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dblink_proxy TO ${role}`
        }`,
      );
    const connections = async (client: FaultClient): Promise<unknown> =>
      (await client.rows('SELECT dblink_get_connections()'))[0]?.[0];

    before(async () => {
      const installation = await prepareBinaries({ major, dblink: false });
      primary = await startPostgres({ installation });
      trusting = `host=${primary.host} port=${primary.port} user=postgres dbname=postgres`;
      await execute(
        primary.url(),
        `CREATE ROLE svc LOGIN; GRANT CREATE ON DATABASE postgres TO svc; CREATE ROLE adm LOGIN; CREATE ROLE low LOGIN;
         CREATE SCHEMA low AUTHORIZATION low; GRANT USAGE ON SCHEMA low TO PUBLIC; CREATE ROLE root LOGIN SUPERUSER`,
      );
      const vault = { host: primary.host, port: primary.port, user: 'postgres', dbname: 'postgres' };
      proxy = await startTestProxy(primary, {
        env: { DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify({ vault: { ...vault, roles: ['adm'] } }) },
        flags: { primary: `postgres://svc@${primary.host}:${primary.port}?sslmode=disable` },
      });
      const root = await open('root');
      await root.rows('CREATE EXTENSION dblink');
      await root.rows(`CREATE FUNCTION public.lent() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        BEGIN PERFORM dblink_connect('lent', '${trusting}'); RETURN dblink_disconnect('lent'); END $$`);
      await root.end();
      const low = await open('low');
      await low.rows(FORGER);
      await low.end();
    });
    after(async () => {
      await proxy?.stop();
      await primary?.stop('immediate');
    });

    /** What low makes so that it runs when a superuser runs the rest. */
    const traps: readonly (readonly [
      context: string,
      make: (claim: string) => string[],
      spring: string[],
    ])[] = [
      [
        'a materialized view that is refreshed',
        (claim) => [`CREATE MATERIALIZED VIEW low.mv AS SELECT ${claim} AS said WITH NO DATA`],
        ['REFRESH MATERIALIZED VIEW low.mv', 'ANALYZE low.mv'],
      ],
      [
        'the expression of an index',
        (claim) => [
          'CREATE TABLE low.t (a int)',
          `CREATE FUNCTION low.f(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN ${claim}; END $$`,
          'CREATE INDEX ON low.t (low.f(a))',
          'INSERT INTO low.t VALUES (1), (2)',
        ],
        ['ANALYZE low.t', 'REINDEX TABLE low.t', 'VACUUM FULL low.t'],
      ],
      [
        'a SECURITY DEFINER function that is called',
        (claim) => [
          `CREATE FUNCTION low.trap() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN ${claim}; END $$`,
        ],
        ['SELECT low.trap()', 'SELECT low.trap() FROM (SELECT public.lent()) AS x'],
      ],
      [
        "a trigger's SECURITY DEFINER function",
        (claim) => [
          'CREATE TABLE low.t (a int)',
          `CREATE FUNCTION low.trap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM ${claim}; RETURN NEW; END $$`,
          'CREATE TRIGGER trap BEFORE INSERT ON low.t FOR EACH ROW EXECUTE FUNCTION low.trap()',
        ],
        ['INSERT INTO low.t VALUES (1)'],
      ],
      [
        'a session that has become this role',
        (claim) => [
          `CREATE FUNCTION low.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN ${claim}; END $$`,
        ],
        ['SET ROLE low; SELECT low.trap()', 'RESET ROLE; SET SESSION AUTHORIZATION low; SELECT low.trap()'],
      ],
    ];

    for (const [context, make, spring] of traps) {
      it(`a superuser's session gives its rights to nobody: ${context}`, async () => {
        for (const name of NAMES) {
          for (const role of ['root', 'postgres', 'svc', 'low']) {
            const low = await open('low');
            const claim = `low.forge('${name}', '${role}', 'evil', '${trusting}')`;
            for (const sql of make(claim)) await low.rows(sql);
            const root = await open('root');
            for (const sql of spring) {
              const frames = await root.query(sql);
              assert.doesNotMatch(brief(frames), /E:/, `${sql}: ${brief(frames)}`);
              await root.rows('RESET SESSION AUTHORIZATION; RESET ROLE');
              assert.equal(await connections(root), null, `${name} as ${role}: ${sql}`);
            }
            await root.end();
            await low.query('DROP MATERIALIZED VIEW IF EXISTS low.mv; DROP TABLE IF EXISTS low.t CASCADE');
            await low.query('DROP FUNCTION IF EXISTS low.f(int); DROP FUNCTION IF EXISTS low.trap()');
            await low.end();
          }
        }
      });
    }

    it('nobody gets a declared server by a function that one of its roles calls', async () => {
      const low = await open('low');
      for (const role of ['adm', 'root', 'low']) {
        await low.rows(`CREATE OR REPLACE FUNCTION low.trap() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
          BEGIN RETURN low.forge('dblink_connect(text,text)', '${role}', 'evil', 'vault'); END $$`);
        for (const user of ['adm', 'root']) {
          const client = await open(user);
          assert.match(String((await client.rows('SELECT low.trap()'))[0]?.[0]), /^error .* 42501 /s);
          assert.equal(await connections(client), null);
          await client.end();
        }
      }
      await low.rows('DROP FUNCTION low.trap()');
      await low.end();
    });

    it('who has the rights keeps them, by whichever function', async () => {
      const root = await open('root');
      const adm = await open('adm');
      const low = await open('low');
      await root.rows(
        `DO $$ BEGIN PERFORM dblink_connect('a', '${trusting}'); PERFORM dblink_connect_u('b', '${trusting}'); END $$`,
      );
      await root.rows(`SET ROLE low; RESET ROLE; DO $$ BEGIN PERFORM dblink_connect('c', 'vault'); END $$`);
      assert.equal(await connections(root), '{a,b,c}');
      await adm.rows("DO $$ BEGIN PERFORM dblink_connect('c', 'vault'); END $$");
      assert.equal(await connections(adm), '{c}');
      assert.deepEqual(await low.rows('SELECT public.lent()'), [['OK']]);
      for (const level of ['REPEATABLE READ', 'SERIALIZABLE, READ ONLY']) {
        await low.rows(`BEGIN ISOLATION LEVEL ${level}`);
        assert.deepEqual(await low.rows('SELECT public.lent()'), [['OK']]);
        await low.rows('COMMIT');
      }
      const refused = await low.query(`DO $$ BEGIN PERFORM dblink_connect('x', '${trusting}'); END $$`);
      assert.equal(errorOf(refused)['C'], '2F003');
      const unknown = await low.query("DO $$ BEGIN PERFORM dblink_connect('x', 'vault'); END $$");
      assert.equal(errorOf(unknown)['C'], '42501');
      await Promise.all([root.end(), adm.end(), low.end()]);
    });

    it('the secret, and what makes evidence of it, are for the account alone', async () => {
      await makeReader('reader');
      for (const user of ['low', 'reader']) {
        const client = await open(user);
        for (const sql of [
          "SELECT dblink_proxy.evidence('0123', 'root')",
          "SELECT dblink_proxy.make_proof('proof_1_x_1', 'low')",
          "SELECT dblink_proxy.seal('secret')",
        ]) {
          // seal() does nothing that its caller may not.
          assert.match(brief(await client.query(sql)), /E:42501|E:42883/, sql);
        }
        const read = await client.query('SELECT key FROM dblink_proxy.secret');
        assert.match(brief(read), user === 'low' ? /E:42501/ : /^T C:SELECT 0/);
        await client.end();
      }
    });

    it('who may read or write all data sees and changes no answer', async () => {
      const root = await open('root');
      await root.rows(`DO $$ BEGIN PERFORM dblink_connect('c', '${trusting}'); END $$`);
      await root.rows("CREATE VIEW public.one AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
      await root.rows('SELECT * FROM public.one');
      assert.notDeepEqual(await execute(primary.url(), 'SELECT FROM dblink_proxy.answer'), []);
      await makeReader('writer');
      const writer = await open('writer');
      assert.match(brief(await writer.query('SELECT * FROM dblink_proxy.answer')), /^T C:SELECT 0/);
      assert.match(
        brief(await writer.query("UPDATE dblink_proxy.answer SET parts = ARRAY['nothing', '']")),
        /^C:UPDATE 0/,
      );
      assert.match(brief(await writer.query('DELETE FROM dblink_proxy.answer')), /^C:DELETE 0/);
      const inserted = await writer.query(
        "INSERT INTO dblink_proxy.answer VALUES (1, 1, 1, uuid_send(gen_random_uuid()), ARRAY['nothing', ''], false, '')",
      );
      assert.equal(errorOf(inserted)['C'], '42501');
      await Promise.all([root.end(), writer.end()]);
    });

    it('an answer that somebody has changed is not taken, whoever that is', async () => {
      await makeReader('mighty', 'BYPASSRLS');
      const root = await open('root');
      await root.rows(`DO $$ BEGIN PERFORM dblink_connect('c', '${trusting}'); END $$`);
      const mighty = await FaultClient.open(primary.port, { user: 'mighty' });
      const forged = `ARRAY['rows', 'SELECT 666', '{23}', '[{"c1":666}]', NULL, NULL]`;
      mighty.start(
        `DO $$ BEGIN LOOP UPDATE dblink_proxy.answer SET parts = ${forged} WHERE parts <> ${forged}; COMMIT; END LOOP; END $$`,
        'simple',
      );
      const seen = new Map<string, number>();
      for (let i = 0; i < 600 && !(i >= 200 && seen.has('E:08P01')); i++) {
        const frames = await root.query('SELECT a FROM public.one WHERE a = 666');
        const what = /E:\w+/.exec(brief(frames))?.[0] ?? brief(frames);
        seen.set(what, (seen.get(what) ?? 0) + 1);
      }
      await mighty.cancel();
      await mighty.answer();
      await Promise.all([root.end(), mighty.end()]);
      const others = [...seen.keys()].filter((what) => !/^E:08P01$|^T C:SELECT 0 /.test(what));
      assert.deepEqual(others, []);
    });
  });
}
