import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ordered } from '../../../src/wire/names/addressOrder.js';
import { configuredAddresses } from '../../../src/wire/names/configuredNames.js';
import { NameError } from '../../../src/wire/names/nameError.js';
import { numericAddress } from '../../../src/wire/names/numeric.js';
import { NameResolver, systemNames } from '../../../src/wire/names/resolver.js';
import { parseHosts, parseResolverConfig } from '../../../src/wire/names/systemFiles.js';
import { type NameAnswer, type NameServer, nameServer } from '../../support/nameServer.js';

let directory: string;
let server: NameServer;
let answers: Record<string, NameAnswer>;

/** A resolver with files of its own and the server of the test. */
function resolver(
  options: { hosts?: string; conf?: string; env?: Record<string, string> } = {},
): NameResolver {
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  return new NameResolver({
    hostsFile: write('hosts', options.hosts ?? ''),
    resolverFile: write('resolv.conf', options.conf ?? 'search in.example out.example\n'),
    servers: [server.address],
    env: options.env ?? {},
  });
}

const failure =
  (code: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof NameError, String(error));
    assert.equal(error.code, code);
    return true;
  };

describe('names', () => {
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'names-'));
    server = await nameServer((name) => answers[name]);
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  it('that are addresses are asked of nobody, in every form of getaddrinfo', () => {
    const forms: Readonly<Record<string, string | undefined>> = {
      '127.0.0.1': '127.0.0.1',
      '127.1': '127.0.0.1',
      '0x7f000001': '127.0.0.1',
      '017700000001': '127.0.0.1',
      '2130706433': '127.0.0.1',
      '10.1.65535': '10.1.255.255',
      '1.2.3.0x10': '1.2.3.16',
      '::1': '::1',
      'fe80::1%eth0': 'fe80::1%eth0',
      '256.1.1.1': undefined,
      '1.2.3.4.5': undefined,
      '1..2': undefined,
      '4294967296': undefined,
      db: undefined,
      '0xg': undefined,
      '': undefined,
    };
    for (const [text, address] of Object.entries(forms)) assert.equal(numericAddress(text), address, text);
  });

  it('come from the hosts file first, whatever its case and on however many lines', async () => {
    answers = { db: ['10.0.0.9'] };
    const names = resolver({ hosts: '127.0.0.1 DB other # db2\r\n::1\tdb\nbroken db\n127.0.0.1 db\n' });
    assert.deepEqual([...(await names.lookup('Db'))].sort(), ['127.0.0.1', '::1']);
    assert.deepEqual(await names.lookup('other'), ['127.0.0.1']);
    await assert.rejects(names.lookup('db2'), failure('ENOTFOUND'));
    assert.deepEqual(parseHosts('').size, 0);
  });

  it('localhost needs no file', async () => {
    assert.ok((await resolver().lookup('localhost')).includes('127.0.0.1'));
  });

  it('of both families are found, with the search list in the order of res_search', async () => {
    answers = {
      'db.out.example': ['127.0.0.2'],
      'a.b': ['127.0.0.3', '0:0:0:0:0:0:0:1'],
      'x.y.in.example': ['127.0.0.4'],
    };
    const asked = async (name: string, conf?: string): Promise<readonly string[]> => {
      const from = server.questions.length;
      await resolver(conf === undefined ? {} : { conf })
        .lookup(name)
        .catch(() => undefined);
      return server.questions
        .slice(from)
        .filter((text) => text.endsWith(' A'))
        .map((text) => text.slice(0, -2));
    };
    assert.deepEqual(await resolver().lookup('db'), ['127.0.0.2']);
    assert.deepEqual([...(await resolver().lookup('a.b'))].sort(), ['127.0.0.3', '::1']);
    assert.deepEqual(await resolver().lookup('x.y'), ['127.0.0.4']);
    assert.deepEqual(await asked('db'), ['db.in.example', 'db.out.example']);
    assert.deepEqual(await asked('none'), ['none.in.example', 'none.out.example', 'none']);
    assert.deepEqual(await asked('no.ne'), ['no.ne', 'no.ne.in.example', 'no.ne.out.example']);
    assert.deepEqual(await asked('no.ne.'), ['no.ne']);
    assert.deepEqual(await asked('no.ne', 'search in.example\noptions ndots:2\n'), [
      'no.ne.in.example',
      'no.ne',
    ]);
    assert.deepEqual(await asked('none', 'options ndots:2\nsearch\n'), ['none']);
  });

  it('fail as they fail in getaddrinfo', async () => {
    answers = { empty: [], broken: 'servfail' };
    const names = resolver({ conf: 'search\n' });
    await assert.rejects(names.lookup('missing'), failure('ENOTFOUND'));
    await assert.rejects(names.lookup('empty'), failure('EAI_NODATA'));
    await assert.rejects(names.lookup('broken'), failure('EAI_AGAIN'));
    await assert.rejects(names.lookup('a..b'), failure('ENOTFOUND'));
    await assert.rejects(names.lookup(`${'x'.repeat(300)}.de`), failure('ENOTFOUND'));
  });

  it('are given up with their signal, and when the servers have been silent for their time', async () => {
    answers = { slow: 'silent' };
    const stop = new AbortController();
    const looking = resolver({ conf: 'search\n' }).lookup('slow', stop.signal);
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await assert.rejects(looking, /^Error: enough$/);
    await assert.rejects(
      resolver({ conf: 'search\noptions timeout:1 attempts:1\n' }).lookup('slow'),
      failure('EAI_AGAIN'),
    );
  });

  it('have as many addresses as are looked at, and no more', async () => {
    answers = { many: Array.from({ length: 30 }, (_, i) => `127.0.1.${i}`) };
    assert.equal((await resolver({ conf: 'search\n' }).lookup('many')).length, 30);
  });

  it('read resolv.conf with its options, and the environment over it', () => {
    const read = (text: string, env = {}, host = 'me.home.example') => parseResolverConfig(text, env, host);
    const defaults = { search: ['home.example'], ndots: 1, timeoutMs: 5000, attempts: 2 };
    assert.deepEqual(read('nameserver 127.0.0.53\n'), defaults);
    assert.deepEqual(read('', {}, 'me'), { ...defaults, search: [] });
    assert.deepEqual(read('search a.example. b\ndomain c\n'), { ...defaults, search: ['c'] });
    assert.deepEqual(read('options ndots:99 timeout:0 attempts:77\n# options ndots:3\n'), {
      ...defaults,
      ndots: 15,
      timeoutMs: 1000,
      attempts: 5,
    });
    const env = { LOCALDOMAIN: 'x y', RES_OPTIONS: 'timeout:2 attempts:1' };
    assert.deepEqual(read('search a\n', env), { search: ['x', 'y'], ndots: 1, timeoutMs: 2000, attempts: 1 });
  });

  it('are ordered by RFC 6724', () => {
    const order = (...pairs: readonly (readonly [string, string | undefined])[]): readonly string[] =>
      ordered(
        pairs.map(([address, source]) => ({ address, source })),
        () => '255.255.255.0',
      );
    // Section 10.2, and the C library's rule for IPv4 addresses of one's own network.
    assert.deepEqual(order(['198.51.100.121', '169.254.13.78'], ['2001:db8:1::1', '2001:db8:1::2']), [
      '2001:db8:1::1',
      '198.51.100.121',
    ]);
    assert.deepEqual(order(['2001:db8:1::1', 'fe80::1'], ['198.51.100.121', '198.51.100.117']), [
      '198.51.100.121',
      '2001:db8:1::1',
    ]);
    assert.deepEqual(order(['10.1.2.3', '10.1.2.4'], ['2001:db8:1::1', '2001:db8:1::2']), [
      '2001:db8:1::1',
      '10.1.2.3',
    ]);
    assert.deepEqual(order(['2001:db8:3ffe::1', '2001:db8:3f44::2'], ['2001:db8:1::1', '2001:db8:1::2']), [
      '2001:db8:1::1',
      '2001:db8:3ffe::1',
    ]);
    assert.deepEqual(
      order(['2002:c633:6401::1', '2002:c633:6401::2'], ['2001:db8:1::1', '2002:c633:6401::2']),
      ['2002:c633:6401::1', '2001:db8:1::1'],
    );
    assert.deepEqual(order(['fd00::1', undefined], ['192.0.2.1', '192.0.2.2']), ['192.0.2.1', 'fd00::1']);
    assert.deepEqual(order(['192.0.2.1', '198.51.100.2'], ['198.51.100.7', '198.51.100.2']), [
      '198.51.100.7',
      '192.0.2.1',
    ]);
    assert.deepEqual(order(['192.0.2.9', '198.51.100.2'], ['192.0.2.1', '198.51.100.2']), [
      '192.0.2.9',
      '192.0.2.1',
    ]);
    assert.deepEqual(order(['127.0.0.1', '127.0.0.1'], ['::1', '::1']), ['::1', '127.0.0.1']);
  });

  it('of the configuration are looked up once for everybody, and an old answer is good while there is none', async () => {
    answers = { primary: ['127.0.0.1'] };
    systemNames.use({
      hostsFile: '/nowhere',
      resolverFile: '/nowhere',
      servers: [server.address],
      env: { LOCALDOMAIN: '' },
    });
    try {
      const from = server.questions.length;
      const found = await Promise.all(Array.from({ length: 20 }, () => configuredAddresses('primary')));
      assert.deepEqual(new Set(found.map(String)), new Set(['127.0.0.1']));
      assert.equal(server.questions.length - from, 2);
      await assert.rejects(configuredAddresses('other'), failure('ENOTFOUND'));

      const now = performance.now;
      performance.now = () => now.call(performance) + 60_000;
      try {
        for (const answer of ['silent', 'servfail', 'nxdomain'] as const) {
          answers = { primary: answer };
          assert.deepEqual(await configuredAddresses('primary'), ['127.0.0.1'], answer);
        }
        // The look-up that was silent is still going on; it is the one that everybody waits for.
        systemNames.use({ hostsFile: '/nowhere', servers: [server.address], env: { LOCALDOMAIN: '' } });
      } finally {
        performance.now = now;
      }
    } finally {
      systemNames.use();
    }
  });
});
