import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { settings } from '../../../src/config/index.js';
import { LIVENESS_MS } from '../../support/pace.js';

const program = fileURLToPath(new URL('../../../../bin/dblink-proxy', import.meta.url));
let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-test-'));
});
after(() => rmSync(directory, { recursive: true }));

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('DBLINK_PROXY_'));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: directory,
    env: { ...Object.fromEntries(inherited), ...env },
    encoding: 'utf8',
    timeout: LIVENESS_MS,
  });
  return { status, stdout, stderr };
}

describe('the command line', () => {
  it('tells its version and its options, with the environment variable of each', () => {
    assert.match(run(['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
    for (const args of [['--help'], ['start', '--help']]) {
      const { status, stdout } = run(args);
      assert.equal(status, 0);
      for (const { flag, env } of settings.filter((setting) => setting.flag !== undefined)) {
        assert.ok(stdout.includes(`--${flag}`) && stdout.includes(env), `${flag} in ${args.join(' ')}`);
      }
      assert.match(stdout, /Examples:\n/);
    }
  });

  it('checks a configuration file', () => {
    writeFileSync(join(directory, 'good.yaml'), 'auth: relay\n');
    writeFileSync(join(directory, 'bad.yaml'), 'auth: relay\nlog:\n  levl: info\n');
    assert.deepEqual(run(['check-config', 'good.yaml']), {
      status: 0,
      stdout: 'good.yaml: ok\n',
      stderr: '',
    });
    assert.deepEqual(run(['check-config', 'bad.yaml']), {
      status: 2,
      stdout: '',
      stderr: 'bad.yaml:3:3: log.levl: unknown key; did you mean "level"?\n',
    });
    assert.equal(run(['check-config', 'missing.yaml']).status, 2);
  });

  it('refuses to start with a wrong configuration, and says all that is wrong', () => {
    const { status, stdout, stderr } = run(['--config', 'bad.yaml', '--listen', 'nowhere'], {
      DBLINK_PROXY_PRIMARY: 'postgres://svc:secret@db:port',
    });
    assert.deepEqual([status, stdout], [2, '']);
    assert.deepEqual(
      stderr
        .trim()
        .split('\n')
        .map((line) => line.replace(/(unknown key|is neither|is not a number).*/, '$1')),
      [
        '--listen: listen: "nowhere" is neither',
        'environment variable DBLINK_PROXY_PRIMARY: databases.*.primary: port is not a number',
        'bad.yaml:3:3: log.levl: unknown key',
      ],
    );
    assert.doesNotMatch(stderr, /secret/);
  });

  it('ends with 2 on an unknown option or command and names a near one', () => {
    const { status, stderr } = run(['--listn', 'x']);
    assert.equal(status, 2);
    assert.match(stderr, /--listen/);
    assert.equal(run(['chek-config', 'x']).status, 2);
    assert.match(run(['chek-config', 'x']).stderr, /check-config/);
  });
});
