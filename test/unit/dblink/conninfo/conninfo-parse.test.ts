import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  bytesOf,
  CONNINFO_KEYWORDS,
  ConninfoError,
  findKeyword,
  findRefusedOption,
  parseConninfo,
  textOf,
} from '../../../../src/dblink/conninfo/index.js';
import { isLinear } from '../../../support/pace.js';

interface ParseRecord {
  /** The string and every value below as byte strings. */
  readonly text: string;
  /** Release of the libpq whose PQconninfoParse gave this answer. */
  readonly libpq: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly error?: string;
}

const records = readFileSync(
  new URL('../../../../../test/unit/dblink/conninfo/conninfo-parse.jsonl', import.meta.url),
  'utf8',
)
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as ParseRecord);

function parse(text: string): Record<string, string> {
  return Object.fromEntries(parseConninfo(text));
}

function failure(text: string | Buffer): ConninfoError {
  try {
    parseConninfo(text);
  } catch (error) {
    assert.ok(error instanceof ConninfoError);
    return error;
  }
  assert.fail(`accepted: ${text.toString()}`);
}

describe('parseConninfo answers as libpq does', () => {
  assert.ok(records.length > 200);
  for (const record of records) {
    it(`libpq ${record.libpq}: ${JSON.stringify(record.text)}`, () => {
      if (record.error === undefined) {
        assert.deepEqual(Object.fromEntries(parseConninfo(bytesOf(record.text))), record.options);
      } else {
        assert.equal(failure(bytesOf(record.text)).messageBytes.toString('latin1'), record.error);
      }
    });
  }
});

describe('parseConninfo', () => {
  it('reads the strings of the behaviour reference, edge case 53', () => {
    assert.deepEqual(parse('application_name= host=h hostaddr=127.0.0.1'), {
      application_name: 'host=h',
      hostaddr: '127.0.0.1',
    });
    assert.deepEqual(parse("application_name='q1'host=a host=b"), { application_name: 'q1', host: 'b' });
    assert.deepEqual(parse(String.raw`user=a\ b\'c\\d`), { user: String.raw`a b'c\d` });
  });

  it('misreads an @ in the query of a URI as libpq does, edge case 65', () => {
    assert.deepEqual(parse('postgresql://127.0.0.1?user=a@b:5502/spec_a'), {
      user: '127.0.0.1?user=a',
      host: 'b',
      port: '5502',
      dbname: 'spec_a',
    });
  });

  it('takes a string as UTF-8 and a Buffer as it is', () => {
    assert.equal(textOf(parse('user=ü')['user'] ?? ''), 'ü');
    assert.deepEqual(bytesOf(parse('user=ü')['user'] ?? ''), Buffer.from('ü'));
    const latin1 = Buffer.from('user=\xfc', 'latin1');
    assert.deepEqual(bytesOf(parseConninfo(latin1).get('user') ?? ''), Buffer.from([0xfc]));
  });

  it('treats 0xA0 and 0x85 as letters, not as blanks', () => {
    const eucJp = Buffer.from('user=\xb0\xa0\x85x', 'latin1');
    assert.equal(parseConninfo(eucJp).get('user'), '\xb0\xa0\x85x');
  });

  it('ends at a NUL', () => {
    assert.deepEqual(parse('user=a\0 host=b'), { user: 'a' });
  });

  it('quotes bytes of any encoding unchanged in its message', () => {
    const error = failure(Buffer.from('gr\xfcn=1', 'latin1'));
    assert.deepEqual(error.messageBytes, Buffer.from('invalid connection option "gr\xfcn"', 'latin1'));
    assert.equal(failure('grün=1').message, 'invalid connection option "grün"');
    assert.equal(error.sqlstate, '08001');
  });

  it('gives nothing of the string away in the loggable form of its message', () => {
    const error = failure('postgres://u:hunter2@[::1]x');
    assert.match(error.message, /hunter2/);
    assert.equal(error.loggable, 'unexpected character "…" at position 27 in URI (expected ":" or "/"): "…"');
  });

  it('reads back any value that is written quoted and escaped', () => {
    const anyBytes = fc.uint8Array({ minLength: 0, maxLength: 30 }).map((bytes) => bytes.map((b) => b || 1));
    fc.assert(
      fc.property(anyBytes, anyBytes, fc.constantFrom(' ', '\t\n', ''), (password, user, blank) => {
        const quoted = (bytes: Uint8Array) =>
          `'${Buffer.from(bytes).toString('latin1').replace(/['\\]/g, '\\$&')}'`;
        const text = `password${blank}=${blank}${quoted(password)}${blank}user=${quoted(user)}`;
        const options = parseConninfo(Buffer.from(text, 'latin1'));
        assert.deepEqual(bytesOf(options.get('password') ?? ''), Buffer.from(password));
        assert.deepEqual(bytesOf(options.get('user') ?? ''), Buffer.from(user));
      }),
      { seed: 53, numRuns: 500 },
    );
  });

  it('reads back any percent-encoded URI part', () => {
    const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => bytes.map((b) => b || 1));
    fc.assert(
      fc.property(anyBytes, anyBytes, (user, dbname) => {
        const encode = (bytes: Uint8Array) =>
          Array.from(bytes, (b) => `%${b.toString(16).padStart(2, '0')}`).join('');
        const options = parseConninfo(`postgres://${encode(user)}@h/${encode(dbname)}`);
        assert.deepEqual(bytesOf(options.get('user') ?? ''), Buffer.from(user));
        assert.deepEqual(bytesOf(options.get('dbname') ?? ''), Buffer.from(dbname));
      }),
      { seed: 65, numRuns: 500 },
    );
  });

  it('takes time in proportion to the length of the string', () => {
    const strings: readonly ((length: number) => void)[] = [
      (length) => assert.equal(parse(`user='${'x'.repeat(length)}'`)['user']?.length, length),
      (length) => assert.equal(parse(`postgres://h/${'x'.repeat(length)}`)['dbname']?.length, length),
      (length) => failure(`postgres://${'[::1]:1,'.repeat(length / 10)}[`),
      (length) => failure(' '.repeat(length).concat('x')),
    ];
    for (const [number, read] of strings.entries()) isLinear(`string ${number}`, read, 64 * 1024, 16);
  });
});

describe('the table of keywords', () => {
  it('has every option of libpq 18, no pseudo keyword and no name twice', () => {
    const names = CONNINFO_KEYWORDS.map((keyword) => keyword.name);
    assert.equal(new Set(names).size, 50);
    assert.equal(names.length, 50);
    for (const pseudo of ['requiressl', 'ssl', 'tty', 'authtype', 'servicefile', 'Host']) {
      assert.equal(findKeyword(pseudo), undefined);
    }
  });

  it('knows the secrets', () => {
    const secrets = CONNINFO_KEYWORDS.filter((keyword) => keyword.secret).map((keyword) => keyword.name);
    assert.deepEqual(secrets, [
      'password',
      'sslpassword',
      'scram_client_key',
      'scram_server_key',
      'oauth_client_secret',
    ]);
  });

  it('refuses to users of older servers what dblink refuses', () => {
    const explicit = parseConninfo(
      'user=a sslkeylogfile=x oauth_issuer=y require_auth=none sslcertmode=allow',
    );
    assert.equal(findRefusedOption(explicit, 15), 'oauth_issuer');
    assert.equal(findRefusedOption(explicit, 17), 'oauth_issuer');
    assert.equal(findRefusedOption(explicit, 18), undefined);
    const accepted = parseConninfo(
      'gssdelegation=0 load_balance_hosts=disable sslnegotiation=postgres min_protocol_version=3.0 scram_client_key=x',
    );
    assert.equal(findRefusedOption(accepted, 15), undefined);
  });
});
