import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { RawClient } from '../support/rawClient.js';
import { frontend } from '../support/wire.js';
import { brief } from './world/client.js';
import { remote, scriptedRemote } from './world/scriptedRemote.js';
import { makeWorld, type World } from './world/world.js';

const MIB = 1 << 20;

describe('a client that pipelines', () => {
  let world: World;
  before(async () => {
    world = await makeWorld();
  });
  after(() => world.close());

  const slow = "SELECT * FROM dblink('c', 'SELECT pg_sleep(0.5)::text') AS t(a text)";

  it('gets the answers to many statements of all kinds behind a slow call in their order', async () => {
    const client = await world.session('pipe-order');
    const messages: Buffer[] = [];
    const expected: string[] = [];
    const statements: readonly (readonly [sql: string, simple: string, extended: string])[] = [
      [slow, 'T D C:SELECT 1 Z:I', '1 2 T D C:SELECT 1 Z:I'],
      ['SELECT 1', 'T D C:SELECT 1 Z:I', '1 2 T D C:SELECT 1 Z:I'],
      ["SELECT dblink_exec('c', 'SET a.b = 1')", 'T D C:SELECT 1 Z:I', '1 2 T D C:SELECT 1 Z:I'],
      [
        "SELECT count(*) FROM dblink('c', 'SELECT 1') AS t(a int)",
        'T D C:SELECT 1 Z:I',
        '1 2 T D C:SELECT 1 Z:I',
      ],
      ["SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)", 'T E:22012 Z:I', '1 2 T E:22012 Z:I'],
      ['SELECT 1/0', 'E:22012 Z:I', '1 E:22012 Z:I'],
      ["SELECT dblink_exec('nosuch', 'x')", 'T E:08001 Z:I', '1 2 T E:08001 Z:I'],
    ];
    for (let i = 0; i < 300; i++) {
      const [sql, simple, extended] = statements[i === 0 ? 0 : 1 + (i % (statements.length - 1))]!;
      messages.push(i % 2 === 0 ? frontend.query(sql) : client.extended(sql));
      expected.push(i % 2 === 0 ? simple : extended);
    }
    client.wire.send(...messages);
    const frames = await client.answer(messages.length);
    assert.equal(brief(frames), expected.join(' '));
    await client.end();
  });

  it('in a batch without Sync between: an error skips to the Sync', async () => {
    const client = await world.session('pipe-batch');
    const statement = (sql: string) =>
      Buffer.concat([frontend.parse('', sql), frontend.bind({}), frontend.execute('', 0)]);
    const good = "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)";
    const bad = "SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)";
    client.wire.send(
      statement(good),
      statement('SELECT 2'),
      statement(bad),
      statement(good),
      statement('SELECT 3'),
      frontend.sync(),
      statement(good),
      frontend.sync(),
    );
    assert.equal(
      brief(await client.answer(2)),
      '1 2 D C:SELECT 1 1 2 D C:SELECT 1 1 2 E:22012 Z:I 1 2 D C:SELECT 1 Z:I',
    );
    await client.end();
  });

  it('one byte at a time', async () => {
    const client = await world.session('pipe-bytes');
    const bytes = Buffer.concat([
      frontend.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"),
      client.extended("SELECT a + 1 FROM dblink('c', 'SELECT 1') AS t(a int)"),
      frontend.query("SELECT dblink_exec('c', 'SET a.b = 1')"),
    ]);
    for (const byte of bytes) {
      client.wire.send(Buffer.from([byte]));
      if (byte % 16 === 0) await delay(0);
    }
    assert.equal(
      brief(await client.answer(3)),
      'T D C:SELECT 1 Z:I 1 2 T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I',
    );
    await client.end();
  });

  it('64 MiB behind a slow call: is read no further than a little, and answered in the end', async () => {
    const client = await world.session('pipe-long');
    const { memory: idle } = await world.proxy.state(true);
    const statement = frontend.query(`SELECT length('${'x'.repeat(100_000)}')`);
    const count = Math.ceil((64 * MIB) / statement.length);
    const release = await world.hold();
    client.wire.send(
      frontend.query("SELECT * FROM dblink('c', 'SELECT a FROM held') AS t(a int)"),
      ...Array.from({ length: count }, () => statement),
    );
    await world.runs('pipe-long', 'held');
    // What the proxy takes it has taken when it takes no more while another session makes its calls.
    const other = await world.session('pipe-beside');
    let waiting = -1;
    await eventually('the proxy reads no further', async () => {
      const before = waiting;
      for (let i = 0; i < 5; i++) await other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
      waiting = client.wire.unsent();
      assert.ok(waiting > 0, 'it has taken all');
      assert.equal(waiting, before);
    });
    const { memory } = await world.proxy.state();
    assert.ok(
      memory.rss + memory.external < idle.rss + idle.external + 24 * MIB,
      JSON.stringify([idle, memory]),
    );
    await release();
    await other.end();
    const frames = await client.wire.collect(count + 1);
    assert.equal(frames.filter(({ type }) => type === 'C').length, count + 1);
    await client.end();
  });

  it('one statement of many megabytes behind a slow call', async () => {
    const client = await world.session('pipe-large');
    const text = 'y'.repeat(20 * MIB);
    client.wire.send(
      frontend.query(slow),
      frontend.query(`SELECT length('${text}')`),
      frontend.query('SELECT 1'),
    );
    const frames = await client.wire.collect(3);
    assert.equal(brief(frames), 'T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I');
    await client.end();
  });

  it('and never reads answers or notices: memory stays', async (t) => {
    // Calls that need no primary, whose answers and notices are long.
    const server = await scriptedRemote({
      query: (_, socket) =>
        socket.write(Buffer.concat([remote.error('22000', 'n'.repeat(20_000)), remote.ready()])),
    });
    t.after(() => server.close());
    const { memory: idle } = await world.proxy.state(true);
    const client = await RawClient.connect(world.proxy.port);
    client.write(
      frontend.startup({ user: 'postgres', database: 'postgres' }),
      frontend.query(`SELECT dblink_connect('h', '${server.conninfo}')`),
    );
    await client.until('Z', 2);
    const other = await world.session('pipe-other');
    client.socket.pause();
    const statement = frontend.query("SELECT dblink_exec('h', 'x', false)");
    const extended = other.extended("SELECT dblink_exec('h', 'x', false)");
    client.write(...Array.from({ length: 8_000 }, (_, i) => (i % 2 === 0 ? statement : extended)));
    // Until nothing is taken any more, neither by the proxy nor of its answers.
    const left = (): number => client.socket.writableLength;
    for (let calm = 0, before = -1; calm < 3; ) {
      for (let i = 0; i < 10; i++) {
        assert.match(
          brief(await other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
          /C:SELECT 1 Z:I$/,
        );
        await delay(5);
      }
      calm = left() === before ? calm + 1 : 0;
      before = left();
    }
    const { memory } = await world.proxy.state(true);
    assert.ok(
      memory.rss + memory.external < idle.rss + idle.external + 32 * MIB,
      JSON.stringify([idle, memory]),
    );
    client.destroy();
    await eventually('the remote connection is closed', () => assert.equal(server.open(), 0));
    await other.end();
  });
});
