import { BRIDGE_VERSION } from '../../primary/marks.js';
import { EQ } from '../../primary/operators.js';
import { asRaised, PrimaryRaised } from '../../primary/raised.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import type { ExtensionCommand } from '../../sql/index.js';
import { noticeResponse, PgError, parseFields } from '../../wire/errors.js';
import { abortable } from '../../wire/pace/abortable.js';
import { isSkipping } from '../exchange/hiddenNotices.js';
import { EXTENSION_MARK, EXTENSION_VERSION, FUNCTIONS_QUERY, isTrusted } from '../installed/objectQueries.js';
import { REGISTERED_QUERY } from '../installed/registerSql.js';
import { dropSql, installSql, moveSql, registerSql, upgradeSql } from './extensionSql.js';

/**
 * CREATE EXTENSION dblink and the like on a primary that does not have the extension: the bridge's functions are made,
 * moved or dropped in the client's transaction, by the client's role.
 */

/** A session's bridge, as far as commands need it. `prepare` makes sure that there is one, or throws what stands in the way. */
export interface Preparable {
  prepare(): Promise<void>;
}

/** What the primary says about a command. Names are byte strings in the client's encoding. */
interface State {
  /** The primary has the extension itself. (Functions of the bridge, which are called installed elsewhere, are `bridge`.) */
  readonly hasExtension: boolean;
  /** The bridge's functions are members of an extension dblink (registerSql.ts). */
  readonly registered: boolean;
  /** The extension itself could be created. */
  readonly couldHaveExtension: boolean;
  /** The transaction is read-only. */
  readonly readOnly: boolean;
  /** The first schema of the search path. */
  readonly currentSchema: string | undefined;
  /** The role may make what everybody's calls run: it has the rights of the database's owner, or is the proxy's account. */
  readonly trusted: boolean;
  /** The schema that the command names exists. */
  readonly schemaExists: boolean;
  /**
   * The bridge's functions, if there are any. `owned`: the role has the rights of their owner. `sure`: the owner is one who may make what
   * everybody runs, and not only the one of the service schema, who has to be looked at first.
   */
  readonly bridge:
    | { readonly schema: string; readonly version: number; readonly owned: boolean; readonly sure: boolean }
    | undefined;
}

const STATE = `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname ${EQ} 'dblink'), EXISTS (${REGISTERED_QUERY}),
  EXISTS (SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name ${EQ} 'dblink'),
  pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_schema(),
  EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname ${EQ} $1::pg_catalog.name),
  (SELECT pg_catalog.min(schema::pg_catalog.text COLLATE "C") FROM m), (SELECT pg_catalog.min(version) FROM m),
  (SELECT pg_catalog.bool_and(pg_catalog.pg_has_role(owner, 'USAGE')) FROM m), (SELECT pg_catalog.bool_and(${isTrusted('owner')}) FROM m),
  (SELECT pg_catalog.pg_has_role(d.datdba, 'USAGE') FROM pg_catalog.pg_database d WHERE d.datname ${EQ} pg_catalog.current_database()),
  current_user
  FROM (SELECT 1) AS one`;

const NAMES: Readonly<Record<ExtensionCommand['kind'], string>> = {
  create: 'CREATE EXTENSION',
  drop: 'DROP EXTENSION',
  update: 'ALTER EXTENSION',
  setSchema: 'ALTER EXTENSION',
  comment: 'COMMENT',
};

/**
 * Carries a command out in the primary's present transaction, which is left open.
 * @param bridge undefined where the session has none
 * @returns the command tag; undefined when the primary itself is to carry the command out
 * @throws PgError as PostgreSQL raises it for an extension: 42710, 42704, 3F000, 22023, 25006, 42501; what stands in the
 * way of a bridge; PrimaryRaised for what the primary raised: 3F000, 42501, 42723, 2BP01
 */
export async function runExtensionCommand(
  context: SessionContext,
  bridge: Preparable | undefined,
  command: ExtensionCommand,
): Promise<string | undefined> {
  if (bridge === undefined) return undefined;
  const state = await readState(context, command);
  // The extension itself comes first. Where there is nothing to act on, the primary says that best.
  if (state.hasExtension) return undefined;
  // For a new version of an extension the primary needs its files. All else it can do itself.
  if (state.registered && command.kind !== 'update') return undefined;
  if (
    command.kind === 'create'
      ? state.couldHaveExtension && state.bridge === undefined
      : state.bridge === undefined
  )
    return undefined;
  const tag = NAMES[command.kind];
  if (state.readOnly) throw new PgError('25006', `cannot execute ${tag} in a read-only transaction`);
  const prepare = () => prepareBridge(context, bridge);
  if (state.bridge?.sure === false) await prepare();
  await act(context, prepare, command, state);
  return tag;
}

async function act(
  context: SessionContext,
  prepare: () => Promise<void>,
  command: ExtensionCommand,
  state: State,
): Promise<void> {
  const { bridge } = state;
  if (command.kind === 'create') {
    if (bridge === undefined) return create(context, prepare, command, state);
    const message = 'extension "dblink" already exists';
    if (!command.ifNotExists) throw new PgError('42710', message);
    return notify(context, '42710', `${message}, skipping`);
  }
  if (bridge?.owned === false) throw new PgError('42501', 'must be owner of extension dblink');
  switch (command.kind) {
    case 'drop':
      return change(context, dropSql(command.cascade));
    case 'setSchema':
      if (!state.schemaExists) await raiseNoSchema(context, command.schema);
      return change(context, moveSql(command.schema));
    case 'update':
      if ((command.version ?? EXTENSION_VERSION) !== EXTENSION_VERSION) {
        throw new PgError(
          '22023',
          `extension "dblink" has no update path from version "${EXTENSION_VERSION}" to version "${command.version}"`,
        );
      }
      if (bridge!.version < BRIDGE_VERSION) {
        await prepare();
        return change(context, upgradeSql(bridge!.schema));
      }
      if (!state.registered) {
        await prepare();
        await change(context, registerSql());
      }
      return notify(
        context,
        '00000',
        `version "${EXTENSION_VERSION}" of extension "dblink" is already installed`,
      );
    case 'comment':
      // There is no extension that could keep the comment.
      return;
  }
}

async function create(
  context: SessionContext,
  prepare: () => Promise<void>,
  command: ExtensionCommand & { readonly kind: 'create' },
  state: State,
): Promise<void> {
  const { version = EXTENSION_VERSION } = command;
  if (version !== EXTENSION_VERSION) {
    throw new PgError(
      '22023',
      `extension "dblink" has no installation script nor update path for version "${version}"`,
    );
  }
  if (command.schema !== undefined && !state.schemaExists) await raiseNoSchema(context, command.schema);
  const schema = command.schema ?? state.currentSchema;
  if (schema === undefined) throw new PgError('3F000', 'no schema has been selected to create in');
  if (!state.trusted) throw notPermitted();
  await prepare();
  await change(context, installSql(schema));
}

const notPermitted = (): PgError =>
  new PgError('42501', 'permission denied to create extension "dblink"', {
    hint: 'Must be superuser or the owner of the database to create this extension.',
  });

/** Makes what the functions need. Cancels and statement_timeout end that as well. @throws PgError what stands in the way */
export async function prepareBridge(context: SessionContext, bridge: Preparable): Promise<void> {
  await context.remotely(await factsOf(context), ({ signal }) => abortable(bridge.prepare(), signal));
}

const factsOf = (context: SessionContext): Promise<SessionFacts> =>
  context.probe.get('flush').catch(asRaised);

/** Has the primary raise that there is no such schema. @throws PrimaryRaised 3F000 */
async function raiseNoSchema(context: SessionContext, name: string): Promise<void> {
  const { error } = await context.primary.run(
    {
      sql: 'SELECT pg_catalog.quote_ident($1)::pg_catalog.regnamespace',
      types: [TEXT_OID],
      values: [Buffer.from(name, 'latin1')],
    },
    'flush',
  );
  if (error !== undefined) throw new PrimaryRaised(error);
}

/** What the primary says about a command. @throws PrimaryRaised */
export async function readState(context: SessionContext, command: ExtensionCommand): Promise<State> {
  const named = 'schema' in command ? command.schema : undefined;
  const { rows, error } = await context.primary.run(
    {
      sql: `WITH m AS MATERIALIZED (${FUNCTIONS_QUERY}) ${STATE}`,
      types: [TEXT_OID],
      values: [named === undefined ? null : Buffer.from(named, 'latin1')],
    },
    'flush',
  );
  if (error !== undefined) throw new PrimaryRaised(error);
  const row = (rows[0] ?? []).map((value) => value?.toString('latin1'));
  const [
    extension,
    registered,
    available,
    readOnly,
    currentSchema,
    schemaExists,
    schema,
    version,
    owned,
    sure,
    owner,
    role,
  ] = row;
  return {
    hasExtension: extension === 't' && registered !== 't',
    registered: registered === 't',
    couldHaveExtension: available === 't',
    readOnly: readOnly === 'on',
    currentSchema,
    trusted: owner === 't' || isAccount(context, role),
    schemaExists: schemaExists === 't',
    bridge:
      schema === undefined
        ? undefined
        : { schema, version: Number(version), owned: owned === 't', sure: sure === 't' },
  };
}

const isAccount = ({ settings: { service } }: SessionContext, role: string | undefined): boolean =>
  service !== undefined && role === Buffer.from(service.user).toString('latin1');

const TEXT_OID = 25;

/** Sends the client a notice of the proxy's own, if it wants notices. */
async function notify(context: SessionContext, sqlstate: string, message: string): Promise<void> {
  context.notify(await factsOf(context), new PgError(sqlstate, message, { severity: 'NOTICE' }));
}

/** Runs one of the DO blocks of extensionSql.ts. @throws PrimaryRaised */
async function change(context: SessionContext, sql: string): Promise<void> {
  const { session } = context;
  const told: PgError[] = [];
  const { error } = await context.primary.run(
    {
      sql: Buffer.from(sql, 'latin1'),
      changes: true,
      notice: (message) => {
        if (isSkipping(message)) return true;
        const notice = PgError.from(parseFields(message));
        if (notice.fields.severityNonLocalized !== 'NOTICE') return false;
        if (isOwnStatement(notice)) told.push(notice);
        // An event trigger may raise notices as well.
        else session.toClient(noticeResponse(withoutBlock(notice)));
        return true;
      },
    },
    'flush',
  );
  if (error !== undefined) throw new PrimaryRaised(withoutBlock(error));
  const cascade = joined(told);
  if (cascade !== undefined) session.toClient(noticeResponse(withoutBlock(cascade)));
}

/** Whether one of the DO block's statements raised the notice itself, and not something that the statement set off. */
const isOwnStatement = ({ fields: { context = '' } }: PgError): boolean =>
  context.slice(0, context.indexOf('\n')).includes(EXTENSION_MARK);

/** An error or notice without what it says about the DO block. */
function withoutBlock(error: PgError): PgError {
  const { context = '' } = error.fields;
  const mark = context.indexOf(EXTENSION_MARK);
  // The last line is about the block itself.
  const rest = context.slice(0, Math.max(context.lastIndexOf('\n', mark < 0 ? context.length : mark), 0));
  return error.with({
    context: rest === '' ? undefined : rest,
    position: undefined,
    internalPosition: undefined,
    internalQuery: undefined,
    file: undefined,
    line: undefined,
    routine: undefined,
  });
}

/** The notices of several DROP … CASCADE, joined to the one notice that a single command would raise. */
function joined(notices: readonly PgError[]): PgError | undefined {
  const [first] = notices;
  if (first === undefined || notices.length === 1) return first;
  const lines = notices.flatMap(({ message, fields: { detail } }) => detail?.split('\n') ?? [message]);
  return first.with({ message: `drop cascades to ${lines.length} other objects`, detail: lines.join('\n') });
}
