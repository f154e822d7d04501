import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The check of the imports, on a house that is made up here: a breach of each of its rules is seen. */

// This file runs in dist/test/unit/scripts.
const CHECK = fileURLToPath(new URL('../../../../scripts/check-imports.mjs', import.meta.url));

/** Whatever the check says of these files. */
function check(files: Readonly<Record<string, string>>): { status: number | null; said: string } {
  const root = mkdtempSync(join(tmpdir(), 'house-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, [CHECK, root], { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const SOUND: Readonly<Record<string, string>> = {
  'bin/main.ts': "import { a } from '../src/server/a.js';\n",
  'src/server/a.ts': "import type { b } from '../router/plans/b.js';\nimport { c } from '../wire/c.js';\n",
  'src/router/plans/b.ts': "import { d } from '../decide/d.js';\n",
  'src/router/decide/d.ts': "import { c } from '../../wire/c.js';\n",
  'src/wire/c.ts': '',
  'bench/run.ts': "import { c } from '../src/wire/c.js';\n",
  'test/a.test.ts': "import { main } from '../bin/main.js';\n",
};

const BREACHES: Readonly<Record<string, readonly [Readonly<Record<string, string>>, RegExp]>> = {
  'an import upwards': [
    { 'src/wire/c.ts': "import { b } from '../router/decide/d.js';\n" },
    /^src\/wire\/c\.ts imports upwards: \.\.\/router\/decide\/d\.js$/m,
  ],
  'an import of a type upwards': [
    { 'src/wire/c.ts': "import type { e } from '../dblink/e.js';\n", 'src/dblink/e.ts': '' },
    /^src\/wire\/c\.ts imports upwards/m,
  ],
  'an import when it runs': [
    { 'src/wire/c.ts': "await import('../dblink/e.js');\n", 'src/dblink/e.ts': '' },
    /^src\/wire\/c\.ts imports upwards/m,
  ],
  'an import from another folder of the same floor': [
    { 'src/sql/f.ts': "import { g } from '../primary/g.js';\n", 'src/primary/g.ts': '' },
    /^src\/sql\/f\.ts imports upwards/m,
  ],
  'an import out of the house': [
    { 'src/wire/c.ts': "import { h } from '../../test/h.js';\n", 'test/h.ts': '' },
    /^src\/wire\/c\.ts imports upwards/m,
  ],
  'an import of what a folder must not know': [
    { 'src/config/i.ts': "import { d } from '../router/decide/d.js';\n" },
    /^src\/config\/i\.ts must not know router, since .*: \.\.\/router\/decide\/d\.js$/m,
  ],
  'an import upwards inside of a folder': [
    { 'src/router/decide/d.ts': "import { b } from '../calls/j.js';\n", 'src/router/calls/j.ts': '' },
    /^src\/router\/decide\/d\.ts imports upwards inside of router/m,
  ],
  'an import from a folder of the same floor inside of one': [
    {
      'src/router/simple/k.ts': "import { l } from '../extended/l.js';\n",
      'src/router/extended/l.ts': '',
    },
    /^src\/router\/simple\/k\.ts imports from a folder of its own floor in router/m,
  ],
  'one name for two things': [
    { 'src/wire/c.ts': 'export type Key = 1;\n', 'src/wire/m.ts': 'export const Key = 2;\n' },
    /^Key is the name of several things: src\/wire\/c\.ts, src\/wire\/m\.ts$/m,
  ],
  'a circle': [
    {
      'src/wire/c.ts': "import { m } from './m.js';\n",
      'src/wire/m.ts': "import type { c } from './c.js';\n",
    },
    /^circle: src\/wire\/c\.ts → src\/wire\/m\.ts → src\/wire\/c\.ts$/m,
  ],
  'a circle of tests': [
    { 'test/n.ts': "import { o } from './o.js';\n", 'test/o.ts': "import { n } from './n.js';\n" },
    /^circle: test\/n\.ts → test\/o\.ts → test\/n\.ts$/m,
  ],
  'a folder that has grown flat': [
    Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`src/sql/p${i}.ts`, ''])),
    /^src\/sql has 17 files, and at most 16 are allowed$/m,
  ],
  'a file that lies loose': [{ 'src/q.ts': '' }, /^loose in src: q\.ts$/m],
};

describe('the check of the imports', () => {
  it('has nothing against a sound house', () => {
    assert.deepEqual(check(SOUND), { status: 0, said: 'imports: 7 files, each on its floor\n' });
  });

  for (const [what, [files, said]] of Object.entries(BREACHES)) {
    it(`sees ${what}`, () => {
      const found = check({ ...SOUND, ...files });
      assert.match(found.said, said);
      assert.equal(found.status, 1);
    });
  }
});
