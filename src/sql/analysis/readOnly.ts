import type { DefElem, FuncCall, Node, TransactionStmt, VariableSetStmt } from 'libpg-query';
import { nameParts, parseOnly, unwrap, walk } from '../parse/parser.js';
import { isKnownAggregate, isKnownSetReturning } from './arguments.js';

/**
 * Functions of pg_catalog that change nothing and that nobody can notice, but for the time that they take. A name with a star stands for all names that
 * begin so.
 */
const READ_ONLY =
  `abs acos acosd acosh age array_* ascii asin asind asinh atan atan2 atan2d atand atanh bit_count
  bit_length bound_box box broadcast btrim cardinality cbrt ceil ceiling center char_length character_length chr circle
  clock_timestamp coalesce col_description concat concat_ws convert convert_from convert_to cos cosd cosh cot cotd
  cume_dist current_catalog current_database current_query current_role current_schema current_schemas current_setting
  current_user date_* date_bin decode degrees dense_rank diagonal diameter div encode erf exp extract factorial family
  first_value floor format format_type gcd get_bit get_byte greatest has_* height host hostmask inet_* initcap isempty
  isfinite isclosed isopen json_* jsonb_* justify_* lag last_value lastval lcm lead least left length line ln log log10
  lower lower_inc lower_inf lpad lseg ltrim make_* masklen md5 min_scale mod netmask network normalize now npoints
  nth_value ntile nullif num_nonnulls num_nulls numnode obj_description octet_length overlay overlaps parse_ident path
  percent_rank percentile_* pg_backend_pid pg_client_encoding pg_column_size pg_conf_load_time pg_database_size
  pg_describe_object pg_get_* pg_has_role pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema
  pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_current_wal_lsn pg_wal_lsn_diff pg_my_temp_schema
  pg_postmaster_start_time pg_relation_size pg_size_bytes pg_size_pretty pg_table_is_visible pg_table_size
  pg_tablespace_size pg_total_relation_size pg_type_is_visible pg_function_is_visible pg_typeof pi point polygon position
  power quote_* querytree radians radius range_* rank regexp_* regr_* repeat replace reverse right round row_number
  row_to_json rpad rtrim scale session_user shobj_description set_bit set_byte set_masklen setweight sha224 sha256 sha384
  sha512 sign sin sind sinh slope split_part sqrt starts_with statement_timestamp string_* strip ts_rank ts_rank_cd ts_headline ts_lexize ts_debug ts_delete ts_filter strpos substr substring
  tan tand tanh text timezone timeofday to_* transaction_timestamp translate trim trim_array trim_scale trunc
  tsvector_to_array txid_current_if_assigned unistr upper upper_inc upper_inf user version width width_bucket xmlagg
  xml_is_well_formed xpath xpath_exists websearch_to_tsquery plainto_tsquery phraseto_tsquery every mode grouping
  int4range int8range numrange tsrange tstzrange daterange bool_* bit_*
  pg_sleep pg_sleep_for pg_sleep_until random random_normal gen_random_uuid uuidv4 uuidv7`.split(/\s+/);

const NAMES: ReadonlySet<string> = new Set(READ_ONLY.filter((name) => !name.endsWith('*')));
const FAMILIES: readonly string[] = READ_ONLY.filter((name) => name.endsWith('*')).map((name) =>
  name.slice(0, -1),
);

/** Keys of nodes that write or lock rows, wherever they stand in a query. */
const WRITES = ['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'LockingClause'];
/** The key of SELECT INTO, which makes a table, perhaps one of the session's. */
const MAKES = 'intoClause';

/**
 * What SQL for a remote may do. `reads`: nothing, so that nobody notices whether and when it ran. `calls`: only what the functions do that it
 * calls. `writes`: it may change rows of tables, and nothing of the session. `stays`: anything that a read-only session permits, but it
 * cannot make the session one that writes. `anything`: that cannot be told.
 */
export type RemoteText = 'reads' | 'calls' | 'writes' | 'stays' | 'anything';

/** The longest text that is parsed on the caller's thread; see OffloadLimits.inlineBytes. */
const MAX_INLINE_BYTES = 8 * 1024;

/**
 * Like readsOnly, but only for short texts: a long one counts as not read-only. readRemoteTextAsync reads long ones as
 * well.
 */
export const isPlainlyReadOnly = (sql: Buffer): boolean => sql.length <= MAX_INLINE_BYTES && readsOnly(sql);

/** Whether SQL for a remote is plainly read-only, see readRemoteText. */
export const readsOnly = (sql: Buffer): boolean => readRemoteText(sql) === 'reads';

/**
 * Reads SQL for a remote. What reads is one SELECT, VALUES, TABLE or SHOW, without row locks, INTO or data-modifying CTE. What writes
 * is one statement, too. Neither calls a function but PostgreSQL's own harmless ones (a user's function, nextval, set_config, setseed …
 * may do anything).
 * @param sql bytes in an encoding in which no byte below 128 is part of a longer character
 */
export function readRemoteText(sql: Buffer): RemoteText {
  const text = sql.toString('latin1');
  // The remote may have standard_conforming_strings off. There \' would not end a literal, while the parser takes it for
  // the end.
  if (text.includes("\\'")) return 'anything';
  try {
    const statements = (parseOnly(text) ?? []).flatMap(({ stmt }) => (stmt === undefined ? [] : [stmt]));
    const [first] = statements;
    if (first === undefined) return 'anything';
    const effect = statements.length === 1 ? effectOfStatement(first) : 'stays';
    return effect === 'stays' && !statements.every(staysReadOnly) ? 'anything' : effect;
  } catch (error) {
    if (error instanceof RangeError) return 'anything';
    throw error;
  }
}

function effectOfStatement(statement: Node): RemoteText {
  const { tag } = unwrap(statement);
  if (tag === 'VariableShowStmt') return 'reads';
  return tag === 'SelectStmt' || WRITES.includes(tag) ? effectOf(statement) : 'stays';
}

function effectOf(query: unknown): RemoteText {
  let effect: RemoteText = 'reads';
  let calls = false;
  walk(query, (value) => {
    if (WRITES.some((key) => key in value) && effect === 'reads') effect = 'writes';
    if (MAKES in value) effect = 'stays';
    if ('FuncCall' in value && !isReadOnlyCall(value['FuncCall'] as FuncCall)) calls = true;
    return effect !== 'stays';
  });
  if (!calls) return effect;
  return effect === 'reads' ? 'calls' : 'stays';
}

/**
 * Statements that leave the session read-only, or that a server refuses in one that is. DO and CALL are not among them: they can end a
 * transaction and go on in another one.
 */
const STAY = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'ExplainStmt', 'VariableShowStmt'],
  ...['DeclareCursorStmt', 'FetchStmt', 'ClosePortalStmt', 'PrepareStmt', 'ExecuteStmt', 'DeallocateStmt'],
  ...['ListenStmt', 'UnlistenStmt', 'LockStmt'],
]);
/** Settings that make a session or a transaction one that writes. */
const MODES = new Set(['transaction_read_only', 'default_transaction_read_only']);
const LEAVES = new Set(['TRANS_STMT_PREPARE', 'TRANS_STMT_COMMIT_PREPARED', 'TRANS_STMT_ROLLBACK_PREPARED']);
const BEGINS = new Set(['TRANS_STMT_BEGIN', 'TRANS_STMT_START']);

/**
 * What a function has done shows only behind the text. So a transaction can begin at the beginning of a text, where nothing can have
 * been called yet, and its end, which calls what WITH HOLD cursors and deferred triggers are about, has to be a text of its own.
 * @param i its place in the text @param all of the text's statements
 */
function staysReadOnly(statement: Node, i: number, all: readonly Node[]): boolean {
  const { tag, body } = unwrap(statement);
  if (tag === 'TransactionStmt') {
    const { kind, options } = body as TransactionStmt;
    if (LEAVES.has(kind!) || setsMode(options)) return false;
    return all.length === 1 || (i === 0 && BEGINS.has(kind!));
  }
  if (tag === 'VariableSetStmt') {
    const { kind, name, args } = body as VariableSetStmt;
    if (kind === 'VAR_RESET_ALL') return true;
    if (kind === 'VAR_SET_MULTI') return !setsMode(args);
    // What a server makes of letters that are not ASCII depends on its locale.
    return name !== undefined && /^[\w.]+$/.test(name) && !MODES.has(name.toLowerCase());
  }
  return STAY.has(tag);
}

/** Whether transaction modes may say READ WRITE. */
const setsMode = (modes: readonly Node[] | undefined): boolean =>
  (modes ?? []).some((mode) => {
    const { tag, body } = unwrap(mode);
    if (tag !== 'DefElem') return true;
    const { defname = '', arg } = body as DefElem;
    if (!MODES.has(defname)) return false;
    return arg === undefined || !('A_Const' in arg) || arg.A_Const.ival?.ival !== 1;
  });

function isReadOnlyCall(call: FuncCall): boolean {
  const parts = nameParts(call.funcname);
  const name = parts.at(-1) ?? '';
  if (parts.length > 2 || (parts.length === 2 && parts[0] !== 'pg_catalog')) return false;
  return (
    NAMES.has(name) ||
    isKnownAggregate(name) ||
    isKnownSetReturning(name) ||
    FAMILIES.some((family) => name.startsWith(family))
  );
}
