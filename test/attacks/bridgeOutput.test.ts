import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type BridgeWorld, makeBridgeWorld } from '../faults/world/bridgeWorld.js';
import { brief, errorOf, FaultClient } from '../faults/world/client.js';
import { testedMajors } from '../support/majors.js';
import type { Frame } from '../support/wire.js';

/**
 * The caller of a function with the rights of others has what it hands to dblink, or gets from it, shown: by messages that are too
 * long to be looked at, or by what the server says of statements to who asks it to.
 */

const SECRET = 'TopSecretPassword';
/** The remote makes it up, so that it is in no statement's text. */
const ROW = "reverse(''9abc5def'')";
const ANSWER = 'fed5cba9';

const shows = (frames: readonly Frame[], secret: string): boolean =>
  [secret, Buffer.from(secret).toString('hex')].some((form) =>
    frames.some(({ body }) => body.includes(form)),
  );

for (const major of testedMajors()) {
  describe(`what the bridge says, PostgreSQL ${major}`, () => {
    let world: BridgeWorld;
    const open = (): Promise<FaultClient> => FaultClient.open(world.proxy.port, { user: 'low' });

    before(async () => {
      world = await makeBridgeWorld({
        major,
        settings: {
          shared_preload_libraries: 'auto_explain',
          'auto_explain.log_min_duration': '0',
          'auto_explain.log_nested_statements': 'on',
          'auto_explain.log_verbose': 'on',
        },
      });
      const definer = (name: string, returns: string, body: string): string =>
        `CREATE FUNCTION public.${name} RETURNS ${returns} LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN ${body} END $f$;`;
      await world.onPrimary(`CREATE ROLE low LOGIN;
        CREATE TABLE public.secrets (conninfo text); INSERT INTO public.secrets VALUES ('host=127.0.0.1 port=1 password=${SECRET}');
        ${definer('connects()', 'text', `RETURN public.dblink_connect('d', '${world.conninfo('definer')}');`)}
        ${definer('counts(q text)', 'bigint', "RETURN (SELECT count(t.a) FROM public.dblink('d', q) AS t(a text));")}
        ${definer('asks_secret()', 'SETOF text', "RETURN QUERY SELECT t.a FROM public.dblink((SELECT s.conninfo FROM public.secrets AS s), 'SELECT 1') AS t(a text);")}`);
    });
    after(() => world.close());

    it('nothing of a request is shown because the session made its own setting long', async () => {
      const low = await open();
      const [[setting] = []] = await low.rows("SELECT current_setting('dblink_proxy.session')");
      for (const value of [`'${setting}' || repeat(' ', 1000)`, `repeat('x', 70000000) || '${setting}'`]) {
        await low.rows(`SELECT length(set_config('dblink_proxy.session', ${value}, false))`);
        const frames = await low.query('SELECT * FROM public.asks_secret()');
        assert.equal(errorOf(frames)['C'], '55000');
        assert.ok(!shows(frames, SECRET) && !shows(frames, 'asks_secret():'));
        assert.ok(frames.every(({ body }) => body.length < 100_000));
      }
      await low.end();
    });

    it('nothing of a request is shown because the statements around it are long', async () => {
      const low = await open();
      for (const bytes of [1_000_000, 70_000_000]) {
        const frames = await low.query(
          `DO $d$ BEGIN EXECUTE 'SELECT * FROM public.asks_secret() /*' || repeat('x', ${bytes}) || '*/'; END $d$`,
        );
        // An error that long ends the session.
        assert.match(errorOf(frames)['C'] ?? '', bytes > 64 << 20 ? /54000|08006/ : /08001/);
        assert.ok(!shows(frames, SECRET));
        assert.ok(!frames.some(({ type }) => type === 'N'));
      }
      await low.end();
      const next = await open();
      assert.deepEqual(await next.rows('SELECT public.connects()'), [['OK']]);
      await next.end();
    });

    it("rows of others' functions are in nothing that a session can switch on", async () => {
      const low = await open();
      await low.rows('SELECT public.connects()');
      const from = readFileSync(world.primary.logFile).length;
      for (const setting of [
        'client_min_messages = debug5',
        'client_min_messages = log',
        'debug_print_plan = on',
        'debug_print_parse = on',
        'debug_print_rewritten = on',
        'debug_pretty_print = off',
        'log_parameter_max_length_on_error = -1',
      ]) {
        await low.query(`SET ${setting}`);
      }
      const calls = [`SELECT ${ROW}`, `SELECT ${ROW}::text || g FROM generate_series(1, 20000) AS g`];
      for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ, READ ONLY']) {
        await low.query(`BEGIN ISOLATION LEVEL ${level}`);
        for (const call of calls) {
          const frames = await low.query(`SELECT public.counts('${call}')`);
          assert.match(brief(frames.filter(({ type }) => type !== 'N')), /^T D C:SELECT 1 /);
          assert.ok(!shows(frames, ANSWER), `${level}: ${call}`);
          // The user's own statement is still explained.
          assert.ok(frames.some(({ type, body }) => type === 'N' && body.includes('duration: ')));
        }
        await low.query('COMMIT');
      }
      await low.end();
      const plans = readFileSync(world.primary.logFile).subarray(from).toString('utf8');
      const hexadecimal = [...Buffer.from(ANSWER)].join(' ');
      // As the bytes of a constant in a plan that was printed.
      assert.ok(!plans.includes(hexadecimal));
    });
  });
}
