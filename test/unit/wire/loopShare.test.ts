import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { PrimaryLink } from '../../../src/primary/primaryLink.js';
import { ClientLink } from '../../../src/session/clientLink.js';
import { errorResponse, noticeResponse, PgError } from '../../../src/wire/errors.js';
import { WireClient } from '../../../src/wire/outbound/index.js';
import { LoopShare } from '../../../src/wire/pace/loopShare.js';
import { message } from './client-support.js';

/** Rule: however many messages a peer sends at once, the event loop turns between them. */

const MANY = 20_000;

/** Two ends of a real connection. */
async function connected(): Promise<{ near: Socket; far: Socket; end(): void }> {
  const server = createServer({ noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [near] = (await once(server, 'connection')) as [Socket];
  return {
    near,
    far,
    end() {
      near.destroy();
      far.destroy();
      server.close();
    },
  };
}

/** Of a server that logs somebody in, what is behind its AuthenticationOk. */
const WELCOME_REST = Buffer.concat([message.key(), message.ready('I')]);

/** Counts how many messages come in each turn of the event loop. */
class Turns {
  count = 0;
  most = 0;
  #inTurn = 0;
  #over = false;

  constructor() {
    const turn = (): void => {
      this.#inTurn = 0;
      if (!this.#over) setImmediate(turn);
    };
    turn();
  }

  message(): void {
    this.count++;
    this.most = Math.max(this.most, ++this.#inTurn);
  }

  stop(): void {
    this.#over = true;
  }
}

const flood = (one: Buffer): Buffer => Buffer.concat(Array<Buffer>(MANY).fill(one));

test('a share is as many messages as their costs allow', () => {
  let ways = 0;
  const share = new LoopShare(() => ways++);
  for (let i = 0; i < 10_000; i++) share.notice(100);
  const notices = ways;
  for (let i = 0; i < 10_000; i++) share.passed();
  assert.ok(notices > 200 && ways - notices <= 1, `${notices}, ${ways}`);
});

test('notices of a primary, and what it says at its end', async () => {
  const { near, far, end } = await connected();
  const turns = new Turns();
  const forwarded: Buffer[] = [];
  const nothing = (): void => {};
  const closed = new Promise<string | undefined>((resolve) => {
    new PrimaryLink(far, {
      forward: (bytes) => void forwarded.push(Buffer.from(bytes)),
      chunk: nothing,
      notice: () => {
        turns.message();
        return true;
      },
      error: (bytes) => bytes,
      settled: nothing,
      copying: nothing,
      notification: () => true,
      parameter: () => true,
      ready: nothing,
      closed: resolve,
    });
  });
  const notice = noticeResponse(new PgError('00000', 'n', { severity: 'NOTICE' }));
  const farewell = errorResponse(new PgError('57P01', 'goodbye', { severity: 'FATAL' }));
  near.end(Buffer.concat([flood(notice), farewell]));
  assert.equal(await closed, '57P01');
  turns.stop();
  assert.equal(turns.count, MANY);
  assert.ok(turns.most < MANY / 10, `${turns.most} in one turn`);
  assert.deepEqual(Buffer.concat(forwarded), Buffer.concat([flood(notice), farewell]));
  end();
});

test('a primary that resets the connection behind a flood has been read to its end', async () => {
  const { near, far, end } = await connected();
  let notices = 0;
  const nothing = (): void => {};
  const closed = new Promise<string | undefined>((resolve) => {
    new PrimaryLink(far, {
      forward: nothing,
      chunk: nothing,
      notice: () => {
        // What has come is held by now; the connection ends before it is looked at.
        if (++notices === 1) far.destroy();
        return true;
      },
      error: (bytes) => bytes,
      settled: nothing,
      copying: nothing,
      notification: () => true,
      parameter: () => true,
      ready: nothing,
      closed: resolve,
    });
  });
  near.write(flood(noticeResponse(new PgError('00000', 'n', { severity: 'NOTICE' }))));
  assert.equal(await closed, undefined);
  assert.ok(notices > 1);
  end();
});

test('requests of a client', async () => {
  const { near, far, end } = await connected();
  const turns = new Turns();
  let passed = 0;
  const all = new Promise<void>((resolve, reject) => {
    const link = new ClientLink(
      near,
      {
        ending: () => {},
        ended: () => {},
        head: () => {
          turns.message();
          return 'pass';
        },
        refused: () => 'end',
        whole: () => true,
        pass: (bytes) => {
          passed += bytes.length;
          if (passed === 5 * MANY) resolve();
        },
        chunk: () => {},
        failed: reject,
        closed: () => {},
      },
      256 * 1024,
    );
    link.start(Buffer.alloc(0));
  });
  far.write(flood(Buffer.from([0x53, 0, 0, 0, 4])));
  await all;
  turns.stop();
  assert.equal(turns.count, MANY);
  assert.ok(turns.most < MANY / 10, `${turns.most} in one turn`);
  end();
});

test('requests of a client that goes right behind them', async () => {
  const { near, far, end } = await connected();
  let passed = 0;
  const closed = new Promise<void>((resolve, reject) => {
    const link = new ClientLink(
      near,
      {
        ending: () => {},
        ended: () => {},
        head: () => 'pass',
        refused: () => 'end',
        whole: () => true,
        pass: (bytes) => {
          passed += bytes.length;
        },
        chunk: () => {},
        failed: reject,
        closed: resolve,
      },
      256 * 1024,
    );
    link.start(Buffer.alloc(0));
  });
  far.end(flood(Buffer.from([0x53, 0, 0, 0, 4])));
  await closed;
  assert.equal(passed, 5 * MANY);
  end();
});

test('notices of a remote, also while it logs one in', async () => {
  const notice = noticeResponse(new PgError('00000', 'n', { severity: 'NOTICE' }));
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(Buffer.concat([message.authentication(0), flood(notice), WELCOME_REST]));
      socket.once('data', () => {
        socket.write(Buffer.concat([flood(notice), message.complete('DO'), message.ready('I')]));
      });
    });
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const turns = new Turns();
  const client = await WireClient.connect({
    address: { host: '127.0.0.1', port },
    tls: { mode: 'disable' },
    startup: [['user', 'u']],
    onNotice: () => turns.message(),
  });
  await client.query(Buffer.from('DO'), {});
  turns.stop();
  assert.equal(turns.count, 2 * MANY);
  assert.ok(turns.most < MANY / 10, `${turns.most} in one turn`);
  client.destroy();
  server.close();
});

test('bytes that pass use up the share, too, so that a long row is looked at in many turns', () => {
  let turns = 0;
  const share = new LoopShare(() => turns++);
  for (let i = 0; i < 64; i++) share.passing(65_536);
  assert.equal(turns, 16);
});
