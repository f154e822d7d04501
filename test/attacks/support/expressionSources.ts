import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** A regular expression in the sources. */
export interface FoundExpression {
  readonly file: string;
  readonly line: number;
  readonly expression: RegExp;
}

/** Finds the regular expressions of the sources, and where others are made at run time. */

/** What stands behind these is a value: a slash begins an expression there, and not a division. */
const BEFORE_VALUE = /(?:^|[=(,:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|void|delete|await|yield))$/;

/** All files of TypeScript in a folder. */
export function* sourceFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

/** The literals in a text of TypeScript: of templates only what is between braces is looked at. */
export function literalsIn(text: string): { readonly at: number; readonly expression: RegExp }[] {
  const found: { at: number; expression: RegExp }[] = [];
  /** Depths of braces at which a template goes on. */
  const templates: number[] = [];
  let depth = 0;
  let code = '';
  const inTemplate = (from: number): number => {
    for (let i = from; i < text.length; i++) {
      if (text[i] === '\\') i++;
      else if (text[i] === '`') return i + 1;
      else if (text.startsWith('${', i)) {
        templates.push(depth++);
        code = '{';
        return i + 2;
      }
    }
    throw new Error('a template without an end');
  };
  for (let i = 0; i < text.length; ) {
    const c = text[i]!;
    if (text.startsWith('//', i)) {
      const end = text.indexOf('\n', i);
      i = end < 0 ? text.length : end;
    } else if (text.startsWith('/*', i)) i = text.indexOf('*/', i + 2) + 2;
    else if (c === "'" || c === '"') {
      const string = /^(['"])(?:\\[\s\S]|(?!\1)[^\\\n])*\1/.exec(text.slice(i, i + 10_000));
      if (string === null) throw new Error(`a string without an end: ${text.slice(i, i + 60)}`);
      i += string[0].length;
      code = 'x';
    } else if (c === '`') {
      i = inTemplate(i + 1);
      if (code !== '{') code = 'x';
    } else if (c === '/' && BEFORE_VALUE.test(code.trimEnd())) {
      const literal = /^\/((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+)\/([a-z]*)/.exec(
        text.slice(i, i + 5000),
      );
      if (literal === null) throw new Error(`an expression without an end: ${text.slice(i, i + 60)}`);
      found.push({ at: i, expression: new RegExp(literal[1]!, literal[2]) });
      i += literal[0].length;
      code = 'x';
    } else {
      if (c === '{') depth++;
      if (c === '}' && --depth === templates.at(-1)) {
        templates.pop();
        code = 'x';
        i = inTemplate(i + 1);
        continue;
      }
      code = `${code}${c}`.slice(-20);
      i++;
    }
  }
  return found;
}

export function literalsOf(root: string): FoundExpression[] {
  return [...sourceFiles(root)].flatMap((path) => {
    const text = readFileSync(path, 'utf8');
    return literalsIn(text).map(({ at, expression }) => ({
      file: relative(root, path),
      line: text.slice(0, at).split('\n').length,
      expression,
    }));
  });
}
