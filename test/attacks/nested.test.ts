import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { brief, errorOf, FaultClient } from '../faults/world/client.js';
import { remote, type ScriptedRemote, scriptedRemote } from '../faults/world/scriptedRemote.js';
import { eventually } from '../support/eventually.js';
import { backend } from '../support/fakePrimary.js';
import { testedMajors } from '../support/majors.js';
import { execute } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { FORGER } from './support/forger.js';
import { type LyingRelay, startLyingRelay } from './support/lyingRelay.js';

/**
 * Remotes that pass for the primary, so that the proxy serves the session with them as one of the primary's: they have no login there,
 * or that of a role without rights.
 */

const hex = (text: string): string => Buffer.from(text).toString('hex');
const info = (message: string): Buffer => backend('N', `SINFO\0VINFO\0C00000\0M${message}\0\0`);

for (const major of testedMajors()) {
  describe(`remotes that pass for the primary, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let proxy: TestProxy;
    let version: string;
    let identifier: string;
    /** The primary asks nobody for a password: only superusers may use that. */
    let trusting: string;
    /** Where nobody may be brought to connect to. */
    let trap: Server;
    let caught = 0;
    let trapping: string;

    const open = (user: string): Promise<FaultClient> => FaultClient.open(proxy.port, { user });
    const direct = (sql: string): ReturnType<typeof execute> => execute(primary.url(), sql);
    const inside = (sql: string): string => `SELECT * FROM dblink('l', $l$${sql}$l$) AS t(v text)`;

    before(async () => {
      primary = await startPostgres({ installation: await prepareBinaries({ major, dblink: false }) });
      trusting = `host=${primary.host} port=${primary.port} user=postgres dbname=postgres`;
      await direct(
        `CREATE ROLE svc LOGIN; GRANT CREATE ON DATABASE postgres TO svc; CREATE ROLE adm LOGIN; CREATE ROLE low LOGIN;
         CREATE SCHEMA low AUTHORIZATION low; CREATE ROLE root LOGIN SUPERUSER`,
      );
      const vault = { host: primary.host, port: primary.port, user: 'postgres', dbname: 'postgres' };
      proxy = await startTestProxy(primary, {
        env: { DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify({ vault: { ...vault, roles: ['adm'] } }) },
        flags: { primary: `postgres://svc@${primary.host}:${primary.port}?sslmode=disable` },
      });
      const root = await open('root');
      await root.rows('CREATE EXTENSION dblink');
      await root.rows(
        `CREATE TABLE public.hidden AS SELECT '${trusting} application_name=secret'::text AS conninfo`,
      );
      await root.rows(`CREATE FUNCTION public.lent() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        BEGIN PERFORM dblink_connect('lent', (SELECT conninfo FROM hidden)); RETURN dblink_disconnect('lent'); END $$`);
      await root.rows('DO $$ BEGIN PERFORM dblink_get_connections(); END $$');
      await root.end();
      const low = await open('low');
      await low.rows(FORGER);
      await low.end();
      [[identifier], [version]] = (await direct(
        "SELECT system_identifier::text FROM pg_control_system() UNION ALL SELECT current_setting('server_version')",
      )) as [[string], [string]];
      trap = createServer((socket) => {
        caught++;
        socket.destroy();
      });
      await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
      trapping = `host=127.0.0.1 port=${(trap.address() as AddressInfo).port} user=u password=p dbname=d`;
    });
    after(async () => {
      trap?.close();
      await proxy?.stop();
      await primary?.stop('immediate');
    });

    describe('one with the login of a role without rights', () => {
      let relay: LyingRelay;
      let low: FaultClient;
      /** What it says of itself. */
      let role = 'root';

      before(async () => {
        relay = await startLyingRelay({
          server: primary.port,
          user: 'low',
          value: (value) => {
            if (value === 'off' || value === 'f') return value === 'off' ? 'on' : 't';
            return value === 'low' ? role : value;
          },
        });
        low = await open('low');
        await low.rows(
          `SELECT dblink_connect('l', 'host=127.0.0.1 port=${relay.port} user=root password=x dbname=postgres')`,
        );
      });
      after(async () => {
        await low?.end();
        relay?.close();
      });

      it('is served, as everybody', async () => {
        const own = trusting.replace('dbname', 'password=x dbname');
        const refused = errorOf(await low.query(inside(`SELECT dblink_connect('x', '${own}')`)));
        assert.equal(refused['C'], '2F003');
        assert.match(refused['D'] ?? '', /Non-superuser/);
      });

      it('has no right of a superuser by what it says', async () => {
        for (role of ['root', 'postgres', 'svc', 'low']) {
          for (const [sql, sqlstate] of [
            [`SELECT dblink_connect('x', '${trusting}')`, '2F003'],
            [`SELECT * FROM dblink('${trusting}', 'SELECT 1') AS t(v text)`, '2F003'],
            [`SELECT dblink_connect_u('x', '${trusting}')`, '42501'],
            [`SELECT dblink_connect('x', 'password=x sslrootcert=/etc/passwd ${trusting}')`, '42501'],
            [`SELECT dblink_connect('x', 'password=x service=any')`, '42501'],
            ["SELECT dblink_connect('x', 'vault')", '42501'],
          ] as const) {
            const refused = errorOf(await low.query(inside(sql)));
            assert.equal(refused['C'], sqlstate, `as ${role}: ${sql}: ${refused['M']}`);
          }
        }
      });

      it('has no right of a role that may use a declared server by what it says', async () => {
        role = 'adm';
        assert.equal(errorOf(await low.query(inside("SELECT dblink_connect('x', 'vault')")))['C'], '42501');
      });

      it('has none by the requests that it forges', async () => {
        for (const claimed of ['root', 'postgres', 'svc', 'adm']) {
          for (const name of ['dblink_connect(text,text)', 'dblink_connect_u(text,text)']) {
            for (const conninfo of [trusting, 'vault']) {
              await low.query(inside(`SELECT low.forge('${name}', '${claimed}', 'evil', '${conninfo}')`));
              const [row] = await low.rows(inside('SELECT dblink_get_connections()'));
              assert.equal(row?.[0], null, `${name} as ${claimed}`);
            }
          }
        }
      });

      it('is not shown what a function of a superuser asks for', async () => {
        assert.equal(errorOf(await low.query(inside('SELECT public.lent()')))['C'], '55000');
        assert.ok(!relay.said().includes(hex('application_name=secret')));
        assert.ok(!relay.said().includes('application_name=secret'));
      });
    });

    describe('one without a login', () => {
      let fake: ScriptedRemote;
      let pid = 1;
      let asked: string[] = [];
      /** What the proxy has put into the setting. */
      let token = '';
      let act: (socket: Socket) => void = (socket) => void socket.write(remote.ready());

      before(async () => {
        const [row] = await direct(
          "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' LIMIT 1",
        );
        pid = Number(row?.[0]);
        fake = await scriptedRemote({
          login({ socket }) {
            const key = Buffer.alloc(8);
            key.writeInt32BE(pid);
            socket.write(
              Buffer.concat([
                backend('R', '\0\0\0\0'),
                remote.parameter('client_encoding', 'UTF8'),
                remote.parameter('server_encoding', 'UTF8'),
                remote.parameter('server_version', version),
                remote.parameter('in_hot_standby', 'off'),
                backend('K', key),
                remote.ready(),
              ]),
            );
          },
          query(sql, socket) {
            asked.push(sql);
            token = /^SET dblink_proxy.session = '(\w+)/.exec(sql)?.[1] ?? token;
            if (/pg_control_system/.test(sql)) {
              const row = remote.row([identifier, String(pid), null, 'primary']);
              socket.write(
                Buffer.concat([
                  remote.columns([25, 23, 25, 25]),
                  row,
                  remote.tag('SELECT 1'),
                  remote.ready(),
                ]),
              );
            } else if (/^SET/.test(sql)) socket.write(Buffer.concat([remote.tag('SET'), remote.ready()]));
            else act(socket);
          },
        });
      });
      after(() => fake?.close());

      const connected = async (): Promise<FaultClient> => {
        asked = [];
        const root = await open('root');
        await root.rows(`SELECT dblink_connect('l', '${fake.conninfo}')`);
        await root.rows("SELECT dblink_exec('l', 'SET a.b = 1')");
        assert.match(asked.join('\n'), /pg_control_system|SET dblink_proxy/);
        assert.notEqual(token, '');
        return root;
      };

      it('has nothing carried out that a remote statement says', async () => {
        const root = await connected();
        act = (socket) =>
          void socket.write(Buffer.concat([remote.error('42883', 'no such function'), remote.ready()]));
        const text = `SELECT dblink_connect('x', '${trapping}')`;
        assert.equal(errorOf(await root.query(inside(text)))['C'], '42883');
        assert.ok(asked.includes(text), 'the remote got it itself');
        assert.equal(caught, 0);
        await root.end();
      });

      it('has no request carried out', async () => {
        const root = await connected();
        for (const held of ['none', 'a', 'b']) {
          act = (socket) => {
            const call = `dblink_connect(text,text):${hex('root')}:${hex('x')},${hex(trapping)}`;
            socket.write(
              info(`dblink-proxy:${token}:01234567-89ab-cdef-0123-456789abcdef:${held}:row:${pid}:${call}`),
            );
            setTimeout(() => socket.write(Buffer.concat([remote.tag('SELECT 0'), remote.ready()])), 1000);
          };
          await root.query(inside('SELECT 1'));
          assert.equal(caught, 0);
        }
        await root.end();
      });

      it('has the proxy vouch for no process', async () => {
        const root = await connected();
        act = (socket) => {
          socket.write(
            info(`dblink-proxy:${token}:01234567-89ab-cdef-0123-456789abcdef:none:row:${pid}:vouch:`),
          );
          setTimeout(() => socket.write(Buffer.concat([remote.tag('SELECT 0'), remote.ready()])), 500);
        };
        await root.query(inside('SELECT 1'));
        const vouching = "pg_locks WHERE locktype = 'advisory' AND objsubid = 2";
        assert.deepEqual(await direct(`SELECT FROM ${vouching}`), []);
        await root.end();
      });

      it('costs only its own session when it floods the proxy with requests', async () => {
        const root = await connected();
        act = (socket) => {
          const call = `dblink_connect(text,text):${hex('root')}:${hex('x')},${hex(trapping)}`;
          const one = info(
            `dblink-proxy:${token}:01234567-89ab-cdef-0123-456789abcdef:none:row:${pid}:${call}`,
          );
          for (let i = 0; i < 20; i++) socket.write(Buffer.concat(Array.from({ length: 1000 }, () => one)));
          setTimeout(() => socket.write(Buffer.concat([remote.tag('SELECT 0'), remote.ready()])), 500);
        };
        const flooded = root.query(inside('SELECT 1'));
        const other = await open('low');
        const block = `DO $$ BEGIN PERFORM dblink_get_connections(); END $$`;
        for (let i = 0; i < 20; i++) assert.match(brief(await other.query(block)), /^C:DO/);
        await flooded;
        assert.equal(caught, 0);
        await Promise.all([root.end(), other.end()]);
      });

      it('is forgotten with its session', async () => {
        const locks = "pg_locks WHERE locktype = 'advisory'";
        await eventually('no lock is left', async () => (await direct(`SELECT FROM ${locks}`)).length === 0);
      });
    });

    it('the owner of a database has no code run as a superuser who uses dblink in a session there', async () => {
      await direct('CREATE DATABASE theirs OWNER low');
      const ofLow = await startTestProxy(primary);
      const ofAll = await startTestProxy(primary, {
        flags: { primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable` },
      });
      try {
        const call = 'DO $do$ BEGIN PERFORM dblink_get_connections(); END $do$';
        const low = await FaultClient.open(ofLow.port, { user: 'low', database: 'theirs' });
        await low.rows('CREATE EXTENSION dblink');
        await low.rows(call);
        const root = await FaultClient.open(ofAll.port, { user: 'root', database: 'postgres' });
        await root.rows(
          `SELECT dblink_connect('l', '${trusting.replace('dbname=postgres', 'dbname=theirs')}')`,
        );
        await root.rows(`SELECT dblink_exec('l', $l$${call}$l$)`);
        await low.rows(`CREATE TABLE stolen (by text); GRANT INSERT ON stolen TO PUBLIC;
          DROP FUNCTION dblink_proxy.evidence(text, text);
          CREATE FUNCTION dblink_proxy.evidence(nonce text, role text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO public.stolen VALUES (current_user); RETURN repeat('0', 64); END $$`);
        await root.query(inside(`SELECT dblink_connect('x', '${trusting}')`));
        assert.deepEqual(await low.rows('SELECT by FROM stolen'), []);
        await Promise.all([low.end(), root.end()]);
      } finally {
        await Promise.all([ofLow.stop(), ofAll.stop()]);
      }
    });

    it('recursion without an end costs only its own session', async () => {
      const root = await open('root');
      await root.rows(`CREATE FUNCTION public.endless() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        RETURN (SELECT v FROM dblink('${trusting}', 'SELECT public.endless()') AS t(v text)); END $$`);
      const endless = root.query('SELECT public.endless()');
      const other = await open('low');
      for (let i = 0; i < 5; i++)
        assert.deepEqual(await other.rows('SELECT dblink_get_connections()'), [[null]]);
      assert.equal(errorOf(await endless)['C'], '54001');
      await Promise.all([root.end(), other.end()]);
      const inUse =
        "pg_stat_activity WHERE usename IN ('root', 'low', 'postgres') AND backend_type = 'client backend'";
      await eventually('all are gone', async () => (await direct(`SELECT FROM ${inUse}`)).length === 1);
    });
  });
}
