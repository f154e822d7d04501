import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type FoundExpression, literalsIn, literalsOf, sourceFiles } from './support/expressionSources.js';
import { slowInput } from './support/expressionSteps.js';

/**
 * Rule: nothing that a client, a remote or the primary sends is looked at in more than linear time. Every regular
 * expression of the sources is fed with texts that are made by repeating what parts of it match, and the steps that a
 * backtracking matcher takes are counted for a text and for one twice as long.
 */

const here = dirname(fileURLToPath(import.meta.url));
const compiled = join(here, '../../src');
const sources = join(here, '../../../src');

/** Modules that do something when they are loaded. */
const NOT_LOADED = new Set(['sql/analysis/offload/worker.ts']);

/** Expressions that are made when they are used, and how one of them looks. */
const MADE_LATER: Readonly<Record<string, readonly RegExp[]>> = {
  'router/plans/splice/splicedStatement.ts': [/dblink_proxy_0123456789abcdef_(\d+)/],
};

/** Where in the sources an expression is made from a text. */
const makings = (text: string): number => text.match(/\bnew RegExp\(/g)?.length ?? 0;

/** Expressions that modules make of texts when they are loaded, by file. */
async function madeExpressions(): Promise<FoundExpression[]> {
  const found: FoundExpression[] = [];
  const Original = RegExp;
  let file = '';
  globalThis.RegExp = new Proxy(Original, {
    construct(target, args, newTarget) {
      const expression = Reflect.construct(target, args, newTarget) as RegExp;
      const at = new Error().stack?.split('\n').find((line) => line.includes('/dist/src/'));
      const path = at === undefined ? undefined : /\/dist\/src\/([^:]+)\.js:/.exec(at)?.[1];
      if (path !== undefined) found.push({ file: `${path}.ts`, line: 0, expression });
      return expression;
    },
  });
  try {
    for (const path of sourceFiles(sources)) {
      file = relative(sources, path);
      if (NOT_LOADED.has(file)) continue;
      await import(pathToFileURL(join(compiled, file.replace(/\.ts$/, '.js'))).href);
    }
  } finally {
    globalThis.RegExp = Original;
  }
  return found;
}

const complaintOf = ({ file, line, expression }: FoundExpression): string[] => {
  const slow = slowInput(expression);
  if (slow === undefined) return [];
  const growth = slow.growth.toFixed(1);
  return [
    `${file}:${line} ${String(expression).slice(0, 200)}: ${growth} times as many steps for twice ${JSON.stringify(slow.text)}`,
  ];
};

describe('regular expressions of the sources', () => {
  it('take linear time on whatever is repeated in what they are fed with', async () => {
    const literals = literalsOf(sources);
    assert.ok(literals.length > 80, `${literals.length} expressions were found`);
    const made = await madeExpressions();
    const later = Object.entries(MADE_LATER).flatMap(([file, expressions]) =>
      expressions.map((expression) => ({ file, line: 0, expression })),
    );
    for (const path of sourceFiles(sources)) {
      const file = relative(sources, path);
      const count = makings(readFileSync(path, 'utf8'));
      const known = [...made, ...later].filter((one) => one.file === file).length;
      assert.ok(
        known >= count,
        `${file} makes ${count} expressions, of which ${known} are known to this test`,
      );
    }
    assert.deepEqual([...literals, ...made, ...later].flatMap(complaintOf), []);
  });

  it('are told from those that do not', () => {
    const slow = [
      /[ \t]+$/,
      /^\s*(\d+)\s*([a-z]*)\s*$/,
      /^[^\n]*\bSQL\b[^\n]*\bstatus\b/,
      /(?:^|(?<=\n))[^\n]*x(?:(?!x)[\s\S])*x[^\n]*\n/g,
      /^[\s\S]*?(?=(?:^|(?<=\n))[^\n]*PL\/pgSQL[^\n]*dblink_proxy\.[a-z_]+\()/,
      /(a+)+$/,
      /\/\*.*\*\//,
      /"(.*)" is "(.*)"/,
      /\s+and\s+chain/,
      /x*y/,
    ];
    const quick = [
      /^[ \t]*\d{1,10}[ \t]*$/,
      /\bdblink\(text\)/,
      /^"(.*)"$/s,
      /(?<![\w$.])(?:[\w$]+\.)?(dblink\w*)\(([^()]*)\)/,
      /['\\]/g,
      /\/\*x ([0-9a-f]*)\*\//g,
    ];
    assert.deepEqual(
      slow.filter((expression) => slowInput(expression) === undefined),
      [],
    );
    assert.deepEqual(
      quick.filter((expression) => slowInput(expression) !== undefined),
      [],
    );
  });

  it('are found wherever they stand', () => {
    const found = literalsIn(`
      const a = b / c / d; // /no/
      const e = /one\\/[/]x/gi.test('/no/'); const f = \`/no/ \${g.replace(/two/, \`\${h(/three/)}/no/\`)} /no/\`;
      /* /no/ */ return /four/.exec(x) ?? y[0] / 2 / z;`);
    assert.deepEqual(
      found.map(({ expression }) => String(expression)),
      ['/one\\/[/]x/gi', '/two/', '/three/', '/four/'],
    );
  });
});
