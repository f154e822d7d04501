import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * The runtime has four threads for whatever it cannot do without waiting: files, getaddrinfo(), compression, password
 * hashes. What a session can have done there, it can have done four times, and then everybody waits.
 */

// This file runs in dist/test/unit/wire.
const SOURCES = fileURLToPath(new URL('../../../../src', import.meta.url));

/** Who may use what: nothing of it can be made to wait by a session. */
const PERMITTED: Readonly<Record<string, string>> = {
  'wire/host/hostFiles.ts opendir':
    'reads without blocking, in two threads at most where sessions name the file',
  'wire/host/hostFiles.ts open': 'as above',
  'wire/host/hostFiles.ts stat': 'as above',
  'audit/writer.ts open': 'the file that the operator names, one at a time, and nothing is waited for there',
  'audit/writer.ts write': 'as above',
  'audit/writer.ts close': 'as above',
  'server/listener.ts unlink': 'removes its own socket at the start',
  'wire/names/resolver.ts Resolver': 'c-ares, which has no threads',
};

/** Names that a file imports from modules whose functions use the threads, but for types and what does its work at once. */
function threaded(text: string): readonly string[] {
  const imports = [
    ...text.matchAll(/^import \{([^}]*)\} from 'node:(fs|fs\/promises|dns|dns\/promises|zlib|crypto)';/gms),
  ];
  return imports.flatMap(([, names = '', module = '']) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && !name.startsWith('type ') && !name.endsWith('Sync'))
      .filter((name) =>
        module === 'crypto' ? THREADED_CRYPTO.test(name) : name !== 'constants' && name !== 'Stats',
      ),
  );
}

const THREADED_CRYPTO =
  /^(?:pbkdf2|scrypt|hkdf|randomFill|generateKey|generateKeyPair|generatePrime|checkPrime|webcrypto|subtle|sign|verify)$/;

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(SOURCES, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* sources(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

describe("the runtime's threads", () => {
  it('are used by what sessions cannot make wait, and by nothing else', () => {
    const files = [...sources('')].filter((path) => !path.startsWith('embedded/'));
    assert.ok(files.length > 100, `${files.length} files`);
    const found = files.flatMap((path) =>
      threaded(readFileSync(join(SOURCES, path), 'utf8')).map((name) => `${path} ${name}`),
    );
    assert.deepEqual(found.sort(), Object.keys(PERMITTED).sort());
    for (const path of files) {
      // Modules imported whole, or when they are needed, would not be seen.
      const text = readFileSync(join(SOURCES, path), 'utf8');
      assert.doesNotMatch(
        text,
        /(?:import \* as \w+|import \w+) from 'node:(?:fs|dns|zlib|crypto)|import\('node:/,
        path,
      );
      assert.doesNotMatch(text, /globalThis\.crypto|\bcrypto\.subtle|require\('node:(?!tls)/, path);
    }
  });

  it('have nothing to do for names: every connection is given its own look-up', () => {
    for (const path of sources('')) {
      const text = readFileSync(join(SOURCES, path), 'utf8');
      if (path.startsWith('embedded/') || !/import \{[^}]*\bconnect\b[^}]*\} from 'node:net'/.test(text))
        continue;
      if (path === 'server/listener.ts')
        assert.match(text, /const probe = connect\(path\)/, 'a socket, no name');
      else assert.match(text, /lookup: lookupConfigured/, path);
    }
  });
});
