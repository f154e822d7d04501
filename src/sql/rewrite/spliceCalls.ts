import { type DeclaredType, declaredTypes, FUNCTION_FACTS } from '../analysis/functions.js';
import type { DblinkCall, ScalarUse, SourceUse, Span, Statement } from '../types.js';
import { TextBuilder } from './textBuilder.js';

/** A statement whose calls are replaced by parameters. */
export interface Rewritten {
  readonly sql: Buffer;
  /**
   * For each call of the statement, the keys of the JSON objects that its parameter must hold. There is one object for
   * each row. Empty for scalar calls, whose parameter is the value's text. Every parameter is a bytea in the database's
   * encoding.
   */
  readonly keys: readonly (readonly string[])[];
  /**
   * For each call and key: whether the value must be given as the text of an array with this one element
   * (arrayLiteralOf). json_to_recordset does not read the strings of a json column with json's input function, but it
   * does read those of a json[] column with it.
   */
  readonly asArray: readonly (readonly boolean[])[];
  /**
   * Where an error position (1-based, in characters of the rewritten text) lies in the whole original text. A position in
   * what stands for a call is mapped to the call's beginning.
   */
  readonly mapPosition: (position: number) => number;
}

/** What a rewriting has to know besides the statement. */
export interface RewriteOptions {
  /** Per declared column of a source: whether its base type is json or jsonb. Without it no column is taken for one. */
  readonly sourceColumns?: (call: DblinkCall) => readonly { readonly jsonText: boolean }[];
  /** The types of a call's arguments where more is known than the text says (declared parameter types). */
  readonly argumentTypes?: (call: DblinkCall) => readonly (DeclaredType | undefined)[];
  /**
   * Whether the values of the sources are read in a DateStyle and an IntervalStyle that are not the session's. These two
   * are parameters behind those of the calls. The two settings to go back to follow them. Nothing else of the statement
   * sees the change: PostgreSQL runs the functions of ROWS FROM one after another, each to its end.
   */
  readonly styled?: boolean;
  /** Number of characters in bytes of the client's encoding. */
  readonly countCharacters: (bytes: Buffer) => number;
}

/** The statement cannot be rewritten although its shape allowed it; a reason like those of the shape `bridge`. */
export class CannotRewrite extends Error {}

/**
 * The text of an array with one element. Every value survives array_in. The element's input function reads the value at
 * the time, and with the errors, that there would be for a column.
 * @param value bytes as a latin1 string; null for SQL's NULL, which a NOT NULL domain refuses
 */
export const arrayLiteralOf = (value: string | null): string =>
  value === null ? '{NULL}' : `{"${value.replace(/["\\]/g, (c) => `\\${c}`)}"}`;

/**
 * Replaces every call of a statement by rows or a value that come from a parameter. Everything else stays as the user
 * wrote it: aliases, column definitions, names of output columns, positions in errors.
 *
 * What stands for a call is volatile, as the call is. So the planner neither computes it early nor moves anything across
 * it (a CTE that reads it is not inlined, and so on). If the parameter is not JSON, it raises an error when PostgreSQL
 * reaches it, and only then.
 * @param firstParameter number of the first call's parameter; the others follow in the order of `statement.calls`
 * @throws CannotRewrite
 */
export function rewrite(
  text: Buffer,
  statement: Statement,
  firstParameter: number,
  options: RewriteOptions,
): Rewritten {
  const builder = new TextBuilder(text, options.countCharacters);
  const keys: (readonly string[])[] = [];
  const asArray: (readonly boolean[])[] = [];
  let position = statement.span.start;
  statement.calls.forEach((call, i) => {
    const { use } = call;
    const region = regionOf(call);
    builder.copy({ start: position, end: region.start });
    builder.anchor = call.span.start;
    const value = (): void => writeValue(builder, call, firstParameter + i, options);
    if (use.kind === 'source') {
      const arrays = use.columns.map((_, c) => options.sourceColumns?.(call)[c]?.jsonText === true);
      const style = options.styled === true ? firstParameter + statement.calls.length : undefined;
      const source = writeSource(builder, use, arrays, call, value, style);
      keys.push(source.keys);
      asArray.push(source.asArray);
    } else {
      writeScalar(builder, call, use, value);
      keys.push([]);
      asArray.push([]);
    }
    position = region.end;
  });
  builder.copy({ start: position, end: statement.span.end });
  return { sql: builder.toBuffer(), keys, asArray, mapPosition: builder.mapPosition() };
}

/**
 * The part of the text that is replaced: a call. Of a source it also has the alias and the column list, which are written
 * anew or copied.
 */
const regionOf = (call: DblinkCall): Span =>
  call.use.item === undefined ? call.span : { start: call.span.start, end: call.use.item.end };

/** The bytes of a parameter as text of the database. */
const decoded = (bytes: () => void, builder: TextBuilder): void => {
  builder.insert('pg_catalog.convert_from(');
  bytes();
  builder.insert(', pg_catalog.getdatabaseencoding())');
};

/** Makes what stands for a call volatile, by a condition that is always true without the planner knowing it. */
const volatile = (value: () => void, builder: TextBuilder, also = ''): void => {
  builder.insert(`CASE WHEN pg_catalog.clock_timestamp() IS NOT NULL${also} THEN `);
  value();
  builder.insert(' END');
};

/**
 * Writes the parameter in the place of a call.
 *
 * If not all arguments are constants, they stay in the statement. PostgreSQL then infers the types of the client's
 * parameters from them, and raises what is wrong with them while it parses the statement. They stand in branches that
 * planning removes before it looks at them. Each is the argument of a function that takes what the dblink function takes.
 */
function writeValue(
  builder: TextBuilder,
  call: DblinkCall,
  parameter: number,
  options: RewriteOptions,
): void {
  const own = `$${parameter}::pg_catalog.bytea`;
  const kept = call.args.some((argument) => argument.constant === undefined);
  if (!kept) {
    builder.insert(own);
    return;
  }
  builder.insert(`CASE WHEN true THEN ${own}`);
  const types = options.argumentTypes?.(call) ?? argumentTypesOf(call);
  call.args.forEach((argument, i) => {
    const type = types[i];
    if (type === undefined) {
      builder.insert(' WHEN (');
      builder.copy(argument.span);
      builder.insert(') IS NULL THEN NULL');
    } else {
      builder.insert(` WHEN false THEN pg_catalog.${holderOf(type)}((`);
      builder.copy(argument.span);
      builder.insert('))');
    }
  });
  builder.insert(' END');
}

/** The functions that hold arguments in a statement: they take what the dblink functions take. */
const HOLDERS: Readonly<Partial<Record<DeclaredType, string>>> = {
  text: 'textsend',
  boolean: 'boolsend',
  integer: 'int4send',
};

function holderOf(type: DeclaredType): string {
  const holder = HOLDERS[type];
  if (holder === undefined) throw new CannotRewrite(`an argument of the type ${type}`);
  return holder;
}

const argumentTypesOf = (call: DblinkCall): readonly (DeclaredType | undefined)[] =>
  declaredTypes(
    call.name,
    call.args.map((argument) => argument.type),
  );

/**
 * Writes what stands for a source, such as `FROM dblink(…) AS t(a int)`: a function that reads JSON.
 *
 * Beside it stands a function that returns no rows. The planner expects as many rows from it as from dblink(), so it
 * plans the statement as it would with the extension.
 */
function writeSource(
  builder: TextBuilder,
  use: SourceUse,
  arrays: readonly boolean[],
  call: DblinkCall,
  value: () => void,
  style: number | undefined,
): { readonly keys: readonly string[]; readonly asArray: readonly boolean[] } {
  const names = use.columns.map((column) => column.name);
  // These keep their form. Either the primary raises what is wrong with them (42601, 42701, 0A000), or no other form is
  // possible.
  const sameForm =
    use.columns.length === 0 || new Set(names).size < names.length || use.ordinality || use.rowsFrom;
  if (sameForm) {
    const refused =
      style !== undefined
        ? 'dates or intervals in the style of another server'
        : arrays.includes(true)
          ? 'a column of type json'
          : !use.columns.every(isPlainKey)
            ? 'unusual column names'
            : undefined;
    if (use.rowsFrom && refused !== undefined) throw new CannotRewrite(`ROWS FROM with ${refused}`);
    writeRecordset(builder, value, undefined);
    const alias = use.aliasGiven || use.rowsFrom ? undefined : `"${call.name}"`;
    if (alias === undefined) builder.copy({ start: call.span.end, end: use.item.end });
    else {
      builder.copy({ start: call.span.end, end: use.aliasAt });
      builder.insert(use.aliasAt === use.item.end ? ` AS ${alias}` : alias);
      builder.copy({ start: use.aliasAt, end: use.item.end });
    }
    return { keys: names, asArray: arrays.map(() => false) };
  }
  // From outside an alias gives the columns the user's names. Inside they have these names too, for errors that mention
  // them, unless they are no keys of JSON.
  const keys = use.columns.every(isPlainKey) ? names : use.columns.map((_, i) => String(i + 1));
  builder.insert(
    `(SELECT ${keys.map((key, i) => `"${key}"${arrays[i] ? '[1]' : ''}`).join(', ')} FROM ROWS FROM (`,
  );
  writeRecordset(builder, value, style);
  builder.insert(' AS (');
  use.columns.forEach((column, i) => {
    builder.insert(`${i === 0 ? '' : ', '}"${keys[i]}" `);
    builder.copy(column.typeSpan);
    if (arrays[i]) builder.insert('[]');
    builder.copy({ start: column.typeSpan.end, end: column.definitionSpan.end });
  });
  builder.insert(`), ${EXPECTED_ROWS}`);
  if (style !== undefined) {
    builder.insert(`, ${setStyle('datestyle', style + 2)}, ${setStyle('intervalstyle', style + 3)}`);
  }
  builder.insert(`) AS "${call.name}"(${keys.map((key) => `"${key}"`).join(', ')})) `);
  if (use.aliasGiven) {
    builder.copy({ start: call.span.end, end: use.aliasAt });
  } else builder.insert(`AS "${call.name}"`);
  builder.insert('(');
  use.columns.forEach((column, i) => {
    if (i > 0) builder.insert(', ');
    builder.copy(column.nameSpan);
  });
  builder.insert(')');
  return { keys, asArray: arrays };
}

/** Returns no rows. But the planner expects a thousand, as from dblink(). */
const EXPECTED_ROWS = "pg_catalog.generate_subscripts('{}'::pg_catalog.int4[], 1)";

/** @param style number of the first parameter of a style to read the values in */
function writeRecordset(builder: TextBuilder, value: () => void, style: number | undefined): void {
  builder.insert('pg_catalog.json_to_recordset(');
  const json = (): void => {
    decoded(value, builder);
    builder.insert('::pg_catalog.json');
  };
  const adopting =
    style === undefined
      ? ''
      : ` AND ${setStyle('datestyle', style)} IS NOT NULL AND ${setStyle('intervalstyle', style + 1)} IS NOT NULL`;
  volatile(json, builder, adopting);
  builder.insert(')');
}

const setStyle = (setting: string, parameter: number): string =>
  `pg_catalog.set_config('${setting}', $${parameter}, true)`;

/** A name that is the same bytes as a JSON key in every encoding, and no longer than a name of PostgreSQL's. */
const isPlainKey = (column: SourceUse['columns'][number]): boolean =>
  column.nameExact && /^[\x20-\x7e]{1,63}$/.test(column.name) && !/["\\]/.test(column.name);

/** Types of the values in the places of calls. */
const SCALAR_TYPES: Readonly<Record<string, string>> = {
  text: 'pg_catalog.text',
  integer: 'pg_catalog.int4',
  textArray: 'pg_catalog.text[]',
};

/** A value in the place of a call. */
function writeScalar(builder: TextBuilder, call: DblinkCall, use: ScalarUse, value: () => void): void {
  const { returns } = FUNCTION_FACTS[call.name];
  if (use.item !== undefined) {
    // An item of a FROM list has to look like a function call; its one column is named after the alias.
    const other = returns === 'text' ? undefined : SCALAR_TYPES[returns];
    if (other !== undefined) builder.insert('CAST(');
    decoded(() => volatile(value, builder), builder);
    if (other !== undefined) builder.insert(` AS ${other})`);
    builder.copy({ start: call.span.end, end: use.item.end });
    if (!use.aliasGiven) builder.insert(` AS "${call.name}"`);
    return;
  }
  const type = SCALAR_TYPES[returns];
  const expression = (): void => {
    if (returns === 'rows') builder.insert('ROW(');
    const typed = (): void => {
      decoded(value, builder);
      if (returns !== 'text' && type !== undefined) builder.insert(`::${type}`);
    };
    volatile(typed, builder);
    if (returns === 'rows') builder.insert(')');
  };
  if (!use.namesColumn) {
    expression();
    return;
  }
  // A sub-select lends its column's name to the output column, through casts and subscripts too. The CAST around it
  // keeps `= ANY (…)` and `IN (…)` from taking it for a list of rows.
  if (type !== undefined) builder.insert('CAST(');
  builder.insert('(SELECT ');
  expression();
  builder.insert(` AS "${call.name}")`);
  if (type !== undefined) builder.insert(` AS ${type})`);
}
