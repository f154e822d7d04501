import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { seeded } from '../differential/play/random.js';
import { createDatabase, execute, primaryServer } from '../support/postgres.js';
import { Message } from '../support/rawClient.js';
import { type RelayProxy, startRelay } from '../support/relay.js';
import { type Conversation, FIXTURE } from './conversation.js';
import { copyConversations } from './copyConversations.js';
import { extendedConversations } from './extendedConversations.js';
import { normalise } from './normalise.js';
import { pipelineConversations } from './pipelineConversations.js';
import { byteByByte, difference, type Pattern, play, randomPieces, whole } from './play.js';
import { simpleConversations } from './simpleConversations.js';
import { type Splitter, startSplitter } from './splitter.js';

const conversations = [
  ...simpleConversations,
  ...copyConversations,
  ...extendedConversations,
  ...pipelineConversations,
];
/** Another seed, to look for more: DBLINK_PROXY_TEST_SEED=1 npm test parity */
const SEED = Number(process.env['DBLINK_PROXY_TEST_SEED'] ?? 20_240_611);
/** One byte at a time is too slow for the longest, which random pieces split often enough. */
const BYTE_BY_BYTE_LIMIT = 100_000;

interface Variant {
  readonly name: string;
  readonly atOnce: boolean;
  /** How the client's bytes are cut, and the primary's. */
  readonly pieces: (random: () => number) => readonly [client: Pattern, primary: Pattern];
  readonly majors: readonly number[];
}

const variants: readonly Variant[] = [
  { name: 'step by step', atOnce: false, pieces: () => [whole, whole], majors: [15, 18] },
  { name: 'all at once', atOnce: true, pieces: () => [whole, whole], majors: [15, 18] },
  { name: 'one byte at a time', atOnce: false, pieces: () => [byteByByte, byteByByte], majors: [18] },
  {
    name: 'all at once, one byte at a time',
    atOnce: true,
    pieces: () => [byteByByte, byteByByte],
    majors: [18],
  },
  ...[1, 2, 3].map((number) => ({
    name: `random pieces, ${number}`,
    atOnce: number === 3,
    pieces: (random: () => number) => [randomPieces(random), randomPieces(random)] as const,
    majors: [18],
  })),
];

let played = 0;
after(() =>
  console.log(`byte parity: ${conversations.length} conversations played ${played} times through the proxy`),
);

for (const major of [15, 18]) {
  describe(`forwarding is byte-identical to PostgreSQL ${major}`, () => {
    let port: number;
    let splitter: Splitter;
    let proxy: RelayProxy;
    /** What the server itself answers, found once for each way of sending. */
    const answers = { true: new Map<Conversation, Promise<readonly Message[]>>(), false: new Map() };

    before(async () => {
      const primary = await primaryServer(major);
      port = primary.port;
      await createDatabase(primary, 'parity');
      await createDatabase(primary, 'parity_ascii', { encoding: 'SQL_ASCII' });
      await createDatabase(primary, 'parity_latin1', { encoding: 'LATIN1' });
      await execute(primary.url('parity'), FIXTURE);
      splitter = await startSplitter(port);
      proxy = await startRelay(splitter);
    });
    after(async () => {
      await proxy?.stop();
      await splitter?.stop();
    });

    function direct(conversation: Conversation, atOnce: boolean): Promise<readonly Message[]> {
      const known = answers[`${atOnce}`];
      const answer = known.get(conversation) ?? play(conversation, port, whole, atOnce);
      known.set(conversation, answer);
      return answer;
    }

    for (const variant of variants.filter(({ majors }) => majors.includes(major))) {
      it(variant.name, async () => {
        for (const [index, conversation] of conversations.entries()) {
          if (variant.atOnce && conversation.interactive) continue;
          const bytes = conversation.steps.reduce((sum, { send }) => sum + send.length, 0);
          if (variant.name.includes('byte') && bytes > BYTE_BY_BYTE_LIMIT) continue;
          const [client, server] = variant.pieces(seeded(SEED + index));
          splitter.pattern = () => server;
          const expected = await direct(conversation, variant.atOnce);
          assert.ok(expected.length > 10, `${conversation.name}: the server itself says almost nothing`);
          const actual = await play(conversation, proxy.port, client, variant.atOnce);
          played += 1;
          const found = difference(expected, actual);
          assert.equal(found, undefined, `${conversation.name}: ${found}`);
        }
      });
    }
  });
}

describe('the comparison', () => {
  const row = Buffer.from('D\0\0\0\x0b\0\x01\0\0\0\x01x', 'latin1');
  const key = Buffer.from('K\0\0\0\x0c\0\0\0\x01abcd', 'latin1');
  const notification = Buffer.from('A\0\0\0\x0c\0\0\0\x01a\0b\0', 'latin1');
  // One column n: table 16384, column 1, type 16385 of variable length, no modifier, text.
  const description = Buffer.from(
    '540000001a' + '0001' + '6e00' + '00004000' + '0001' + '00004001' + 'ffff' + 'ffffffff' + '0000',
    'hex',
  );
  const normalised = (...messages: readonly Buffer[]) =>
    messages.map((bytes) => normalise(new Message(bytes)));

  it('finds every flipped bit of a message, and messages more or less', () => {
    const messages = [row, row];
    assert.equal(difference(normalised(...messages), normalised(...messages)), undefined);
    for (let bit = 0; bit < row.length * 8; bit += 1) {
      const flipped = Buffer.from(row);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      if (flipped[0] === 'T'.charCodeAt(0)) continue;
      assert.ok(difference(normalised(row, row), normalised(row, flipped)), `bit ${bit}`);
    }
    assert.ok(difference(normalised(row), normalised(row, row)));
    assert.ok(difference(normalised(row, row), normalised(row)));
  });

  it('overlooks process ids, keys and OIDs of the user’s own objects, and nothing else of their messages', () => {
    const overlooked = new Map([
      [key, [5, 6, 7, 8, 9, 10, 11, 12]],
      [notification, [5, 6, 7, 8]],
    ]);
    for (const [message, bytes] of overlooked) {
      for (let at = 1; at < message.length; at += 1) {
        const changed = Buffer.from(message);
        changed[at]! ^= 1;
        const found = difference(normalised(message), normalised(changed));
        assert.equal(found === undefined, bytes.includes(at), `${message.toString('latin1')}, byte ${at}`);
      }
    }
    // Table 16384 and type 16385 against others of the user's; a built-in type instead is a difference.
    for (const [field, at, value, same] of [
      ['table', 9, '00005000', true],
      ['table', 9, '00000001', false],
      ['column number', 13, '0002', false],
      ['type', 15, '00005000', true],
      ['type', 15, '00000017', false],
      ['length', 19, '0004', false],
      ['modifier', 21, '00000004', false],
      ['format', 25, '0001', false],
    ] as const) {
      const changed = Buffer.from(description);
      changed.write(value, at, 'hex');
      assert.equal(difference(normalised(description), normalised(changed)) === undefined, same, field);
    }
  });
});
