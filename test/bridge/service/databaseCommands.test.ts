import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type DatabaseServices, Services } from '../../../src/bridge/service/services.js';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { eventually, soon } from '../../support/eventually.js';
import { execute } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { frontend, WireConnection } from '../../support/wire.js';

/**
 * CREATE DATABASE … TEMPLATE and the like, right after the bridge was used in the database: PostgreSQL waits five seconds for
 * others to leave it, and then raises 55006.
 */
describe('commands that want a database for themselves', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;

  before(async () => {
    primary = await startPostgres({
      installation: await prepareBinaries({ major: 18, dblink: false }),
      hba: ['local all all trust', 'host all asked all scram-sha-256', 'host all all all trust'],
    });
    proxy = await startRelay(primary, {
      flags: { primary: `postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable` },
    });
    await execute(primary.url(), "CREATE ROLE asked LOGIN PASSWORD 'x'");
  });
  after(async () => {
    await proxy?.stop();
    await primary?.stop('immediate');
  });

  const USE = 'SELECT f() AS f';

  /** A new database with functions that call dblink, and a session in it. */
  async function newDatabase(name: string): Promise<Client> {
    await execute(primary.url(), `CREATE DATABASE ${name} TEMPLATE template0`);
    const client = await session(name);
    await client.query(
      `CREATE EXTENSION dblink;
       CREATE FUNCTION f() RETURNS text LANGUAGE sql AS
         $$ SELECT x FROM dblink('${primary.url()}', 'SELECT 1') AS t(x text) $$;
       CREATE FUNCTION large() RETURNS bigint LANGUAGE sql AS
         $$ SELECT count(x) FROM dblink('${primary.url()}', 'SELECT repeat(''x'', 100000) FROM generate_series(1, 9)') AS t(x text) $$;
       CREATE FUNCTION slowly() RETURNS text LANGUAGE sql AS
         $$ SELECT x FROM dblink('${primary.url()}', 'SELECT 1 FROM pg_sleep(0.3)') AS t(x text) $$;
       CREATE FUNCTION send(command text) RETURNS text LANGUAGE sql AS $$ SELECT dblink_exec('${primary.url()}', command) $$`,
    );
    return client;
  }

  async function session(database: string): Promise<Client> {
    const client = new Client({ connectionString: proxy.url(database) });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  const serviceConnections = async (database: string): Promise<number> => {
    const [row] = await execute(
      primary.url(),
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'dblink-proxy'`,
    );
    return Number(row?.[0]);
  };

  const untilNobodyIsIn = (database: string): Promise<void> =>
    soon(`service connections leave ${database}`, async () => (await serviceConnections(database)) === 0);

  /** A database that the bridge was used in, whose only session now is one that does not use it. */
  async function usedBefore(name: string): Promise<Client> {
    const user = await newDatabase(name);
    const idle = await session(name);
    await user.query(USE);
    await user.end();
    await eventually('the one who used it has left', async () => {
      const rows = await execute(
        primary.url(),
        `SELECT FROM pg_stat_activity WHERE datname = '${name}' AND application_name = ''`,
      );
      return rows.length === 1;
    });
    return idle;
  }

  it('find that service connections leave with the last session', async () => {
    const client = await newDatabase('parted');
    await client.query(USE);
    assert.ok((await serviceConnections('parted')) > 0);
    await client.end();
    await untilNobodyIsIn('parted');
    await execute(primary.url(), 'DROP DATABASE parted');
  });

  it('are carried out right after the last session has left, when there was something to be cleaned up', async () => {
    const client = await newDatabase('littered');
    await client.query('SELECT large()');
    await client.end();
    // Not by way of the proxy. From now on nobody can log in to the database.
    await execute(primary.url(), 'DROP DATABASE littered');
  });

  it('are carried out right after the session itself has made a call', async () => {
    const client = await newDatabase('kept');
    for (const command of [
      'CREATE DATABASE kept1 TEMPLATE kept',
      '/* a /* nested */ one\n */ create/**/ database -- x\n kept2 with owner = postgres template = "kept"',
    ]) {
      assert.equal((await client.query(USE)).rows[0].f, '1');
      await client.query(command);
    }
    assert.equal((await client.query(USE)).rows[0].f, '1');
    await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
    assert.equal((await client.query(USE)).rows[0].f, '1');
    await client.query('COMMIT');
    await client.query('CREATE DATABASE kept3 TEMPLATE kept');
    await client.end();
  });

  it('are carried out while a session is there that uses no service connection', async () => {
    const idle = await usedBefore('quiet');
    assert.ok((await serviceConnections('quiet')) > 0);
    await idle.query('CREATE DATABASE quiet1 TEMPLATE quiet');
    assert.equal(await serviceConnections('quiet'), 0);
    await idle.end();
  });

  it('are carried out behind other statements of their Query', async () => {
    const client = await newDatabase('renamed');
    const idle = await usedBefore('bystander');
    assert.ok((await serviceConnections('bystander')) > 0);
    // Among others it is refused at once. Their service connections leave all the same, as for ALTER DATABASE, which is not.
    await assert.rejects(client.query('SELECT f(); DROP DATABASE bystander'), { code: '25001' });
    assert.equal(await serviceConnections('bystander'), 0);
    await idle.end();
    await client.end();
    await untilNobodyIsIn('renamed');
  });

  it('wait for what was pipelined in front of them', async () => {
    await (await newDatabase('piped')).end();
    const { connection } = await WireConnection.open({
      host: '127.0.0.1',
      port: proxy.port,
      parameters: { user: 'postgres', database: 'piped' },
    });
    connection.send(
      frontend.query('SELECT slowly()'),
      frontend.query('CREATE DATABASE piped1 TEMPLATE piped'),
    );
    const frames = await connection.collect(2);
    assert.equal(frames.map(({ type }) => type).join(''), 'TDCZCZ');
    connection.send(
      frontend.parse('', 'SELECT slowly()'),
      frontend.bind({}),
      frontend.execute('', 0),
      frontend.sync(),
      frontend.parse('', 'CREATE DATABASE piped2 TEMPLATE piped'),
      frontend.bind({}),
      frontend.execute('', 0),
      frontend.sync(),
    );
    const extended = await connection.collect(2);
    assert.equal(extended.map(({ type }) => type).join(''), '12DCZ12CZ');
    await connection.end();
  });

  it('count when they are executed, not when they are prepared', async () => {
    const client = await newDatabase('prepared');
    await client.end();
    const { connection } = await WireConnection.open({
      host: '127.0.0.1',
      port: proxy.port,
      parameters: { user: 'postgres', database: 'prepared' },
    });
    connection.send(
      frontend.parse('copy', 'CREATE DATABASE prepared1 TEMPLATE prepared'),
      frontend.sync(),
      frontend.query(USE),
    );
    await connection.collect(2);
    connection.send(
      frontend.bind({ portal: 'p', statement: 'copy' }),
      frontend.execute('p', 0),
      frontend.sync(),
    );
    const frames = await connection.collect(1);
    assert.equal(frames.map(({ type }) => type).join(''), '2CZ');
    await connection.end();
  });

  it('are carried out when dblink sends them, be it from a function', async () => {
    const client = await newDatabase('sender');
    for (const send of [
      (command: string) => `SELECT dblink_exec('${primary.url()}', '${command}') AS done`,
      (command: string) => `SELECT send('${command}') AS done`,
    ]) {
      const other = await newDatabase('sent');
      await other.query(USE);
      await other.end();
      const { rows } = await client.query(send('DROP DATABASE sent'));
      assert.equal(rows[0].done, 'DROP DATABASE');
    }
    await client.end();
  });

  /** What a command for a database is told when others are in it. */
  async function refusal(command: string): Promise<string | undefined> {
    const harness = await session('postgres');
    try {
      const error = await harness.query(command).then(
        () => undefined,
        (error: { code: string; detail?: string }) => error,
      );
      assert.equal(error?.code, '55006');
      return error?.detail;
    } finally {
      await harness.end();
    }
  }

  it('count the sessions that natively are there, wherever these have used the bridge', async () => {
    const client = await newDatabase('counted');
    const other = await session('counted');
    await client.query(USE);
    await client.query('SELECT large()');
    await other.query(USE);
    await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await other.query(USE);
    const command = 'CREATE DATABASE counted1 TEMPLATE counted';
    assert.equal(await refusal(command), 'There are 2 other sessions using the database.');
    // They come back with their next calls.
    assert.equal((await other.query(USE)).rows[0].f, '1');
    await other.query('COMMIT');
    assert.equal((await client.query(USE)).rows[0].f, '1');
    assert.ok((await serviceConnections('counted')) > 0);
    await client.end();
    await other.end();
  });

  const ONE_OTHER = 'There is 1 other session using the database.';
  const LEVELS = [
    'READ COMMITTED',
    'REPEATABLE READ',
    'SERIALIZABLE',
    'REPEATABLE READ, READ ONLY',
    'READ COMMITTED, READ ONLY',
  ];

  it('count the session itself, and nothing else, when a function of it sends them for its own database', async () => {
    const harness = await session('postgres');
    await harness.query('SET allow_in_place_tablespaces = on');
    await harness.query("CREATE TABLESPACE elsewhere LOCATION ''");
    await harness.end();
    const commands = [
      (name: string) => `CREATE DATABASE ${name}_copy TEMPLATE ${name}`,
      (name: string) => `DROP DATABASE ${name}`,
      (name: string) => `ALTER DATABASE ${name} RENAME TO ${name}_renamed`,
      (name: string) => `ALTER DATABASE ${name} SET TABLESPACE elsewhere`,
      (name: string) => `CREATE DATABASE ${name}_copy TEMPLATE = "${name}"`,
    ];
    // Each waits for five seconds. In one database they would wait for each other.
    await Promise.all(
      LEVELS.map(async (level, i) => {
        const name = `itself${i}`;
        const client = await newDatabase(name);
        await client.query(`BEGIN ISOLATION LEVEL ${level}; SAVEPOINT s; SELECT f()`);
        const send = client.query('SELECT send($1)', [commands[i]!(name)]);
        await assert.rejects(send, { code: '55006', detail: ONE_OTHER }, level);
        await client.query('ROLLBACK TO s');
        assert.equal((await client.query(USE)).rows[0].f, '1', level);
        await client.query('COMMIT');
        await client.query('SELECT large()');
        await client.end();
      }),
    );
  });

  it('count those sessions that natively are there where one is nested in the other', async () => {
    const client = await newDatabase('outer_one');
    await client.query(
      `CREATE FUNCTION inside(command text) RETURNS text LANGUAGE sql AS
         $$ SELECT x FROM dblink('port=${primary.port} dbname=outer_one user=postgres', format('SELECT send(%L)', command)) AS t(x text) $$`,
    );
    await assert.rejects(client.query("SELECT inside('CREATE DATABASE outer_copy TEMPLATE outer_one')"), {
      code: '55006',
      detail: 'There are 2 other sessions using the database.',
    });
    assert.equal(
      (await client.query("SELECT inside('ALTER DATABASE outer_one CONNECTION LIMIT -1')")).rows.length,
      1,
    );
    await client.end();
  });

  it('can be handled, cancelled and limited by those who send them for their own database', async () => {
    const client = await newDatabase('handled');
    await client.query(
      `CREATE FUNCTION handles(command text) RETURNS text LANGUAGE plpgsql AS $$
       BEGIN
         RETURN send(command);
       EXCEPTION WHEN object_in_use OR query_canceled THEN
         RETURN SQLSTATE || ' ' || f();
       END $$;
       CREATE ROLE limited;
       CREATE FUNCTION definer(command text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT send(command)';
       ALTER FUNCTION definer OWNER TO postgres; GRANT USAGE ON SCHEMA public TO limited;`,
    );
    const command = 'CREATE DATABASE handled_copy TEMPLATE handled';
    const waiting = (): Promise<unknown> =>
      eventually('the function polls', async () => {
        const rows = await execute(
          primary.url(),
          `SELECT FROM pg_stat_activity WHERE datname = 'handled' AND wait_event = 'PgSleep'`,
        );
        return rows.length === 1 && (await serviceConnections('handled')) === 0;
      });
    const handled = client.query('SELECT handles($1) AS f', [command]);
    await waiting();
    assert.equal((await handled).rows[0].f, '55006 1');

    const other = await session('postgres');
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    for (const [sql, code] of [
      ['SELECT send($1)', '57014'],
      ['SELECT handles($1) AS f', undefined],
    ] as const) {
      const cancelled = client.query(sql, [command]);
      cancelled.catch(() => undefined);
      await waiting();
      await other.query('SELECT pg_cancel_backend($1)', [rows[0].pid]);
      if (code === undefined) assert.equal((await cancelled).rows[0].f, '57014 1');
      else
        await assert.rejects(cancelled, (error: { code: string; where: string }) => {
          assert.equal(error.code, code);
          // The function has been inlined.
          assert.equal(error.where, undefined);
          return true;
        });
    }
    await client.query("SET statement_timeout = '1s'");
    await assert.rejects(client.query('SELECT send($1)', [command]), { code: '57014' });
    await client.query('RESET statement_timeout');
    await soon('its remote has stopped', async () => {
      const working = `SELECT FROM pg_stat_activity WHERE query = '${command}' AND state = 'active'`;
      return (await execute(primary.url(), working)).length === 0;
    });

    // One who could not take the role of the function's owner: the proxy vouches for the process again.
    await client.query('SET SESSION AUTHORIZATION limited');
    await assert.rejects(client.query('SELECT definer($1)', [command]), { code: '55006', detail: ONE_OTHER });
    assert.equal((await client.query("SELECT definer('RESET ALL') AS f")).rows[0].f, 'RESET');
    await client.query('RESET SESSION AUTHORIZATION');
    await other.end();
    await client.end();
  });

  it('are refused to a session that ends meanwhile', async () => {
    const client = await newDatabase('gone');
    const sent = client.query("SELECT send('CREATE DATABASE gone_copy TEMPLATE gone')");
    sent.catch(() => undefined);
    await eventually('the service connection has left', async () => (await serviceConnections('gone')) === 0);
    // pg's end() waits for the statement.
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await soon('its process ends', async () => {
      const rows = await execute(primary.url(), "SELECT FROM pg_stat_activity WHERE datname = 'gone'");
      return rows.length === 0;
    });
    await execute(primary.url(), 'DROP DATABASE gone');
  });

  it('leave a call its answer, whenever it is made', async () => {
    const client = await newDatabase('working');
    const other = await session('working');
    await other.query(USE);
    let calls = 0;
    let over = false;
    const work = (async () => {
      while (!over) {
        assert.equal((await client.query('SELECT slowly() AS f')).rows[0].f, '1');
        // Its place is wanted between two calls as well.
        assert.equal((await other.query(USE)).rows[0].f, '1');
        calls++;
      }
    })();
    await refusal('CREATE DATABASE working1 TEMPLATE working');
    over = true;
    await work;
    assert.ok(calls > 0);
    await client.end();
    await other.end();
  });

  it('of those who may not give them keep nobody from working', async () => {
    const victim = await newDatabase('attacked');
    await execute(primary.url(), 'CREATE ROLE nobody LOGIN');
    await execute(primary.url('attacked'), 'GRANT USAGE ON SCHEMA public TO PUBLIC');
    const attacker = new Client({
      connectionString: `postgres://nobody@127.0.0.1:${proxy.port}/attacked?sslmode=disable`,
    });
    await attacker.connect();
    const begun = performance.now();
    const processes = new Set<string>();
    for (let round = 0; round < 100; round++) {
      assert.equal((await victim.query(USE)).rows[0].f, '1');
      const [row] = await execute(
        primary.url(),
        `SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE datname = 'attacked' AND application_name = 'dblink-proxy'`,
      );
      processes.add(String(row?.[0]));
      await assert.rejects(attacker.query('DROP DATABASE attacked'), { code: '42501' });
      await assert.rejects(attacker.query('CREATE DATABASE mine TEMPLATE attacked'), { code: '42501' });
    }
    // Once for each five seconds they have to log in again.
    const most = 2 + Math.floor((performance.now() - begun) / 5_000);
    assert.ok(processes.size >= 2 && processes.size <= most, `${processes.size} of at most ${most}`);
    await attacker.end();
    await victim.end();
  });

  it('of those who have not logged in have nothing leave', async () => {
    const idle = await usedBefore('guarded');
    const count = await serviceConnections('guarded');
    assert.ok(count > 0);
    const stranger = await RawClient.connect(proxy.port);
    stranger.write(frontend.startup({ user: 'asked', database: 'guarded' }));
    assert.equal((await stranger.message())?.type, 'R');
    stranger.write(frontend.query('DROP DATABASE guarded'));
    // The primary has expected a password.
    await stranger.toEnd();
    assert.equal(await serviceConnections('guarded'), count);
    await idle.end();
  });
});

describe('the service connections of a database', () => {
  let primary: PostgresServer;
  let warned: string[];
  let failed: number;

  before(async () => {
    primary = await startPostgres({ installation: await prepareBinaries({ major: 18, dblink: false }) });
  });
  after(() => primary?.stop('immediate'));

  function house(port: number, database: string): { house: Services; services: DatabaseServices } {
    warned = [];
    failed = 0;
    const ignore = (): void => undefined;
    const log = {
      trace: ignore,
      info: ignore,
      error: ignore,
      warn: (_: object, message: string) => void warned.push(message),
      debug: (_: object, message: string) => {
        if (message.startsWith('side tables')) failed++;
      },
    };
    const server = {
      address: { host: '127.0.0.1', port },
      tls: { mode: 'disable' },
      plainPassword: true,
    } as ConstructorParameters<typeof Services>[0];
    const all = new Services(server, log);
    return {
      house: all,
      services: all.of(database, { user: 'postgres', password: undefined, own: false }),
    };
  }

  it('are told to all who share one when one of them closes it', async () => {
    const { house: all, services } = house(primary.port, 'postgres');
    const one = await services.join(['one']);
    const other = await services.join(['other']);
    let lost = 0;
    other.onLost = () => {
      lost++;
    };
    one.connection.close();
    one.connection.close();
    assert.equal(lost, 1);
    const again = await services.join(['other']);
    assert.equal(again.connection.closed, false);
    await all.close();
    assert.deepEqual(warned, ['service connection of the bridge lost']);
  });

  it('stay while somebody uses them, and do not log in to leave', async () => {
    const { house: all, services } = house(primary.port, 'postgres');
    const member = await services.join(['one']);
    await Promise.all([all.presence.vacate(['postgres']), all.presence.vacate(['postgres'])]);
    assert.equal(member.connection.closed, false);
    member.leave();
    services.discard(['rows_1_01234567_1']);
    await all.presence.vacate(['postgres', 'other']);
    assert.equal(member.connection.closed, true);
    assert.equal(failed, 0);
    await all.close();

    let connected = 0;
    const listener = createServer((socket) => {
      connected++;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await eventually('it listens', () => listener.listening);
    const { port } = listener.address() as { port: number };
    const nobody = house(port, 'postgres');
    nobody.services.discard(['rows_1_01234567_1']);
    await nobody.services.vacate();
    assert.equal(connected, 0);
    await nobody.house.close();
    listener.close();
  });

  it('give up what is to be dropped when the database is gone', async () => {
    await execute(primary.url(), 'CREATE DATABASE forced');
    const { house: all, services } = house(primary.port, 'forced');
    const member = await services.join(['one']);
    await execute(primary.url(), 'DROP DATABASE forced WITH (FORCE)');
    await eventually('the connection is lost', () => member.connection.closed);
    member.leave();
    services.discard(['rows_1_01234567_1']);
    // Both wait for the same attempt.
    await Promise.all([all.close(), all.close()]);
    assert.equal(failed, 1);
    // What is still to be dropped would be tried once more here.
    await all.close();
    assert.equal(failed, 1);
  });
});
