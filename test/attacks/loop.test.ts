import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type BridgeWorld, makeBridgeWorld } from '../faults/world/bridgeWorld.js';
import { brief, errorOf, FaultClient } from '../faults/world/client.js';
import { type Frame, frontend } from '../support/wire.js';
import { costsNoMoreThan } from './support/delay.js';

/**
 * Rule: nothing that one session sends, or has the primary send, holds up the event loop, by which all are served.
 */

const MEGABYTE = 1 << 20;

let world: BridgeWorld;
let low: FaultClient;

const filled = (unit: string, bytes = MEGABYTE): string => unit.repeat(Math.floor(bytes / unit.length));

/** Statements of which each fails with this text in the CONTEXT of its error. */
const inContext = (unit: string, bytes = MEGABYTE): string =>
  `DO $a$ BEGIN EXECUTE '/* dblink ' || repeat(E'${unit}', ${Math.floor(bytes / unit.replaceAll('\\n', '.').length)}) || '*/ SELECT 1/0'; END $a$`;

const fails = async (sql: string, sqlstate: string): Promise<void> => {
  assert.equal(errorOf(await low.query(sql))['C'], sqlstate);
};

/** As much work for everything on the way that looks at nothing. */
const plain = (): Promise<void> => fails(inContext('word '), '22012');

const query = (sql: string) => (): Promise<Frame[]> => low.query(sql);

/** A statement as long that is only forwarded. */
const forwarded = query(`SELECT length('${filled('x')}')`);

describe('a session does not hold up others', { timeout: 600_000 }, () => {
  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary('CREATE ROLE low LOGIN; CREATE ROLE other LOGIN');
    low = await FaultClient.open(world.proxy.port, { user: 'low' });
  });
  after(async () => {
    await low.end();
    await world.assertIdle();
    await world.close();
  });

  describe('by the CONTEXT of an error', () => {
    for (const unit of [
      'PL/pgSQL ',
      'PL/pgSQL dblink_proxy.',
      'dblink_proxy.tell(text[])\\n',
      '/\\*dblink-proxy\\*/\\n',
      'dblink_proxy.ask(\\n',
      'SQL status dblink ',
      'PL/pgSQL dblink_get_pkey(text) ',
    ]) {
      it(`that repeats ${unit}`, async () => {
        const text = unit.replaceAll('\\*', '*').replaceAll('*/', "*' || '/");
        await costsNoMoreThan(world, plain, () => fails(inContext(text), '22012'));
      });
    }
  });

  it('by the CONTEXT of what the server logs', async () => {
    const session = await FaultClient.open(world.proxy.port, { user: 'low' });
    await session.rows('SET client_min_messages = log');
    // A line with quotation marks is no function's frame, so that the next one is looked at.
    const logged = (line: string): string =>
      `SET debug_print_parse = on; ${inContext(line).replace('SELECT 1/0', 'SELECT 1')}; RESET debug_print_parse`;
    const send = (line: string) => async (): Promise<void> => {
      assert.match(brief(await session.query(logged(line))), /C:DO/);
    };
    await costsNoMoreThan(world, send('word '), send('"PL/pgSQL\\n'));
    await session.end();
  });

  describe('by a statement', () => {
    const exec = (argument: string): string => `SELECT dblink_exec('c', 'x', ${argument})`;
    const calls = (call: string, bytes: number): string => `SELECT ${filled(`${call},`, bytes).slice(0, -1)}`;
    const attacks: Readonly<Record<string, string>> = {
      'with blanks where a boolean is read': exec(`'${filled(' ', 900_000)}x'`),
      'with hundreds of calls in 8 KB': calls("dblink_exec('c')", 8000),
      'with calls inside of calls': `SELECT ${'dblink('.repeat(1000)}1${')'.repeat(1000)}`,
      'with functions around a call': `SELECT ${'f('.repeat(2500)}dblink_exec('c')${')'.repeat(2500)}`,
      'with operators around a call': `SELECT dblink_exec('c')${'+1'.repeat(3900)}`,
      'with comments in 8 KB': `SELECT dblink_exec('c') ${filled('/**/', 8000)}`,
      'with calls in a megabyte': calls("dblink_exec('c')", MEGABYTE),
      'with statements in a megabyte': filled("SELECT dblink_exec('c');", MEGABYTE),
      'with a list that looks up the extension': `SELECT FROM pg_extension WHERE extname = 'dblink' AND 1 IN (${filled('1,', MEGABYTE)}1)`,
    };
    for (const [name, sql] of Object.entries(attacks)) {
      it(name, () => costsNoMoreThan(world, forwarded, query(sql)));
    }

    it('whose literals have backslashes that are escapes', async () => {
      const session = await FaultClient.open(world.proxy.port, {
        user: 'low',
        options: '-c standard_conforming_strings=off -c escape_string_warning=off',
      });
      const literals = `SELECT dblink_exec('c'), ${filled("'\\\\',", MEGABYTE)}1`;
      await costsNoMoreThan(world, forwarded, () => session.query(literals));
      await session.end();
    });

    it('that pg_dump might send', async () => {
      const dump = await FaultClient.open(world.proxy.port, { user: 'low', application_name: 'pg_dump' });
      const comments = `SELECT FROM pg_class WHERE false ${filled('/**/', 60_000)}`;
      await costsNoMoreThan(world, forwarded, () => dump.query(comments));
      await dump.end();
    });
  });

  it('by a forged request with a megabyte of arguments', async () => {
    const forged = (args: string): string =>
      `DO $a$ BEGIN RAISE INFO '%', concat_ws(':', 'dblink-proxy', split_part(current_setting('dblink_proxy.session'), ':', 1),
        gen_random_uuid(), 'a', 'row', pg_backend_pid(), 'dblink(text)', '6c6f77', repeat('${args}', ${MEGABYTE / args.length})); END $a$`;
    await costsNoMoreThan(world, plain, async () => {
      assert.match(brief(await low.query(forged(','))), /^C:DO Z:I$/);
    });
  });

  it('by thousands of portals in one flight', async () => {
    await low.rows('BEGIN');
    low.wire.send(Buffer.concat([frontend.parse('p', "SELECT dblink_exec('c', $1)"), frontend.sync()]));
    await low.answer();
    await low.rows('ROLLBACK');
    const many = 5_000;
    const flight = (statement: string): Buffer =>
      Buffer.concat(
        Array.from({ length: many }, (_, i) =>
          Buffer.concat([frontend.bind({ portal: `p${i}`, statement }), frontend.sync()]),
        ),
      );
    const send = (bytes: Buffer) => async (): Promise<void> => {
      low.wire.send(bytes);
      await low.answer(many);
    };
    await costsNoMoreThan(world, send(flight('nothing')), send(flight('p')));
  });

  it('by texts that take long to analyse: those of others have their turns between', async () => {
    const heavy = (n: number): string =>
      `SELECT dblink_exec('c', 'x'), ${n} IN (${filled('12345,', 4 * MEGABYTE)}1)`;
    const clients = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() => FaultClient.open(world.proxy.port, { user: 'low' })),
    );
    const other = await FaultClient.open(world.proxy.port, { user: 'other' });
    let done = 0;
    const attacks = clients.map(async (client, i) => {
      await client.query(heavy(i));
      done++;
    });
    const text = `SELECT dblink_exec('c', 'x') -- ${filled('y', 10_000)}`;
    assert.equal(errorOf(await other.query(text))['C'], '2F003');
    assert.ok(done < clients.length, 'the other one was the last');
    await Promise.all(attacks);
    await Promise.all([...clients, other].map((client) => client.end()));
  });
});
