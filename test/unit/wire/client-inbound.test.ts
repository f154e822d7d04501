import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbound } from '../../../src/wire/outbound/inbound.js';
import { Authenticator } from '../../../src/wire/outbound/index.js';
import { QueryExchange, type QueryHandler } from '../../../src/wire/outbound/query.js';
import { StartupExchange } from '../../../src/wire/outbound/startup.js';
import { message, WELCOME } from './client-support.js';

/** A conversation without a socket, past its startup; `events` tells what happened outside of queries. */
async function conversation(): Promise<{ inbound: Inbound; events: string[]; sent: Buffer[] }> {
  const events: string[] = [];
  const inbound = new Inbound(new StartupExchange(new Authenticator({ user: 'u' })), {
    giveWay: () => void events.push('gives way'),
    startupStep: (step) => void events.push(step.kind),
    answered: () => void events.push('answered'),
    notice: (fields) => void events.push(`notice ${fields.message}`),
    notification: (pid, channel, payload) => void events.push(`notification ${pid} ${channel} ${payload}`),
  });
  inbound.push(WELCOME);
  assert.deepEqual(events.splice(0), ['ready']);
  inbound.resume();
  return { inbound, events, sent: [] };
}

const ANSWER = Buffer.concat([
  message.columns('a', 'b'),
  message.row('one', null),
  message.parameter('TimeZone', 'UTC'),
  message.row('two', 'x'.repeat(30)),
  message.notification(3, 'chan', 'payload'),
  message.row('three', ''),
  message.complete('SELECT 3'),
  message.columns('c'),
  message.complete('SELECT 0'),
  message.error('ERROR', '42601', 'oops'),
  message.ready('E'),
]);

function record(delivery: 'rows' | 'raw', events: string[]): QueryHandler {
  return {
    rowDescription: (columns) => {
      events.push(`columns ${columns.length}`);
      return delivery;
    },
    row: (row) => void events.push(`row ${row.toString('latin1')}`),
    rawRows: (bytes) => void events.push(`raw ${bytes.toString('latin1')}`),
    commandComplete: (tag) => void events.push(tag),
    error: (fields) => void events.push(`error ${fields.sqlstate}`),
  };
}

/** Joins neighbouring raw pieces, whose boundaries mean nothing. */
function joined(events: readonly string[]): string[] {
  const result: string[] = [];
  for (const event of events) {
    const last = result.at(-1);
    if (event.startsWith('raw ') && last?.startsWith('raw '))
      result[result.length - 1] = last + event.slice(4);
    else result.push(event);
  }
  return result;
}

test('an answer means the same wherever it is split', async () => {
  for (const delivery of ['rows', 'raw'] as const) {
    const play = async (chunks: readonly Buffer[]): Promise<string[]> => {
      const { inbound, events } = await conversation();
      inbound.begin(new QueryExchange(record(delivery, events), 'simple', () => true));
      for (const chunk of chunks) inbound.push(chunk);
      assert.equal(inbound.transactionStatus, 'E');
      assert.equal(inbound.parameters.get('TimeZone'), 'UTC');
      return joined(events);
    };
    const whole = await play([ANSWER]);
    assert.ok(whole.includes('notification 3 chan payload') && whole.includes('error 42601'));
    for (let split = 1; split < ANSWER.length; split++) {
      assert.deepEqual(await play([ANSWER.subarray(0, split), ANSWER.subarray(split)]), whole);
    }
    assert.deepEqual(await play(Array.from(ANSWER, (_, index) => ANSWER.subarray(index, index + 1))), whole);
  }
});

test('raw rows are views of the chunk they came in', async () => {
  const { inbound } = await conversation();
  const chunk = Buffer.concat([
    message.columns('a'),
    message.row('x'.repeat(1000)),
    message.row('y'),
    message.complete('SELECT 2'),
  ]);
  const pieces: Buffer[] = [];
  const handler: QueryHandler = { rowDescription: () => 'raw', rawRows: (bytes) => void pieces.push(bytes) };
  inbound.begin(new QueryExchange(handler, 'simple', () => true));
  inbound.push(chunk);
  assert.equal(pieces.length, 1);
  assert.equal(pieces[0]!.buffer, chunk.buffer);
  assert.equal(pieces[0]!.byteOffset, chunk.byteOffset + message.columns('a').length);
  assert.equal(pieces[0]!.length, message.row('x'.repeat(1000)).length + message.row('y').length);
});

test('after the end nothing is handed on, not even from the same chunk', async () => {
  const { inbound, events } = await conversation();
  const handler = record('raw', events);
  inbound.begin(
    new QueryExchange({ ...handler, commandComplete: () => inbound.close() }, 'simple', () => true),
  );
  inbound.push(ANSWER);
  const raw = joined(events).at(-1)!;
  assert.ok(raw.startsWith('raw ') && raw.includes('three'), raw);
  assert.ok(!events.includes('answered'));
});

test('COPY in tells when to wait, and when to go on', async () => {
  const { inbound } = await conversation();
  const sent: string[] = [];
  const steps: string[] = [];
  const handler: QueryHandler = {
    copyIn(control) {
      control.onDrain = () => {
        steps.push('drain');
        control.done();
      };
      steps.push(`write ${control.write(Buffer.from('ab'))}`);
    },
  };
  const send = (bytes: Buffer): boolean => {
    sent.push(bytes.toString('latin1'));
    return false;
  };
  inbound.drained();
  inbound.begin(new QueryExchange(handler, 'extended', send));
  inbound.push(Buffer.concat([message.header('G', 7), Buffer.alloc(3)]));
  assert.deepEqual(steps, ['write false']);
  inbound.drained();
  inbound.drained();
  assert.deepEqual(steps, ['write false', 'drain']);
  // The Sync that came before the COPY has been ignored.
  assert.deepEqual(sent, ['d\0\0\0\x06ab', 'c\0\0\0\x04', 'S\0\0\0\x04']);
});

test('what is held back comes later, message by message if it is held back again', async () => {
  const { inbound, events } = await conversation();
  const handler: QueryHandler = {
    commandComplete: (tag) => {
      events.push(tag);
      inbound.hold();
    },
    ready: () => void events.push('ready'),
  };
  inbound.begin(new QueryExchange(handler, 'simple', () => true));
  inbound.hold();
  const answer = Buffer.concat([message.complete('A'), message.complete('B'), message.ready()]);
  for (const byte of answer) inbound.push(Buffer.from([byte]));
  assert.deepEqual(events, []);
  assert.equal(inbound.heldBytes, answer.length);
  for (const expected of [['A'], ['B'], ['ready', 'answered']]) {
    inbound.resume();
    assert.deepEqual(events.splice(0), expected);
  }
  assert.equal(inbound.heldBytes, 0);
});
