import { PgError } from '../wire/errors.js';
import type { CallArguments } from './callArguments.js';
import type { CallContext } from './context.js';
import type { DblinkFunction } from './functions.js';
import type { QueryOutcome } from './remote/outcome.js';
import type { RowSink } from './remote/results.js';
import type { DblinkSession } from './session.js';

type Arguments = CallArguments & { kind: 'call' };

/**
 * Carries out a dblink function that stands where a value is expected.
 * @returns its result as PostgreSQL would write it, a byte string in the database's encoding; null for SQL's NULL
 * @throws PgError what the function raises; 0A000 when a function of rows returns anything but the tag of a command
 */
export const callScalar = (
  dblink: DblinkSession,
  call: { readonly name: DblinkFunction },
  args: Arguments,
  context: CallContext,
): Promise<string | null> => dblink.timed(call.name, () => scalar(dblink, call, args, context));

async function scalar(
  dblink: DblinkSession,
  call: { readonly name: DblinkFunction },
  args: Arguments,
  context: CallContext,
): Promise<string | null> {
  switch (call.name) {
    case 'dblink_connect':
    case 'dblink_connect_u':
      return dblink.connect(args.connection, args.conninfo ?? '', call.name === 'dblink_connect_u', context);
    case 'dblink_disconnect':
      return dblink.disconnect(args.connection, context);
    case 'dblink_exec':
      return dblink.exec(args.connection, args.sql!, args.failOnError, context);
    case 'dblink_open':
      return dblink.openCursor(args.connection, args.cursor ?? '', args.sql!, args.failOnError, context);
    case 'dblink_close':
      return dblink.closeCursor(args.connection, args.cursor ?? '', args.failOnError, context);
    case 'dblink_send_query':
      return String(await dblink.sendQuery(args.connection ?? '', args.sql!, context));
    case 'dblink_is_busy':
      return String(await dblink.isBusy(args.connection ?? '', context));
    case 'dblink_cancel_query':
      return dblink.cancelQuery(args.connection ?? '', context);
    case 'dblink_get_connections': {
      const names = dblink.connections();
      return names === null ? null : arrayLiteral(names);
    }
    case 'dblink_error_message':
      return dblink.errorMessage(args.connection ?? '', context);
    case 'dblink':
    case 'dblink_fetch':
    case 'dblink_get_result': {
      // In a select list there is no column definition list. The tag of a command is a row of one text column, but rows
      // of a query have no type.
      const outcome = await source(dblink, call, args, NO_COLUMNS, context);
      if (outcome.kind === 'status') return outcome.tag;
      throw new PgError(
        '0A000',
        'function returning record called in context that cannot accept type record',
      );
    }
    case 'dblink_get_pkey':
    case 'dblink_build_sql_insert':
    case 'dblink_build_sql_delete':
    case 'dblink_build_sql_update':
    case 'dblink_current_query':
    case 'dblink_get_notify':
    case 'dblink_fdw_validator':
      throw notHere(call.name);
    default:
      return call.name satisfies never;
  }
}

/**
 * Raised only by a mistake in the proxy: the function is carried out elsewhere, or returns rows with columns of its own.
 */
const notHere = (name: DblinkFunction): Error => new Error(`${name} is not carried out by the proxy`);

/** Carries out dblink(), dblink_fetch() or dblink_get_result(). @throws PgError what it raises, and what the sink throws */
export const callSource = (
  dblink: DblinkSession,
  call: { readonly name: DblinkFunction },
  args: Arguments,
  sink: RowSink,
  context: CallContext,
): Promise<QueryOutcome> => dblink.timed(call.name, () => source(dblink, call, args, sink, context));

function source(
  dblink: DblinkSession,
  { name }: { readonly name: DblinkFunction },
  args: Arguments,
  sink: RowSink,
  context: CallContext,
): Promise<QueryOutcome> {
  const { connection, cursor, howMany, failOnError } = args;
  switch (name) {
    case 'dblink_fetch':
      return dblink.fetchCursor(connection, cursor ?? '', howMany, failOnError, sink, context);
    case 'dblink_get_result':
      return dblink.getResult(connection ?? '', failOnError, sink, context);
    case 'dblink':
      return dblink.query(connection, args.sql!, failOnError, sink, context);
    default:
      throw notHere(name);
  }
}

/** The sink of a caller without a column definition list. Such a caller cannot take rows, so they are dropped. */
const NO_COLUMNS: RowSink = {
  columns: -1,
  maxRowBytes: 0,
  begin: () => 'discard',
  style() {},
  row() {},
  raw() {},
  end() {},
  reset() {},
};

/** A text[] value as array_out writes it. */
function arrayLiteral(items: readonly string[]): string {
  const quoted = items.map((item) =>
    item === '' || /[{}",\\\s]/.test(item) || item.toLowerCase() === 'null'
      ? `"${item.replace(/["\\]/g, (c) => `\\${c}`)}"`
      : item,
  );
  return `{${quoted.join(',')}}`;
}
