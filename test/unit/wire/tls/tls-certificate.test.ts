import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { certificateNames, channelBindingHash, hostMismatch } from '../../../../src/wire/tls/certificate.js';

const certificate = (name: string): Buffer =>
  new X509Certificate(readFileSync(new URL(`../../../../../test/fixtures/tls/${name}.crt`, import.meta.url)))
    .raw;

test('tls-server-end-point is the hash of the certificate by the hash of its signature (RFC 5929)', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['server', 'sha256'],
    ['server-sha384', 'sha384'],
    ['names', 'sha512'],
    ['rsa-sha1', 'sha256'],
    ['rsa-pss-sha512', 'sha512'],
  ];
  for (const [name, hash] of cases) {
    const der = certificate(name);
    assert.deepEqual(channelBindingHash(der), createHash(hash).update(der).digest(), name);
  }
  assert.equal(channelBindingHash(certificate('ed25519')), undefined);
});

test('the names in a certificate', () => {
  const { alternatives, commonName } = certificateNames(certificate('names'));
  assert.equal(commonName?.toString(), 'common.test');
  assert.deepEqual(
    alternatives.map(({ kind, value }) => [kind, kind === 'dns' ? value.toString() : value.toString('hex')]),
    [
      ['dns', 'one.test'],
      ['dns', 'two.test'],
      ['ip', 'c0000207'],
      ['ip', '20010db8000000000000000000000001'],
    ],
  );
});

test('verify-full compares as libpq does', () => {
  const others = '(and 3 other names) does not match host name';
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ['server', 'localhost', undefined],
    ['server', 'LOCALHOST', undefined],
    ['server', '127.0.0.1', undefined],
    ['server', 'a.wild.test', undefined],
    ['server', 'A.WILD.test', undefined],
    [
      'server',
      'a.b.wild.test',
      'server certificate for "localhost" (and 2 other names) does not match host name "a.b.wild.test"',
    ],
    [
      'server',
      'wild.test',
      'server certificate for "localhost" (and 2 other names) does not match host name "wild.test"',
    ],
    [
      'server',
      '.wild.test',
      'server certificate for "localhost" (and 2 other names) does not match host name ".wild.test"',
    ],
    [
      'server',
      '127.0.0.2',
      'server certificate for "localhost" (and 2 other names) does not match host name "127.0.0.2"',
    ],
    ['names', 'two.test', undefined],
    ['names', '192.0.2.7', undefined],
    ['names', '2001:db8::1', undefined],
    ['names', '2001:DB8:0:0:0:0:0:1', undefined],
    ['names', '2001:db8::2', `server certificate for "one.test" ${others} "2001:db8::2"`],
    // With alternative names of the host's kind, the common name does not count.
    ['names', 'common.test', `server certificate for "one.test" ${others} "common.test"`],
    ['server-sha384', 'localhost', undefined],
    [
      'server-sha384',
      'other.test',
      'server certificate for "localhost" does not match host name "other.test"',
    ],
    ['server-sha384', '127.0.0.1', 'server certificate for "localhost" does not match host name "127.0.0.1"'],
  ];
  for (const [name, host, expected] of cases) assert.equal(hostMismatch(certificate(name), host), expected);
});

test('damaged certificates give a RangeError or no hash, nothing else', () => {
  const der = certificate('names');
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), fc.nat(der.length), (at, value, length) => {
      const damaged = Buffer.from(der);
      damaged[at] = value;
      for (const bytes of [damaged, damaged.subarray(0, length)]) {
        channelBindingHash(bytes);
        try {
          hostMismatch(bytes, 'one.test');
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
      }
    }),
    { numRuns: 2000, seed: 1 },
  );
});
