import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Authenticator, type AuthenticatorOptions } from '../../../../src/wire/auth/authenticator.js';
import { backend } from '../../../support/fakePrimary.js';
import { OpenGaussRole, openGaussRequest, passwordText } from '../../../support/openGauss.js';

const PASSWORD = Buffer.from('Gauss@123 \xe4', 'latin1');
const TOKEN = Buffer.from('0a1b2c3d', 'hex');
const MD5_SALT = Buffer.from([0, 0xff, 1, 0x39]);
const OK = backend('R', '\0\0\0\0');

const authenticator = (options: Partial<AuthenticatorOptions> = {}): Authenticator =>
  new Authenticator({ user: 'alice', password: PASSWORD, ...options });

const signed = (role: OpenGaussRole, token = TOKEN): Buffer =>
  openGaussRequest.sha256(role.salt, token, role.signature(token));

/** The request is refused with this text, and nothing of the password has been told. */
async function refused(
  request: Buffer,
  expected: string | RegExp,
  options: Partial<AuthenticatorOptions> = {},
): Promise<void> {
  const subject = authenticator(options);
  await assert.rejects(subject.respond(request), (error: Error) => {
    if (typeof expected === 'string') assert.equal(error.message, expected);
    else assert.match(error.message, expected);
    return true;
  });
  assert.equal(subject.passwordUsed, false);
}

test('SHA256 with a signature: the count of iterations is the one that the signature fits', async () => {
  for (const iterations of [10_000, 2048]) {
    const role = new OpenGaussRole(PASSWORD, undefined, iterations);
    const subject = authenticator();
    const proof = passwordText(await subject.respond(signed(role)));
    assert.ok(role.acceptsProof(proof, TOKEN), `${iterations}`);
    assert.equal(subject.passwordUsed, true);
    assert.equal(subject.done, false);
    await subject.respond(OK);
    assert.equal(subject.done, true);
  }
});

test('SHA256 with a count of iterations', async () => {
  for (const iterations of [2048, 2049, 10_000, 20_000]) {
    const role = new OpenGaussRole(PASSWORD, undefined, iterations);
    const proof = passwordText(
      await authenticator().respond(openGaussRequest.sha256(role.salt, TOKEN, iterations)),
    );
    assert.ok(role.acceptsProof(proof, TOKEN), `${iterations}`);
  }
});

test('MD5_SHA256', async () => {
  const role = new OpenGaussRole(PASSWORD);
  const subject = authenticator();
  const answer = passwordText(await subject.respond(openGaussRequest.md5Sha256(role.salt, MD5_SALT)));
  assert.ok(role.acceptsMd5(answer, MD5_SALT));
  assert.equal(subject.passwordUsed, true);
});

test('an answer is good for its token and its salt only', async () => {
  const role = new OpenGaussRole(PASSWORD);
  const other = new OpenGaussRole(PASSWORD, Buffer.alloc(32, 7));
  const proof = passwordText(await authenticator().respond(signed(role)));
  assert.equal(role.acceptsProof(proof, Buffer.from('0a1b2c3e', 'hex')), false);
  assert.equal(other.acceptsProof(proof, TOKEN), false);
  const answer = passwordText(await authenticator().respond(openGaussRequest.md5Sha256(role.salt, MD5_SALT)));
  assert.equal(role.acceptsMd5(answer, Buffer.from([0, 0xff, 1, 0x3a])), false);
});

test('a server that does not know the password gets nothing', async () => {
  const text =
    'incorrect server signature: the password is wrong, or its iteration count is neither 10000 nor 2048';
  await refused(signed(new OpenGaussRole('another')), text);
  await refused(signed(new OpenGaussRole(PASSWORD, undefined, 4096)), text);
  const role = new OpenGaussRole(PASSWORD);
  await refused(openGaussRequest.sha256(role.salt, TOKEN, role.signature(Buffer.alloc(4))), text);
});

test('counts of iterations are bounded on both sides', async () => {
  const { salt } = new OpenGaussRole(PASSWORD);
  const few = (count: number): string =>
    `server requested ${count} iterations, fewer than the 2048 that openGauss uses at least`;
  for (const count of [2047, 1, 0, -1, -(2 ** 31)]) {
    await refused(openGaussRequest.sha256(salt, TOKEN, count), few(count));
  }
  await refused(
    openGaussRequest.sha256(salt, TOKEN, 2 ** 31 - 1),
    'server requested 2147483647 iterations, more than the 100000 that the setting "dblink.max_scram_iterations" allows',
  );
  await refused(
    openGaussRequest.sha256(salt, TOKEN, 3001),
    'server requested 3001 iterations, more than the 3000 that the setting "dblink.max_scram_iterations" allows',
    { maxScramIterations: 3000 },
  );
});

test('a stored password that would ask for less than a proof is refused', async () => {
  const role = new OpenGaussRole(PASSWORD);
  // Method 1 is MD5; for an unknown one the library of openGauss sends the password itself.
  for (const method of [1, 3, 4, 7, 255]) {
    await refused(
      openGaussRequest.sha256(role.salt, TOKEN, role.signature(TOKEN), method),
      `openGauss SHA256 authentication with stored password method ${method} not supported`,
    );
  }
});

test('wrong lengths and characters', async () => {
  const role = new OpenGaussRole(PASSWORD);
  const good = signed(role);
  for (let length = 14; length < good.length; length++) {
    // Four bytes after the token say how many iterations.
    const cut = backend('R', good.subarray(5, length));
    await refused(cut, length === 89 ? /iterations/ : 'received invalid authentication request');
  }
  await refused(
    backend('R', Buffer.concat([good.subarray(5), Buffer.alloc(4)])),
    'received invalid authentication request',
  );
  for (const at of [13, 76, 77, 84, 85, 148]) {
    const spoilt = Buffer.from(good);
    spoilt[at] = 0x67;
    await refused(spoilt, 'received invalid authentication request');
  }
  const noSasl =
    'fe_sendauth: invalid authentication request from server: AUTH_REQ_SASL_CONT without AUTH_REQ_SASL';
  const md5 = openGaussRequest.md5Sha256(role.salt, MD5_SALT);
  for (const length of [9, 10, 72, 73, md5.length - 1]) {
    await refused(backend('R', md5.subarray(5, length)), noSasl);
  }
  const spoilt = Buffer.from(md5);
  spoilt[20] = 0x7a;
  await refused(spoilt, noSasl);
});

test('one request is answered, whatever comes next', async () => {
  const role = new OpenGaussRole(PASSWORD);
  for (const [first, second] of [
    [signed(role), signed(role, Buffer.from('00000001', 'hex'))],
    [signed(role), openGaussRequest.md5Sha256(role.salt, MD5_SALT)],
    [openGaussRequest.md5Sha256(role.salt, MD5_SALT), openGaussRequest.sha256(role.salt, TOKEN, 2048)],
  ] as const) {
    const subject = authenticator();
    await subject.respond(first);
    await assert.rejects(subject.respond(second), { message: 'duplicate authentication request' });
  }
});

test('no password', async () => {
  const role = new OpenGaussRole(PASSWORD);
  for (const password of [undefined, Buffer.alloc(0)]) {
    for (const request of [signed(role), openGaussRequest.md5Sha256(role.salt, MD5_SALT)]) {
      await refused(request, 'fe_sendauth: no password supplied', { password });
    }
  }
});

test('require_auth and channel_binding hold for these methods, too', async () => {
  const role = new OpenGaussRole(PASSWORD);
  const [sha256, md5] = [signed(role), openGaussRequest.md5Sha256(role.salt, MD5_SALT)];
  const failed = (requireAuth: string, reason: string): string =>
    `authentication method requirement "${requireAuth}" failed: ${reason}`;
  for (const requireAuth of ['scram-sha-256', 'md5', 'none', 'password']) {
    await refused(sha256, failed(requireAuth, 'server requested openGauss SHA256 authentication'), {
      requireAuth,
    });
  }
  for (const requireAuth of ['scram-sha-256', '!md5']) {
    await refused(md5, failed(requireAuth, 'server requested a hashed password'), { requireAuth });
  }
  for (const [requireAuth, request] of [
    ['!password,!md5', sha256],
    ['!none', sha256],
    ['md5', md5],
  ] as const) {
    const subject = authenticator({ requireAuth });
    assert.ok(await subject.respond(request));
    await subject.respond(OK);
    assert.equal(subject.done, true);
  }
  for (const request of [sha256, md5]) {
    await refused(request, "channel binding required but not supported by server's authentication request", {
      channelBinding: 'require',
      encrypted: true,
    });
  }
});

test("PostgreSQL's requests of the same codes stay what they are", async () => {
  const offer = backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0');
  const subject = authenticator();
  assert.match((await subject.respond(offer))!.toString('latin1', 5), /^SCRAM-SHA-256\0/);
  // In an exchange a message of code 11 is the server's, however much it looks like a salt.
  const { salt } = new OpenGaussRole(PASSWORD);
  await assert.rejects(subject.respond(openGaussRequest.md5Sha256(salt, MD5_SALT)), {
    name: 'ScramError',
  });
  await refused(
    backend('R', '\0\0\0\x0a\0'),
    "none of the server's SASL authentication mechanisms are supported",
  );
});

test('whatever a server sends under these codes, it gets an answer or an Error', async () => {
  const tails = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^[0-9a-f]{60,140}$/).map((digits) => Buffer.from(`\0\0\0\x02${digits}`, 'latin1')),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(10, 11), tails), { maxLength: 3 }),
      async (requests) => {
        const subject = authenticator({ maxScramIterations: 2048 });
        for (const [code, tail] of requests) {
          const request = backend('R', Buffer.concat([Buffer.from([0, 0, 0, code]), tail]));
          try {
            const reply = await subject.respond(request);
            assert.equal(reply?.includes(PASSWORD) ?? false, false);
          } catch (error) {
            assert.ok(['AuthenticationError', 'ScramError', 'PgError'].includes((error as Error).name));
            return;
          }
        }
        assert.equal(subject.done, false);
      },
    ),
    { numRuns: 300, seed: 31 },
  );
});
