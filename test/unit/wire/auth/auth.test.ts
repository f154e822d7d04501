import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  AuthenticationError,
  Authenticator,
  type AuthenticatorOptions,
  parseRequireAuth,
} from '../../../../src/wire/auth/authenticator.js';
import { Authentication, Backend } from '../../../../src/wire/protocol.js';
import { MessageWriter } from '../../../../src/wire/writer.js';

const request = (code: number, body: Uint8Array | string = ''): Buffer =>
  new MessageWriter(Backend.authentication).int32(code).bytes(Buffer.from(body)).end();

const OK = request(Authentication.ok);
const SCRAM_OFFER = request(Authentication.sasl, 'SCRAM-SHA-256\0\0');
const PLUS_OFFER = request(Authentication.sasl, 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0');

const authenticator = (options: Partial<AuthenticatorOptions> = {}): Authenticator =>
  new Authenticator({ user: 'alice', password: Buffer.from('secret'), ...options });

const refusal = (message: string) => (error: unknown) => {
  assert.ok(error instanceof Error);
  assert.equal(error.message, message);
  return true;
};

test('trust: nothing is sent and no password is used', async () => {
  const subject = authenticator();
  assert.equal(await subject.respond(OK), undefined);
  assert.equal(subject.done, true);
  assert.equal(subject.passwordUsed, false);
});

test('cleartext password', async () => {
  const subject = authenticator({ password: Buffer.from([0x70, 0xe4, 0xff]) });
  const reply = await subject.respond(request(Authentication.cleartextPassword));
  assert.deepEqual(reply, Buffer.from([0x70, 0, 0, 0, 8, 0x70, 0xe4, 0xff, 0]));
  assert.equal(subject.passwordUsed, true);
  assert.equal(subject.done, false);
  await subject.respond(OK);
  assert.equal(subject.done, true);
});

test('md5: hash of password and user, then of that with the salt', async () => {
  const md5 = (...parts: (string | Buffer)[]): string =>
    parts.reduce((hash, part) => hash.update(part), createHash('md5')).digest('hex');
  const salt = Buffer.from([1, 0, 255, 4]);
  const expected = `md5${md5(md5('secret', 'alice'), salt)}`;
  const reply = await authenticator().respond(request(Authentication.md5Password, salt));
  assert.equal(reply!.toString('latin1', 5), `${expected}\0`);
  await assert.rejects(
    authenticator().respond(request(Authentication.md5Password, 'ab')),
    refusal('received invalid authentication request'),
  );
});

test('no password is sent, and said to be missing, when there is none or an empty one', async () => {
  for (const password of [undefined, Buffer.alloc(0)]) {
    for (const asked of [
      request(Authentication.cleartextPassword),
      request(Authentication.md5Password, 'salt'),
      SCRAM_OFFER,
    ]) {
      const subject = authenticator({ password });
      await assert.rejects(subject.respond(asked), refusal('fe_sendauth: no password supplied'));
      assert.equal(subject.passwordUsed, false);
    }
  }
});

test('the SCRAM mechanism is chosen by what is offered, encrypted and allowed', async () => {
  const first = async (offer: Buffer, options: Partial<AuthenticatorOptions>): Promise<string> =>
    (await authenticator(options).respond(offer))!.toString('latin1', 5);
  assert.match(await first(SCRAM_OFFER, {}), /^SCRAM-SHA-256\0.{4}n,,n=,r=/s);
  assert.match(await first(SCRAM_OFFER, { encrypted: true }), /^SCRAM-SHA-256\0.{4}y,,/s);
  assert.match(
    await first(PLUS_OFFER, { encrypted: true, channelBinding: 'disable' }),
    /^SCRAM-SHA-256\0.{4}n,,/s,
  );
  await assert.rejects(
    first(PLUS_OFFER, {}),
    refusal('server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection'),
  );
  await assert.rejects(
    first(request(Authentication.sasl, 'OTHER\0\0'), {}),
    refusal("none of the server's SASL authentication mechanisms are supported"),
  );
  await assert.rejects(
    first(PLUS_OFFER, { encrypted: true, tlsPeerCertificate: Buffer.from('no certificate') }),
    refusal('could not determine server certificate signature algorithm'),
  );
  await assert.rejects(
    first(request(Authentication.sasl, 'SCRAM-SHA-256'), {}),
    refusal(
      'fe_sendauth: invalid authentication request from server: invalid list of authentication mechanisms',
    ),
  );
});

test('channel_binding=require refuses whatever would not bind', async () => {
  const options = { channelBinding: 'require', encrypted: true } as const;
  const cases: readonly (readonly [Buffer, Partial<AuthenticatorOptions>, string])[] = [
    [OK, options, 'channel binding required, but server authenticated client without channel binding'],
    [
      request(Authentication.cleartextPassword),
      options,
      "channel binding required but not supported by server's authentication request",
    ],
    [
      request(Authentication.md5Password, 'salt'),
      options,
      "channel binding required but not supported by server's authentication request",
    ],
    [
      SCRAM_OFFER,
      options,
      'channel binding is required, but server did not offer an authentication method that supports channel binding',
    ],
    [SCRAM_OFFER, { channelBinding: 'require' }, 'channel binding required, but SSL not in use'],
  ];
  for (const [asked, settings, expected] of cases) {
    const subject = authenticator(settings);
    await assert.rejects(subject.respond(asked), refusal(expected));
    assert.equal(subject.done, false);
    assert.equal(subject.passwordUsed, false);
  }
});

test('a server that breaks off SCRAM is not believed', async () => {
  const subject = authenticator();
  await subject.respond(SCRAM_OFFER);
  await assert.rejects(subject.respond(OK), refusal('server did not complete the SCRAM exchange'));
  assert.equal(subject.done, false);
  await assert.rejects(subject.respond(SCRAM_OFFER), refusal('duplicate SASL authentication request'));
  for (const code of [Authentication.saslContinue, Authentication.saslFinal]) {
    await assert.rejects(
      authenticator().respond(request(code, 'r=x')),
      refusal(
        'fe_sendauth: invalid authentication request from server: AUTH_REQ_SASL_CONT without AUTH_REQ_SASL',
      ),
    );
  }
});

test('requests that are not supported are named', async () => {
  const cases: readonly (readonly [number, string])[] = [
    [1, 'Kerberos 4 authentication not supported'],
    [2, 'Kerberos 5 authentication not supported'],
    [4, 'Crypt authentication not supported'],
    [6, 'SCM_CRED authentication method not supported'],
    [Authentication.gss, 'GSSAPI authentication not supported'],
    [Authentication.sspi, 'SSPI authentication not supported'],
    [99, 'authentication method 99 not supported'],
    [-5, 'authentication method 4294967291 not supported'],
  ];
  for (const [code, expected] of cases) {
    await assert.rejects(authenticator().respond(request(code)), refusal(expected));
  }
});

test('require_auth decides which requests are answered', async () => {
  const asked = {
    none: OK,
    password: request(Authentication.cleartextPassword),
    md5: request(Authentication.md5Password, 'salt'),
    'scram-sha-256': SCRAM_OFFER,
  };
  const descriptions: Record<string, string> = {
    none: 'server did not complete authentication',
    password: 'server requested a cleartext password',
    md5: 'server requested a hashed password',
    'scram-sha-256': 'server requested SASL authentication',
  };
  const allowed: readonly (readonly [string, readonly string[]])[] = [
    ['password', ['password']],
    ['md5,scram-sha-256', ['md5', 'scram-sha-256']],
    ['none', ['none']],
    ['none,md5', ['none', 'md5']],
    ['!password', ['none', 'md5', 'scram-sha-256']],
    ['!none', ['password', 'md5', 'scram-sha-256']],
    ['!password,!md5,!none', ['scram-sha-256']],
    ['', ['none', 'password', 'md5', 'scram-sha-256']],
  ];
  for (const [requireAuth, methods] of allowed) {
    for (const [method, message] of Object.entries(asked)) {
      const attempt = authenticator({ requireAuth }).respond(message);
      if (methods.includes(method)) await attempt;
      else {
        await assert.rejects(
          attempt,
          refusal(`authentication method requirement "${requireAuth}" failed: ${descriptions[method]}`),
        );
      }
    }
  }
  await assert.rejects(
    authenticator({ requireAuth: 'md5' }).respond(request(77)),
    refusal(
      'authentication method requirement "md5" failed: server requested an unknown authentication type',
    ),
  );
});

test('require_auth values that make no sense', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['md5,!password', 'negative require_auth method "!password" cannot be mixed with non-negative methods'],
    ['!md5,password', 'require_auth method "password" cannot be mixed with negative methods'],
    ['md5,md5', 'require_auth method "md5" is specified more than once'],
    ['!md5,!md5', 'require_auth method "!md5" is specified more than once'],
    ['bogus', 'invalid require_auth value: "bogus"'],
    ['md5,', 'invalid require_auth value: ""'],
  ];
  for (const [value, expected] of cases) assert.throws(() => parseRequireAuth(value), refusal(expected));
});

test('whatever a server asks, it gets an answer or an Error, and never a login without AuthenticationOk', async () => {
  const messages = fc.array(
    fc.tuple(
      fc.oneof(fc.constantFrom(0, 3, 5, 7, 8, 9, 10, 11, 12), fc.integer()),
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom('SCRAM-SHA-256\0\0', 'r=,s=AAAA,i=1', 'v=').map((text) => Buffer.from(text)),
      ),
    ),
    { maxLength: 6 },
  );
  await fc.assert(
    fc.asyncProperty(messages, async (requests) => {
      const subject = authenticator();
      for (const [code, body] of requests) {
        try {
          await subject.respond(request(code, body));
        } catch (error) {
          assert.ok(error instanceof AuthenticationError || error instanceof Error);
          assert.notEqual((error as Error).name, 'TypeError');
          return;
        }
        assert.equal(subject.done, code === 0);
        if (subject.done) return;
      }
    }),
    { numRuns: 500, seed: 20 },
  );
});
