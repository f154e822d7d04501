import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  ConninfoError,
  parseConninfo,
  redactConninfo,
  resolveConninfo,
  systemContext,
} from '../../../../src/dblink/conninfo/index.js';

let home: string;

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'conninfo-'));
});

after(async () => {
  await rm(home, { recursive: true, force: true });
});

function resolve(text: string, env: Readonly<Record<string, string>> = {}, host = 'primary.host') {
  const defaults = { host, port: '5432', user: 'alice' };
  const context = systemContext(defaults, { HOME: home, PGSYSCONFDIR: home, ...env });
  return resolveConninfo(parseConninfo(text), context);
}

async function file(name: string, content: string | Buffer, mode = 0o600): Promise<string> {
  const path = join(home, name);
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

describe('the password file', () => {
  it('is searched for each host', async () => {
    const path = await file('pass', 'h1:5432:*:*:one\nh2:5433:db:alice:two\n*:*:*:carol:any\n');
    const resolved = await resolve(`host=h1,h2,h3 port=5432,5433,5434 dbname=db passfile=${path}`);
    assert.deepEqual(
      [0, 1, 2].map((index) => resolved.passwordFor(index)),
      ['one', 'two', undefined],
    );
    assert.deepEqual([resolved.passfileFor(1), resolved.passfileFor(2)], [path, undefined]);
    assert.equal(resolved.passwordGiven, false);
  });

  it('is ~/.pgpass by default, and PGPASSFILE before it', async () => {
    await file('.pgpass', '*:*:*:*:home\n');
    assert.equal((await resolve('host=h')).passwordFor(0), 'home');
    const path = await file('other', '*:*:*:*:other\n');
    assert.equal((await resolve('host=h', { PGPASSFILE: path })).passwordFor(0), 'other');
    await rm(join(home, '.pgpass'));
  });

  it('is not asked when there is a password', async () => {
    const path = await file('pass', '*:*:*:*:file\n', 0o644);
    const resolved = await resolve(`password=given passfile=${path}`);
    assert.deepEqual([resolved.passwordFor(0), resolved.passwordGiven], ['given', true]);
    assert.deepEqual(resolved.warnings, []);
    assert.equal((await resolve('', { PGPASSWORD: 'env' })).passwordFor(0), 'env');
    assert.equal((await resolve('', { PGPASSWORD: 'env' })).passwordGiven, false);
    assert.equal((await resolve("password=''", { PGPASSWORD: 'env' })).passwordGiven, false);
  });

  it('is ignored with a warning when others can read it', async () => {
    const path = await file('open', '*:*:*:*:leaked\n', 0o640);
    const resolved = await resolve(`passfile=${path}`);
    assert.equal(resolved.passwordFor(0), undefined);
    assert.deepEqual(resolved.warnings, [
      `password file "${path}" has group or world access; permissions should be u=rw (0600) or less`,
    ]);
  });

  it('may be a link but no directory or device', async () => {
    const path = await file('pass', '*:*:*:*:linked\n');
    await symlink(path, join(home, 'link'));
    assert.equal((await resolve(`passfile=${home}/link`)).passwordFor(0), 'linked');
    for (const odd of [home, '/dev/zero']) {
      const resolved = await resolve(`passfile=${odd}`);
      assert.equal(resolved.passwordFor(0), undefined);
      assert.deepEqual(resolved.warnings, [`password file "${odd}" is not a plain file`]);
    }
  });

  it('knows the primary’s own socket as localhost', async () => {
    const path = await file('pass', 'localhost:*:*:*:local\n');
    assert.equal((await resolve(`passfile=${path}`, {}, '/run/pg')).passwordFor(0), 'local');
    assert.equal((await resolve(`passfile=${path}`)).passwordFor(0), undefined);
  });

  it('holds passwords in any encoding', async () => {
    const path = await file('pass', Buffer.from('*:*:*:*:\xff\xe9\n', 'latin1'));
    assert.equal((await resolve(`passfile=${path}`)).passwordFor(0), '\xff\xe9');
  });
});

describe('the service file', () => {
  const content = '# shared\n[one]\nhost=h1\nport=7\nhost=h2\n[two]\n sslmode=allow \n';

  it('stands between the string and the environment', async () => {
    const path = await file('services', content);
    const env = { PGSERVICEFILE: path, PGHOST: 'env', PGPORT: '9' };
    const host = (await resolve('service=one port=8', env)).hosts[0];
    assert.deepEqual([host?.host, host?.port], ['h1', 8]);
    assert.equal((await resolve('', { ...env, PGSERVICE: 'two', PGSSLMODE: 'require' })).tls.mode, 'allow');
  });

  it('is looked for in the home directory, then in PGSYSCONFDIR', async () => {
    await file('.pg_service.conf', content);
    await file('pg_service.conf', '[three]\nuser=sys\n');
    assert.equal((await resolve('service=one')).hosts[0]?.host, 'h1');
    assert.equal((await resolve('service=three')).user, 'sys');
    await assert.rejects(resolve('service=four'), { message: 'definition of service "four" not found' });
  });

  const mistakes: readonly (readonly [string, string])[] = [
    ['[s]\nhost = x\n', 'syntax error in service file "%", line 2'],
    ['[s]\nhost\n', 'syntax error in service file "%", line 2'],
    ['[s]\n\nrequiressl=1\n', 'syntax error in service file "%", line 3'],
    ['[s]\nservice=t\n', 'nested service specifications not supported in service file "%", line 2'],
    [`[s]\n#${'x'.repeat(1021)}\n`, 'line 2 too long in service file "%"'],
    ['[t]\nnonsense\n', 'definition of service "s" not found'],
  ];
  for (const [index, [broken, message]] of mistakes.entries()) {
    it(`is refused: ${message}`, async () => {
      const path = await file(`broken${index}`, broken);
      await assert.rejects(resolve('service=s', { PGSERVICEFILE: path }), (error: unknown) => {
        assert.ok(error instanceof ConninfoError);
        assert.equal(error.message, message.replace('%', path));
        return true;
      });
    });
  }

  it('must exist if it was named', async () => {
    await assert.rejects(resolve('service=s', { PGSERVICEFILE: '/nonexistent' }), {
      message: 'service file "/nonexistent" not found',
    });
  });

  it('may have a last line of 1022 bytes without a newline, and mistakes in other sections', async () => {
    const path = await file('edge', `[t]\nnonsense\n[s]\nhost=x\n#${'x'.repeat(1021)}`);
    assert.equal((await resolve('service=s', { PGSERVICEFILE: path })).hosts[0]?.host, 'x');
  });
});

describe('secrets', () => {
  it('do not show when a resolved string is logged', async () => {
    const keys = `scram_client_key=${Buffer.alloc(32, 'k').toString('base64')}`;
    const resolved = await resolve(`password=hunter2 sslpassword=hunter3 ${keys}`);
    assert.equal(resolved.passwordFor(0), 'hunter2');
    assert.equal(resolved.tls.keyPassword, 'hunter3');
    assert.deepEqual(resolved.scramClientKey, Buffer.alloc(32, 'k'));
    assert.doesNotMatch(JSON.stringify(resolved), /hunter|kkkk|107,107/);
  });

  const redacted: readonly (readonly [string, string])[] = [
    ['host=h password=hunter2 user=u', 'host=h password=*** user=u'],
    ["password='hun ter2' application_name='a b'", "password=*** application_name='a b'"],
    [
      'postgres://u:hunter2@h:5432/d?sslpassword=hunter3',
      'user=u password=*** host=h port=5432 dbname=d sslpassword=***',
    ],
    ['application_name= password=hunter2', 'application_name=***'],
    ["options='-c my.token=hunter2'", 'options=***'],
    ["application_name='my secret hunter2'", 'application_name=***'],
    ['postgres://u:hun@ter2@h/d', '(ambiguous URI, 25 bytes)'],
    ['postgres://u:hunter2/x@h/d', '(ambiguous URI, 26 bytes)'],
    ['postgres://u:hunter2', 'host=u port=***'],
    ['dbname=postgres://u:hunter2@h/db', 'dbname=***'],
    ['postgres://u%3Ahunter2@h/db', 'user=*** host=h dbname=db'],
    ['host=h user=u@server dbname=d', 'host=h user=u@server dbname=d'],
    ["password='hunter2", '(connection string that cannot be parsed, 17 bytes)'],
    ['hunter2', '(connection string that cannot be parsed, 7 bytes)'],
    ["user='' dbname=d\\'b", "user='' dbname='d\\'b'"],
    ['', ''],
  ];
  for (const [text, shown] of redacted) {
    it(`are masked in ${JSON.stringify(text)}`, () => {
      assert.equal(redactConninfo(text), shown);
      assert.equal(redactConninfo(Buffer.from(text)), shown);
      assert.doesNotMatch(redactConninfo(text), /hun|ter\d/);
    });
  }

  it('are masked without making the line longer than it need be', () => {
    assert.ok(redactConninfo(`dbname=${'x'.repeat(100_000)}`).length < 300);
  });
});
