import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saslprep } from '../../../../src/wire/auth/saslprep.js';
import { ScramClient, ScramError } from '../../../../src/wire/auth/scram.js';
import { asQuickAs, timed } from '../../../support/pace.js';

const NONCE = 'rOprNGfwEbeRWgbNEkqO';
const SERVER_FIRST = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';

/** The exchange of RFC 7677 section 3. */
const rfcClient = (maxIterations?: number): ScramClient =>
  new ScramClient({
    secret: Buffer.from('pencil'),
    binding: { flag: 'n' },
    nonce: NONCE,
    user: 'user',
    maxIterations,
  });

const refuses = (message: string) => (error: unknown) => {
  assert.ok(error instanceof ScramError);
  assert.equal(error.message, message);
  return true;
};

test('the exchange of RFC 7677 section 3', async () => {
  const client = rfcClient();
  assert.equal(client.first().toString(), `n,,n=user,r=${NONCE}`);
  assert.equal(
    (await client.final(Buffer.from(SERVER_FIRST))).toString(),
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  );
  assert.equal(client.verified, false);
  client.verify(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='));
  assert.equal(client.verified, true);
});

test('channel binding data goes into the final message', async () => {
  const data = Buffer.from('the hash of a certificate');
  const client = new ScramClient({
    secret: Buffer.from('pencil'),
    binding: { flag: 'p', data },
    nonce: NONCE,
  });
  assert.equal(client.first().toString(), `p=tls-server-end-point,,n=,r=${NONCE}`);
  const final = (await client.final(Buffer.from(SERVER_FIRST))).toString();
  const bound = Buffer.from(/c=([^,]*)/.exec(final)![1]!, 'base64').toString();
  assert.equal(bound, `p=tls-server-end-point,,${data}`);
});

test('two clients use different nonces', () => {
  const first = (): string =>
    new ScramClient({ secret: Buffer.from('x'), binding: { flag: 'y' } }).first().toString();
  assert.match(first(), /^y,,n=,r=[A-Za-z0-9+/]{24}$/);
  assert.notEqual(first(), first());
});

test('a server-first-message that is malformed is refused', async () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'malformed SCRAM message (empty message)'],
    [`r=${NONCE}x,s=AAAA,i=1\0`, 'malformed SCRAM message (length mismatch)'],
    ['s=AAAA,i=1', 'malformed SCRAM message (attribute "r" expected)'],
    ['r', 'malformed SCRAM message (expected character "=" for attribute "r")'],
    ['m=x,r=a', 'malformed SCRAM message (attribute "r" expected)'],
    ['r=someOtherNonce,s=AAAA,i=1', 'invalid SCRAM response (nonce mismatch)'],
    [`r=${NONCE},s=AAAA,i=1`, 'invalid SCRAM response (nonce mismatch)'],
    [`r=${NONCE}x,s=A!AA,i=1`, 'malformed SCRAM message (invalid salt)'],
    [`r=${NONCE}x,i=1`, 'malformed SCRAM message (attribute "s" expected)'],
    [`r=${NONCE}x,s=AAAA`, 'malformed SCRAM message (attribute "i" expected)'],
    [`r=${NONCE}x,s=AAAA,i=0`, 'malformed SCRAM message (invalid iteration count)'],
    [`r=${NONCE}x,s=AAAA,i=-5`, 'malformed SCRAM message (invalid iteration count)'],
    [`r=${NONCE}x,s=AAAA,i=1x`, 'malformed SCRAM message (invalid iteration count)'],
    [`r=${NONCE}x,s=AAAA,i=1,m=2`, 'malformed SCRAM message (garbage at end of server-first-message)'],
  ];
  for (const [message, expected] of cases) {
    await assert.rejects(rfcClient().final(Buffer.from(message)), refuses(expected), message);
  }
});

test('an iteration count over the cap is refused before any work is done', async () => {
  const refused = async (): Promise<void> => {
    await assert.rejects(
      rfcClient().final(Buffer.from(`r=${NONCE}x,s=AAAA,i=10000000`)),
      refuses(
        'server requested 10000000 SCRAM iterations, more than the 100000 that the setting "dblink.max_scram_iterations" allows',
      ),
    );
    await assert.rejects(
      rfcClient(4096).final(Buffer.from(`r=${NONCE}x,s=AAAA,i=4097`)),
      refuses(
        'server requested 4097 SCRAM iterations, more than the 4096 that the setting "dblink.max_scram_iterations" allows',
      ),
    );
  };
  const allowed = async (): Promise<void> => {
    await rfcClient()
      .final(Buffer.from(`r=${NONCE}x,s=AAAA,i=100000`))
      .catch(() => {});
  };
  // Ten million would take a hundred times as long as what is allowed.
  await asQuickAs(
    'the refusal',
    () => timed(refused),
    () => timed(allowed),
    { factor: 1, allowanceMs: 0 },
  );
});

test('a server-final-message that proves nothing is refused', async () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'malformed SCRAM message (empty message)'],
    ['e=invalid-proof', 'error received from server in SCRAM exchange: invalid-proof'],
    ['v=!', 'malformed SCRAM message (invalid server signature)'],
    ['v=AAAA', 'malformed SCRAM message (invalid server signature)'],
    [`v=${Buffer.alloc(32).toString('base64')}`, 'incorrect server signature'],
    [
      'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,x',
      'malformed SCRAM message (garbage at end of server-final-message)',
    ],
  ];
  for (const [message, expected] of cases) {
    const client = rfcClient();
    await client.final(Buffer.from(SERVER_FIRST));
    assert.throws(() => client.verify(Buffer.from(message)), refuses(expected), message);
    assert.equal(client.verified, false);
  }
  // Before the client has sent its proof there is nothing that a signature could be right about.
  assert.throws(
    () => rfcClient().verify(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')),
    refuses('incorrect server signature'),
  );
});

test('SASLprep: the examples of RFC 4013 section 3, and the bytes as they are where it does not apply', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['I\u00adX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['\u00aa', 'a'],
    ['\u2168', 'IX'],
    ['a\u00a0b\u3000c', 'a b c'],
    ['e\u0301', '\u00e9'],
    ['\u0627\u0628', '\u0627\u0628'],
    // Prohibited: the password is taken as it is.
    ['\u0627\u0031', '\u0627\u0031'],
    ['\u0627x\u0628', '\u0627x\u0628'],
    ['\u2168\u0007', '\u2168\u0007'],
    ['\u2168\ue000', '\u2168\ue000'],
    ['\u00ad', '\u00ad'],
    // Unassigned in Unicode 3.2, which also keeps the rest from being normalised.
    ['\u2168\u{1f600}', '\u2168\u{1f600}'],
    // Pure ASCII is never looked at.
    ['\u0007', '\u0007'],
  ];
  for (const [password, expected] of cases) {
    assert.equal(saslprep(Buffer.from(password)).toString(), expected, JSON.stringify(password));
  }
  const latin1 = Buffer.from([0x70, 0xe4, 0x73, 0x73]);
  assert.deepEqual(saslprep(latin1), latin1);
  const surrogate = Buffer.from([0xed, 0xa0, 0x80]);
  assert.deepEqual(saslprep(surrogate), surrogate);
});
