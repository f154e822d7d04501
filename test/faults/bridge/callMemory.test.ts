import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/eventually.js';
import { type FaultClient, firstValue } from '../world/client.js';
import { FULL, growth, heldBack, MIB, ROOM } from '../world/memoryGrowth.js';
import { numberedRows, ROW_BYTES, RowReader } from '../world/numberedRows.js';
import { makeWorld, type World } from '../world/world.js';

const RESULT_BYTES = (FULL ? 2048 : 96) * MIB;
const ROWS = RESULT_BYTES / ROW_BYTES;
const COLUMNS = 'AS t(n int, line text)';

describe('memory of calls whose rows nobody takes', () => {
  let world: World;
  let other: FaultClient;
  before(async () => {
    world = await makeWorld();
    other = await world.session('calls-other');
  });
  after(async () => {
    await other.end();
    await world.close();
  });

  /** A process that has passed rows of this kind, then a check that it holds no more than it did, and serves others. */
  async function flat(): Promise<() => Promise<void>> {
    const reader = await RowReader.open(world.proxy.port);
    await reader.run(
      `SELECT * FROM dblink('${world.conninfo('calls-warm')}', '${numberedRows(500)}') ${COLUMNS}`,
    );
    assert.equal(reader.rows, 500);
    reader.end();
    await world.gone('calls-warm');
    const idle = await world.proxy.state(true);
    return async () => {
      assert.equal(firstValue(await other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")), '1');
      const state = await world.proxy.state(true);
      const more = growth(idle, state);
      assert.ok(more < ROOM, `${more / MIB} MiB more than idle: ${JSON.stringify(state)}`);
    };
  }

  /** Takes a little now and then, once no more can come, and in the end all the rest, while memory stays flat. */
  async function readSlowly(
    reader: RowReader,
    tag: string,
    sql: string,
    isFlat: () => Promise<void>,
  ): Promise<void> {
    let over = false;
    const answered = reader.run(sql).finally(() => {
      over = true;
    });
    answered.catch(() => undefined);
    await eventually('rows come', () => assert.ok(reader.rows > 0));
    for (let i = 0; i < 4; i++) {
      reader.pause();
      await heldBack(world.onRemote, tag);
      await isFlat();
      reader.resume();
      await delay(1);
    }
    reader.pause();
    await heldBack(world.onRemote, tag);
    await isFlat();
    assert.ok(reader.rows < ROWS, 'the client was slow, yet everything has come');
    reader.resume();
    while (!over) {
      await isFlat();
      await delay(200);
    }
    assert.equal(await answered, `SELECT ${ROWS}`);
    assert.equal(reader.rows, ROWS);
    await isFlat();
  }

  /** A reader with a connection c. */
  async function connected(tag: string): Promise<RowReader> {
    const reader = await RowReader.open(world.proxy.port);
    assert.equal(await reader.run(`SELECT dblink_connect('c', '${world.conninfo(tag)}')`), 'SELECT 1');
    return reader;
  }

  it(`dblink_fetch of ${RESULT_BYTES / MIB} MiB to a client that is slow: flat, and nothing is lost`, async () => {
    const isFlat = await flat();
    const reader = await connected('calls-fetch');
    await reader.run(`SELECT dblink_open('c', 'k', '${numberedRows(ROWS)}')`);
    await readSlowly(
      reader,
      'calls-fetch',
      `SELECT * FROM dblink_fetch('c', 'k', ${ROWS + 1}) ${COLUMNS}`,
      isFlat,
    );
    assert.equal(await reader.run("SELECT dblink_close('c', 'k')"), 'SELECT 1');
    reader.end();
    await world.gone('calls-fetch');
  });

  it(`an asynchronous result of ${RESULT_BYTES / MIB} MiB that waits, then goes to a client that is slow: flat, and nothing is lost`, async () => {
    const isFlat = await flat();
    const reader = await connected('calls-unread');
    await reader.run(`SELECT dblink_send_query('c', '${numberedRows(ROWS)}')`);
    for (let i = 0; i < 5; i++) {
      if (i > 0) await heldBack(world.onRemote, 'calls-unread');
      // What has come is looked at, and taken in as far as there is room.
      await reader.run("SELECT dblink_is_busy('c')");
      await isFlat();
    }
    await heldBack(world.onRemote, 'calls-unread');
    await readSlowly(reader, 'calls-unread', `SELECT * FROM dblink_get_result('c') ${COLUMNS}`, isFlat);
    assert.equal(await reader.run(`SELECT * FROM dblink_get_result('c') ${COLUMNS}`), 'SELECT 0');
    assert.equal(await reader.run("SELECT dblink_exec('c', 'SET a.b = 1')"), 'SELECT 1');
    reader.end();
    await world.gone('calls-unread');
  });
});
