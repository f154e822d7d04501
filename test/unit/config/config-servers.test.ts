import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Config, ConfigError, loadConfig } from '../../../src/config/index.js';

let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-servers-'));
});
after(() => rmSync(directory, { recursive: true }));

function load(servers: string, env: Record<string, string> = {}): Config['dblink']['servers'] {
  const file = join(directory, 'proxy.yaml');
  writeFileSync(file, `dblink:\n  servers:\n${servers.replace(/^/gm, '    ')}\n`);
  return loadConfig({ flags: {}, env, file, partial: true }).dblink.servers;
}

function refusal(servers: string, env: Record<string, string> = {}): string {
  try {
    load(servers, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${directory}/`, '');
    throw error;
  }
  return assert.fail('the configuration was accepted');
}

describe('dblink.servers', () => {
  it('are none by default', () => {
    assert.deepEqual(loadConfig({ flags: {}, env: {}, partial: true }).dblink.servers, []);
  });

  it('have options of libpq, in whichever order they stand', () => {
    assert.deepEqual(
      load('a b: { roles: [x, y], sslmode: require, port: 5433, host: h, user: u, password: p=q }'),
      [
        {
          name: 'a b',
          options: ['user=u', 'password=p=q', 'host=h', 'port=5433', 'sslmode=require'],
          roles: ['x', 'y'],
        },
      ],
    );
  });

  it('take their password from a file beside the configuration, without the line break at its end', () => {
    writeFileSync(join(directory, 'secret'), ' pass word \n');
    const [server] = load('a: { host: h, password_file: secret, roles: [public] }');
    assert.deepEqual(server?.options, ['host=h', 'password= pass word ']);
  });

  it('take their password from an environment variable', () => {
    const [server] = load('a: { host: h, password_env: MY_SECRET, roles: [public] }', { MY_SECRET: 'x' });
    assert.deepEqual(server?.options, ['host=h', 'password=x']);
  });

  it('can be read-only', () => {
    const [yes, no] = load(
      'a: { host: h, roles: [public], read_only: true }\nb: { host: h, roles: [public], read_only: false }',
    );
    assert.equal(yes?.readOnly, true);
    assert.equal(no?.readOnly, undefined);
    assert.match(refusal('a: { host: h, roles: [public], read_only: perhaps }'), /server "a": /);
  });

  it('can stand in the environment, as JSON', () => {
    const env = { DBLINK_PROXY_DBLINK_SERVERS: '{"a":{"host":"h","roles":["public"]}}' };
    const { servers } = loadConfig({ flags: {}, env, partial: true }).dblink;
    assert.deepEqual(servers, [{ name: 'a', options: ['host=h'], roles: ['public'] }]);
  });

  it('are refused with the place and without the password when something is wrong', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      [
        'a: { hots: h, password: s3cret, roles: [x] }',
        /server "a": unknown option "hots"; did you mean "host"\?/,
      ],
      ['a: { client_encoding: UTF8, roles: [x] }', /unknown option "client_encoding"/],
      ['a: { replication: 1, roles: [x] }', /unknown option "replication"/],
      ['a: { host: h, password: s3cret }', /server "a": "roles" is missing/],
      ['a: { host: h, roles: [] }', /the list is empty/],
      ['a: { host: [x], roles: [x] }', /option "host" is not a text/],
      ['a: { host: "", roles: [x] }', /option "host" is not a text/],
      [
        'a: { password: s3cret, password_env: X, roles: [x] }',
        /only one of password, password_file, password_env/,
      ],
      ['a: { password_env: NOT_SET, roles: [x] }', /server "a": the variable NOT_SET is empty/],
      ['a: { password_file: none, roles: [x] }', /server "a": password_file: ENOENT/],
      ['a: text', /server "a": expected options as "key: value"/],
      [`${'n'.repeat(64)}: { roles: [x] }`, /a name has 1 to 63 bytes/],
      ['- a', /expected servers as "name: /],
    ];
    for (const [servers, message] of wrong) {
      const refused = refusal(servers);
      assert.match(refused, message);
      assert.match(refused, /^proxy\.yaml:\d+:\d+: dblink\.servers: /);
      assert.doesNotMatch(refused, /s3cret/);
    }
  });
});
