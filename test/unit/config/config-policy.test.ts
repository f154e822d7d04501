import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ConfigError, loadConfig } from '../../../src/config/index.js';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-policy-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const PRIMARY = "databases: { '*': { primary: 'postgres://127.0.0.1:5432' } }\n";

function write(policy: string): string {
  const file = join(directory, 'proxy.yaml');
  writeFileSync(file, `${PRIMARY}policy:\n${policy.replace(/^/gm, '  ')}\n`);
  return file;
}

const load = (policy: string) => loadConfig({ flags: {}, env: {}, file: write(policy) }).policy;

describe('policy', () => {
  it('keeps its rules in order, each with its place in the file', () => {
    const { rules, fallback, connectionStrings } = load(
      'default: deny\nconnection_strings: no\nrules:\n  - deny: { port: 1 }\n  - allow: { host: [a, b], read_only: true }',
    );
    assert.equal(fallback, 'deny');
    assert.equal(connectionStrings, false);
    assert.deepEqual(
      rules.map(({ action, readOnly, place }) => [action, readOnly, place.replace(directory, '')]),
      [
        ['deny', false, 'policy.rules[0] (/proxy.yaml, line 6)'],
        ['allow', true, 'policy.rules[1] (/proxy.yaml, line 7)'],
      ],
    );
    assert.deepEqual(rules[1]?.conditions, { host: ['a', 'b'] });
  });

  it('is refused with the number of the rule when something is wrong', () => {
    for (const [rules, message] of [
      ['{ allow: {} }', /expected a list of rules/],
      ['[{ permit: {} }]', /rule 1: expected one of "allow: \{ … \}" and "deny: \{ … \}"/],
      ['[{ allow: {} , deny: {} }]', /rule 1: expected one of/],
      ['[{ allow: {} }, { deny: { hots: x } }]', /rule 2: unknown condition "hots"; did you mean "host"\?/],
      ['[{ deny: { read_only: true } }]', /rule 1: "read_only" says how/],
      ['[{ deny: { address: 10.0.0.0/33 } }]', /rule 1: address: "10.0.0.0\/33" is neither an address/],
      ['[{ deny: { address: db.internal } }]', /rule 1: address: "db.internal" is neither/],
      ['[{ deny: { client: self } }]', /rule 1: client: "self" is neither/],
      ['[{ deny: { port: 0 } }]', /rule 1: port: "0" is not a whole number/],
      ['[{ deny: { user: [] } }]', /rule 1: user: the list is empty/],
      ['[{ deny: { roles: [1] } }]', /rule 1: roles: 1 is not a text/],
    ] as const)
      assert.throws(
        () => load(`rules: ${rules}`),
        (error: Error) => error instanceof ConfigError && message.test(error.message),
        rules,
      );
  });
});

describe('check-policy', () => {
  const run = (policy: string, ...more: readonly string[]) => {
    const main = fileURLToPath(new URL('../../../bin/main.js', import.meta.url));
    const args = [
      main,
      'check-policy',
      '--config',
      write(policy),
      '--as',
      'bob',
      '--database',
      'app',
      ...more,
    ];
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('DBLINK_PROXY_')),
    );
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env,
      timeout: 30_000,
    });
    return { status, text: `${stdout}${stderr}`.replaceAll(directory, '') };
  };

  it('says which rule decides, and why not those before it', () => {
    const policy =
      'default: deny\nrules:\n  - deny: { user: root }\n  - allow: { address: 127.0.0.1, read_only: true }';
    assert.deepEqual(run(policy, 'host=127.0.0.1 user=x'), {
      status: 0,
      text:
        '127.0.0.1 port 5432 at 127.0.0.1: allowed by policy.rules[1] (/proxy.yaml, line 6), read-only\n' +
        '  passed over: policy.rules[0] (/proxy.yaml, line 5), since "user" does not hold\n',
    });
    assert.deepEqual(run(policy, 'postgres://root@127.0.0.1'), {
      status: 1,
      text: '127.0.0.1 port 5432: denied by policy.rules[0] (/proxy.yaml, line 5)\n',
    });
    assert.equal(run(policy, 'host=169.254.169.254').status, 1);
  });

  it('says what it cannot know', () => {
    assert.match(
      run('rules: [{ deny: { roles: [x] } }]', 'host=127.0.0.1').text,
      /the primary has to be asked, and its URL names no account/,
    );
    assert.match(
      run('default: allow', 'host=127.0.0.1 colour=red').text,
      /invalid connection option "colour"/,
    );
  });
});
