import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

/** What the program is made of: that it is what the lock file says, that it may be used, and that a command lists it. */

// This file runs in dist/test/unit/scripts.
const ROOT = new URL('../../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly resolved?: string }>
  >;
}

const lock = JSON.parse(read('package-lock.json')) as Lock;

describe('the supply chain', () => {
  it('every package has a checksum, and no address from which it would have to come', () => {
    const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
    assert.ok(packages.length > 100);
    for (const [path, { version, integrity, resolved }] of packages) {
      assert.match(version ?? '', /^\d/, path);
      assert.match(integrity ?? '', /^sha512-/, path);
      assert.equal(resolved, undefined, path);
    }
  });

  it('has licences that were looked at, and docs/licences.md lists them', async () => {
    const script = (await import(new URL('scripts/licences.mjs', ROOT).href)) as {
      licencesPage(lock: unknown): string;
    };
    assert.equal(script.licencesPage(lock), read('docs/licences.md'), 'run: npm run licences');
    const strange = {
      ...lock,
      packages: { ...lock.packages, 'node_modules/strange': { version: '1.0.0', license: 'SSPL-1.0' } },
    };
    assert.throws(() => script.licencesPage(strange), /strange \(SSPL-1\.0\)/);
  });

  it('is listed by a command, in CycloneDX', () => {
    const { status, stdout } = spawnSync('npm', ['run', '--silent', 'sbom'], {
      cwd: fileURLToPath(ROOT),
      encoding: 'utf8',
      timeout: 120_000,
    });
    assert.equal(status, 0);
    const bom = JSON.parse(stdout) as { bomFormat: string; components: { name: string; version: string }[] };
    assert.equal(bom.bomFormat, 'CycloneDX');
    const listed = bom.components.map(({ name }) => name);
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    for (const name of Object.keys(dependencies)) assert.ok(listed.includes(name), name);
    assert.ok(!listed.includes('typescript'));
  });
});
