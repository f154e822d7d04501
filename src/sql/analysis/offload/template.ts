import { type Literal, literalsOf, literalValue } from '../../parse/literals.js';
import type { Analysis, AnalyzeOptions, Argument, DblinkCall, Span, Statement } from '../../types.js';
import { hasCodeEscapes } from '../arguments.js';
import { ByteBoundedCache } from './cache.js';

/**
 * Texts that differ only in the literals that are arguments of dblink calls are analysed once: programs send the same statement
 * again and again, with another text for the remote.
 *
 * Such an argument is one literal and nothing else, as the parser has said. What another text has in its place cannot be taken for
 * anything else, as long as all bytes around it are the same: so whoever finds the literals need not know all of SQL.
 */

/** Longer texts are analysed each by itself: looking through them here would hold up others. */
export const MAX_TEMPLATE_BYTES = 64 * 1024;
/** With more literals, comparing them takes as long as reading the text anew. */
const MAX_LITERALS = 64;
/** How many analyses are kept of texts that differ only in literals, among them such as are no arguments. */
const MAX_VARIANTS = 4;

interface Template {
  readonly analysis: NonNullable<Analysis>;
  readonly literals: readonly Literal[];
  /** Of each literal the bytes that a text must have there; undefined where it may have any. */
  readonly fixed: readonly (string | undefined)[];
}

/** A literal alone, of which nothing but its content is known and matters. */
const isFree = ({ type, constant }: Argument): boolean => type === 'unknown' && constant?.kind === 'string';

const key = (text: Buffer, places: readonly Span[]): string => {
  let left = '';
  let from = 0;
  for (const { start, end } of places) {
    left += `${text.toString('latin1', from, start)}\0`;
    from = end;
  }
  return left + text.toString('latin1', from);
};

/** Texts without free literals, by statement. Those of one template have the same. */
const masked = new WeakMap<Statement, string>();

/**
 * A statement's text without the literals that are arguments of dblink calls: what PostgreSQL says of it is the same for all of these.
 * @param text that the statement was found in
 */
export const withoutFreeLiterals = (text: Buffer, statement: Statement): string => {
  const known = masked.get(statement);
  if (known !== undefined) return known;
  const found = mask(text, statement);
  masked.set(statement, found);
  return found;
};

const mask = (text: Buffer, { span, calls }: Statement): string => {
  const spans = calls.flatMap(({ args }) => args.filter(isFree).map((argument) => argument.span));
  const places = spans.sort((a, b) => a.start - b.start);
  return key(
    text.subarray(span.start, span.end),
    places.map(({ start, end }) => ({ start: start - span.start, end: end - span.start })),
  );
};

const BACKSLASH = 0x5c;
/** Numbers, without those in names. */
const NUMBERS = /\b\d+\b/g;
/** Names and literals whose meaning depends on another literal. */
const ESCAPED = /u&|uescape/i;

/**
 * By what the reading of SQL for a remote (readRemoteText) is kept, if it reads or writes. Literals and numbers make no difference to it,
 * where nothing can make a name of them.
 */
export function remoteKey(sql: Buffer): string {
  const text = sql.toString('latin1');
  const plain = sql.length <= MAX_TEMPLATE_BYTES && !sql.includes(BACKSLASH) && !ESCAPED.test(text);
  const literals = plain ? literalsOf(sql, MAX_LITERALS) : undefined;
  if (literals === undefined) return text;
  const masked = key(sql, literals);
  return `\0${masked.includes('"') ? masked : masked.replace(NUMBERS, '0')}`;
}

/** Analyses of texts, to be used for others that differ only in arguments of dblink calls. */
export class Templates {
  readonly #cache: ByteBoundedCache<readonly Template[]>;

  constructor(maxBytes: number) {
    this.#cache = new ByteBoundedCache(maxBytes);
  }

  /** @returns undefined when no text is known that differs only so */
  find(text: Buffer, options: AnalyzeOptions): Analysis {
    const literals = text.length > MAX_TEMPLATE_BYTES ? undefined : literalsOf(text, MAX_LITERALS);
    if (literals === undefined || literals.length === 0) return undefined;
    const template = this.#cache
      .get(keyOf(text, literals, options))
      ?.value.find(({ fixed }) =>
        fixed.every((bytes, i) => bytes === undefined || bytes === textOf(text, literals[i]!)),
      );
    return template && filledIn(template, text, literals);
  }

  /** @param bytes about what the analysis takes */
  add(text: Buffer, options: AnalyzeOptions, analysis: Analysis, bytes: number): void {
    if (analysis === undefined) return;
    const literals = literalsOf(text, MAX_LITERALS);
    if (literals === undefined || literals.length === 0) return;
    const free = new Set<string>();
    for (const { calls } of analysis.statements)
      for (const { args } of calls) for (const arg of args) if (isFree(arg)) free.add(placeOf(arg.span));
    const fixed = literals.map((literal) => (free.has(placeOf(literal)) ? undefined : textOf(text, literal)));
    if (!fixed.includes(undefined)) return;
    const found = keyOf(text, literals, options);
    const others = this.#cache.get(found)?.value ?? [];
    const templates = [{ analysis, literals, fixed }, ...others].slice(0, MAX_VARIANTS);
    this.#cache.set(found, templates, templates.length * (bytes + text.length));
  }
}

const keyOf = (text: Buffer, literals: readonly Literal[], { schemas }: AnalyzeOptions): string =>
  `${schemas.join('\0')}\0\0${key(text, literals)}`;
const textOf = (text: Buffer, { start, end }: Span): string => text.toString('latin1', start, end);
const placeOf = ({ start, end }: Span): string => `${start} ${end}`;

/** The analysis of a text of which the template is known. */
function filledIn({ analysis, literals, fixed }: Template, text: Buffer, own: readonly Literal[]): Analysis {
  const values = new Map<string, string>();
  for (const [i, literal] of literals.entries()) {
    if (fixed[i] !== undefined) continue;
    if (hasCodeEscapes(textOf(text, own[i]!))) return undefined;
    values.set(placeOf(literal), literalValue(text, own[i]!));
  }
  const offset = (at: number): number => {
    let moved = 0;
    for (let i = 0; i < literals.length && literals[i]!.end <= at; i++)
      moved = own[i]!.end - literals[i]!.end;
    return at + moved;
  };
  const span = ({ start, end }: Span): Span => ({ start: offset(start), end: offset(end) });
  const argument = (one: Argument): Argument => {
    const value = isFree(one) ? values.get(placeOf(one.span)) : undefined;
    const moved = { ...one, span: span(one.span) };
    return value === undefined ? moved : { ...moved, constant: { kind: 'string', value } };
  };
  const use = (one: DblinkCall['use']): DblinkCall['use'] => {
    if (one.kind === 'scalar') return one.item === undefined ? one : { ...one, item: span(one.item) };
    const columns = one.columns.map((column) => ({
      ...column,
      nameSpan: span(column.nameSpan),
      definitionSpan: span(column.definitionSpan),
      typeSpan: span(column.typeSpan),
    }));
    return { ...one, item: span(one.item), aliasAt: offset(one.aliasAt), columns };
  };
  const call = (one: DblinkCall): DblinkCall => ({
    ...one,
    span: span(one.span),
    args: one.args.map(argument),
    use: use(one.use),
  });
  const transaction = (one: NonNullable<Statement['transaction']>): Statement['transaction'] =>
    one.options === undefined ? one : { ...one, options: span(one.options) };
  const statement = (one: Statement): Statement => {
    const filled = {
      ...one,
      span: span(one.span),
      ...(one.transaction === undefined ? {} : { transaction: transaction(one.transaction) }),
      calls: one.calls.map(call),
    };
    const known = masked.get(one);
    if (known !== undefined) masked.set(filled, known);
    return filled;
  };
  return { statements: analysis.statements.map(statement) };
}
