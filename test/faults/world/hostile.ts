import assert from 'node:assert/strict';
import { after, before, type TestContext } from 'node:test';
import { FaultClient, firstValue } from './client.js';
import { type RemoteScript, remote, type ScriptedRemote, scriptedRemote } from './scriptedRemote.js';
import { makeWorld, type World } from './world.js';

export const TEXT = 25;
export const INT4 = 23;
export const MIB = 1 << 20;

/** A statement for each of the plans that read rows, and what the remote is asked in both. */
export const PLANS = {
  stream: "SELECT * FROM dblink('h', 'SELECT hostile') AS t(a int, b text)",
  splice: "SELECT a + 1, b FROM dblink('h', 'SELECT hostile') AS t(a int, b text)",
} as const;

export const COLUMNS = remote.columns([INT4, TEXT]);
export const END = Buffer.concat([remote.tag('SELECT 2'), remote.ready()]);
export const GOOD = Buffer.concat([COLUMNS, remote.row(['1', 'one']), remote.row(['2', null]), END]);

/** Where hostile remotes are tried: a world, and another session that must not notice. */
export class HostileWorld {
  world!: World;
  #other!: FaultClient;

  /** Registers the hooks of the suite that it is called in. */
  constructor() {
    before(async () => {
      this.world = await makeWorld();
      this.#other = await this.world.session('hostile-other');
    });
    after(async () => {
      await this.#other.end();
      await this.world.close();
    });
  }

  async start(t: TestContext, script: RemoteScript): Promise<ScriptedRemote> {
    const server = await scriptedRemote(script);
    t.after(() => server.close());
    return server;
  }

  /** A session without connections. */
  client(): Promise<FaultClient> {
    return FaultClient.open(this.world.proxy.port);
  }

  /** A session whose connection h leads to the remote. */
  async connected(server: ScriptedRemote): Promise<FaultClient> {
    const client = await this.client();
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    return client;
  }

  /** The other session, before and after whatever happened. */
  async othersAreWell(): Promise<void> {
    const frames = await this.#other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
    assert.equal(firstValue(frames), '1');
    assert.deepEqual((await this.world.proxy.state()).unhandled, []);
  }
}
