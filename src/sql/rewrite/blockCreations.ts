import { readExtensionCommand } from '../analysis/extension.js';
import { parseOnly, scanTokens, unwrap } from '../parse/parser.js';
import type { ShownTables } from './showTables.js';
import { TextBuilder } from './textBuilder.js';

/** CREATE EXTENSION [IF NOT EXISTS] dblink [WITH] [SCHEMA s] [VERSION v] [CASCADE] in a block. */
export interface Creation {
  readonly ifNotExists: boolean;
  /** A byte string. */
  readonly schema: string | undefined;
}

/** The version of the extension that there is. */
const VERSION = '1.2';

/** The beginning and end of a dollar-quoted string. */
const DOLLAR_TAG = /^\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$/;

/**
 * Changes the commands in a DO block that create the extension dblink.
 * @param text of one statement: DO and a dollar-quoted string in PL/pgSQL. Others are left alone
 * @param instead gives PL/pgSQL, with its semicolon, for a command
 * @param countCharacters as PostgreSQL counts error positions
 * @returns undefined when there is nothing to change
 */
export function replaceCreations(
  text: Buffer,
  instead: (creation: Creation) => string,
  countCharacters: (bytes: Buffer) => number,
): ShownTables | undefined {
  const tokens = scanTokens(text)?.tokens;
  const source = text.toString('latin1');
  const quoted = tokens?.find(({ start }) => source[start] === '$');
  if (tokens === undefined || quoted === undefined || isOtherLanguage(source, tokens)) return undefined;
  const [tag] = DOLLAR_TAG.exec(source.slice(quoted.start, quoted.end)) ?? [];
  if (tag === undefined) return undefined;
  const from = quoted.start + tag.length;
  const body = text.subarray(from, quoted.end - tag.length);
  const found = creationsIn(body);
  if (found.length === 0) return undefined;
  const changes = found.map(({ start, end, creation }) => ({ start, end, sql: instead(creation) }));
  const own = unusedTag([body.toString('latin1'), ...changes.map(({ sql }) => sql)]);
  const builder = new TextBuilder(text, countCharacters);
  builder.copy({ start: 0, end: quoted.start });
  builder.anchor = quoted.start;
  builder.insert(own);
  let at = 0;
  for (const { start, end, sql } of changes) {
    builder.copy({ start: from + at, end: from + start });
    builder.insert(sql);
    at = end;
  }
  builder.copy({ start: from + at, end: from + body.length });
  builder.insert(own);
  builder.copy({ start: quoted.end, end: text.length });
  return { sql: builder.toBuffer(), mapPosition: builder.mapPosition() };
}

/** Whether LANGUAGE names another one than PL/pgSQL. */
function isOtherLanguage(source: string, tokens: readonly { start: number; end: number }[]): boolean {
  const words = tokens.map(({ start, end }) => source.slice(start, Math.min(end, start + 100)).toLowerCase());
  const at = words.indexOf('language');
  return at >= 0 && !['plpgsql', '"plpgsql"', "'plpgsql'"].includes(words[at + 1] ?? '');
}

function unusedTag(texts: readonly string[]): string {
  for (let i = 0; ; i++) {
    const tag = `$block${i}$`;
    if (!texts.some((text) => text.includes(tag.slice(0, -1)))) return tag;
  }
}

interface FoundCreation {
  readonly start: number;
  readonly end: number;
  readonly creation: Creation;
}

/** The commands, each from its first word to its semicolon. */
function creationsIn(body: Buffer): FoundCreation[] {
  const source = body.toString('latin1');
  const tokens = scanTokens(body)?.tokens ?? [];
  const word = (i: number): string | undefined => {
    const token = tokens[i];
    return token && source.slice(token.start, Math.min(token.end, token.start + 100)).toLowerCase();
  };
  const found: FoundCreation[] = [];
  for (let i = 0; i < tokens.length; i++) {
    if (word(i) !== 'create' || word(i + 1) !== 'extension') continue;
    let last = i + 2;
    while (last < tokens.length && word(last) !== ';') last++;
    if (last === tokens.length) break;
    const { start } = tokens[i]!;
    const { end } = tokens[last]!;
    const creation = readCreation(source.slice(start, end));
    if (creation !== undefined) found.push({ start, end, creation });
    i = last;
  }
  return found;
}

/** @param sql a byte string */
function readCreation(sql: string): Creation | undefined {
  const stmt = parseOnly(sql)?.[0]?.stmt;
  const { tag, body } = stmt === undefined ? { tag: '', body: {} } : unwrap(stmt);
  if (tag !== 'CreateExtensionStmt') return undefined;
  const command = readExtensionCommand(tag, body);
  return command?.kind === 'create' && (command.version ?? VERSION) === VERSION
    ? { ifNotExists: command.ifNotExists, schema: command.schema }
    : undefined;
}
