import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { normalise } from '../parity/normalise.js';
import { testedMajors } from '../support/majors.js';
import { createDatabase, execute, primaryServer } from '../support/postgres.js';
import { RawClient, split } from '../support/rawClient.js';
import { type RelayProxy, startRelay } from '../support/relay.js';
import { frontend } from '../support/wire.js';
import { refused, type State, states } from './refusedMessages.js';

const PREPARED = Buffer.concat([
  frontend.query('BEGIN; COMMIT'),
  frontend.parse('known', 'SELECT $1::text'),
  frontend.bind({ portal: 'bound', statement: 'known', values: [Buffer.from('x')] }),
  frontend.sync(),
]);

/** Sends bytes in a state, and a query behind them. @returns what has come, and the client, which still waits */
async function send(
  port: number,
  { asked, until, flight = Buffer.alloc(0) }: State,
  bytes: Buffer,
): Promise<readonly [Buffer, RawClient]> {
  const client = await RawClient.connect(port);
  client.write(frontend.startup({ user: 'postgres', database: 'refusals' }), PREPARED);
  await client.until('Z', 3);
  client.write(asked);
  const begun = await client.until(...until);
  // In one piece: a server that closes the connection before it has read everything would take its last words back.
  client.write(flight, bytes, frontend.query("SELECT 'next'"));
  return [Buffer.concat(begun.map(({ whole }) => whole)), client];
}

/** What a server answers until it has nothing more to read. */
async function answer(port: number, state: State, bytes: Buffer): Promise<Buffer> {
  const [begun, client] = await send(port, state, bytes);
  client.socket.end();
  return Buffer.concat([begun, await client.toEnd()]);
}

/** What the proxy answers: as many bytes as the server does, and then whatever comes up to the end. */
async function proxied(port: number, state: State, bytes: Buffer, length: number): Promise<Buffer> {
  const [begun, client] = await send(port, state, bytes);
  const taken = Buffer.concat([begun, await client.bytes(length - begun.length)]);
  client.socket.end();
  return Buffer.concat([taken, await client.toEnd()]);
}

const shown = (bytes: Buffer): string[] =>
  split(bytes).map((one) => normalise(one).whole.toString('latin1').replaceAll('\0', '.'));

for (const major of testedMajors()) {
  describe(`what PostgreSQL ${major} refuses`, () => {
    let port: number;
    let proxy: RelayProxy;
    before(async () => {
      const primary = await primaryServer(major);
      port = primary.port;
      await execute(await createDatabase(primary, 'refusals'), 'CREATE TABLE kept (n int)');
      proxy = await startRelay(primary);
    });
    after(() => proxy?.stop());
    for (const [when, state] of states) {
      it(`is refused alike ${when}`, async () => {
        const differences: string[] = [];
        for (const [name, bytes] of refused) {
          // Before PostgreSQL 14 a server reads all of such a message before it answers.
          if (major < 14 && name === 'a Bind of 2 GiB') continue;
          const direct = await answer(port, state, bytes);
          const through = await proxied(proxy.port, state, bytes, direct.length).catch((error: Error) =>
            Buffer.from(`?    ${error.message}`),
          );
          const [expected, actual] = [shown(direct), shown(through)];
          if (expected.join() !== actual.join())
            differences.push(`${name}: direct ${expected}, through the proxy ${actual}`);
        }
        assert.deepEqual(differences, []);
      });
    }
  });
}
