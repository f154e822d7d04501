import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseListenAddress, parsePrimaryUrl, ValueError } from '../../../src/config/index.js';

describe("the primary's URL", () => {
  const accepted: (readonly [url: string, address: object])[] = [
    ['postgres://db', { host: 'db', port: 5432, sslmode: 'prefer' }],
    ['postgresql://db:1/', { host: 'db', port: 1, sslmode: 'prefer' }],
    ['postgres://[::1]:5433/a%2Fb', { host: '::1', port: 5433, database: 'a/b', sslmode: 'prefer' }],
    [
      'postgres://svc:p%40ss%3Aw%2Frd@db:5432/app?sslmode=require',
      { host: 'db', port: 5432, user: 'svc', password: 'p@ss:w/rd', database: 'app', sslmode: 'require' },
    ],
    [
      'postgres://db?sslmode=verify-ca&sslrootcert=/c&sslcert=/d&sslkey=/e',
      { host: 'db', port: 5432, sslmode: 'verify-ca', sslrootcert: '/c', sslcert: '/d', sslkey: '/e' },
    ],
    [
      'postgres://me@%2Fvar%2Frun:7',
      { host: '/var/run', port: 7, socketPath: '/var/run/.s.PGSQL.7', user: 'me', sslmode: 'prefer' },
    ],
    [
      'postgres:///db?host=/run&port=6&user=u',
      { host: '/run', port: 6, socketPath: '/run/.s.PGSQL.6', user: 'u', database: 'db', sslmode: 'prefer' },
    ],
  ];
  accepted.push(
    [
      'postgres://u@a:1,b,[::1]:3/d?target_session_attrs=read-write&load_balance_hosts=random',
      {
        ...{ host: 'a', port: 1, user: 'u', database: 'd', sslmode: 'prefer' },
        others: [
          { host: 'b', port: 5432 },
          { host: '::1', port: 3 },
        ],
        ...{ targetSessionAttrs: 'read-write', shuffled: true },
      },
    ],
    [
      'postgres:///?host=a,/run&port=7&target_session_attrs=any',
      {
        ...{ host: 'a', port: 7, sslmode: 'prefer' },
        others: [{ host: '/run', port: 7, socketPath: '/run/.s.PGSQL.7' }],
      },
    ],
  );
  for (const [url, address] of accepted) {
    it(`reads ${url}`, () => assert.deepEqual(parsePrimaryUrl(url), address));
  }

  const refused: readonly (readonly [url: unknown, message: RegExp])[] = [
    ['mysql://db', /does not begin with postgres:/],
    [5432, /is not a URL/],
    ['postgres://', /names no host/],
    ['postgres://a,', /host without a name/],
    ['postgres://a,b?port=1,2,3', /3 ports for 2 hosts/],
    [
      'postgres://a,b?target_session_attrs=writable&user=u',
      /target_session_attrs is not one of any, read-write/,
    ],
    ['postgres://a,b?target_session_attrs=primary', /has to name a user/],
    ['postgres://a,b?load_balance_hosts=on', /load_balance_hosts is not disable or random/],
    ['postgres:///?host=/run,b&sslmode=prefer&allow_cleartext=true', /needs sslmode=disable/],
    ['postgres://::1', /needs brackets/],
    ['postgres://[db]', /not an IPv6 address/],
    ['postgres://db:0', /port is not a number/],
    ['postgres://db?sslmod=require', /did you mean "sslmode"/],
    ['postgres://db?sslmode=on', /sslmode is not one of disable, allow/],
    ['postgres://db?sslmode', /no value for the parameter sslmode/],
    ['postgres://db/a%zz', /percent-encoding in its dbname/],
    ['postgres://db/a%00', /NUL in its dbname/],
    ['postgres://a b', /white space/],
  ];
  for (const [url, message] of refused) {
    it(`refuses ${url}`, () =>
      assert.throws(
        () => parsePrimaryUrl(url),
        (error) => error instanceof ValueError && message.test(error.message),
      ));
  }

  it('never quotes a password that was not escaped', () => {
    for (const character of ['@', '/', '?', '#', ':', '[', ']', '&', '%', ',', ' ', '=']) {
      const secret = `sEcreT${character}sEcreT`;
      for (const url of [`postgres://u:${secret}@db:5432/x`, `postgres://db/x?password=${secret}&port=no`]) {
        try {
          parsePrimaryUrl(url);
        } catch (error) {
          assert.ok(error instanceof ValueError);
          assert.doesNotMatch(error.message, /sEcreT/);
        }
      }
    }
  });
});

describe('an address to listen on', () => {
  it('names a socket as libpq looks for it', () => {
    assert.deepEqual(parseListenAddress('/run/p/'), {
      ...{ kind: 'unix', directory: '/run/p/', port: 6432, path: '/run/p/.s.PGSQL.6432' },
    });
  });

  const refused: readonly (readonly [text: string, message: RegExp])[] = [
    ['6432', /neither HOST:PORT nor/],
    [':6432', /for every address write \*:6432/],
    ['::1:6432', /in brackets: \[::1\]:6432/],
    ['[db]:6432', /in brackets/],
    ['db:pg', /"pg" is not a port/],
    ['db:65536', /not a whole number from 0 to 65535/],
    ['/run:0', /from 1 to 65535/],
    [`/${'x'.repeat(120)}`, /longer than 10[37] bytes/],
  ];
  for (const [text, message] of refused) {
    it(`refuses ${text.slice(0, 20)}`, () => assert.throws(() => parseListenAddress(text), message));
  }
});
