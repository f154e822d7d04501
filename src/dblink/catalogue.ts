/**
 * The functions of the dblink extension, version 1.2, and what pg_proc says about them (behaviour reference, section 1).
 * This is the only place where their signatures are written. Every function is LANGUAGE C, VOLATILE and not leakproof.
 */

/** The types that arguments are declared with. */
export type DeclaredType = 'text' | 'boolean' | 'integer' | 'int2vector' | 'text[]' | 'oid';

const TYPE_OF = {
  connection: 'text',
  conninfo: 'text',
  sql: 'text',
  failOnError: 'boolean',
  cursor: 'text',
  howMany: 'integer',
  relation: 'text',
  keyAttributes: 'int2vector',
  keyCount: 'integer',
  sourceKeys: 'text[]',
  targetKeys: 'text[]',
  options: 'text[]',
  catalog: 'oid',
} as const satisfies Readonly<Record<string, DeclaredType>>;

/** What an argument is for. Its declared type follows from it. */
export type ArgumentRole = keyof typeof TYPE_OF;

/** A column of rows, where the extension itself declares the columns. */
export interface Column {
  readonly name: string;
  readonly type: 'text' | 'integer';
}

/** One signature of a function. */
export interface Overload {
  readonly name: DblinkFunction;
  /** The IN arguments. Only a few of them have a name, by which a call can pass them in named notation. */
  readonly args: readonly {
    readonly type: DeclaredType;
    readonly role: ArgumentRole;
    readonly name?: string;
  }[];
  readonly returns: 'text' | 'integer' | 'text[]' | 'void' | 'setof record' | 'setof dblink_pkey_results';
  /** The OUT arguments. If a `setof record` has none, its caller has to give a column definition list. */
  readonly columns?: readonly Column[];
  readonly strict: boolean;
  readonly parallel: 'restricted' | 'safe';
  readonly securityDefiner: boolean;
  /** Everybody may execute it; otherwise the privilege is revoked from PUBLIC when the extension is installed. */
  readonly public: boolean;
  /**
   * Who runs it.
   * - `everywhere`: the proxy, in every plan.
   * - `bridge`: the proxy, but only when a function of the bridge asks for it.
   * - `primary`: the function of the bridge by itself, because the call concerns the primary alone.
   */
  readonly runs: 'everywhere' | 'bridge' | 'primary';
  /** Reads the session's state and changes nothing, here or on a remote. */
  readonly readsOnly: boolean;
}

/** The planner's COST of every function. */
export const COST = 1;

/** The planner's ROWS of every function that returns a set. */
export const SET_ROWS = 1000;

/** The attributes of the composite type dblink_pkey_results. */
export const PKEY_RESULTS: readonly Column[] = [
  { name: 'position', type: 'integer' },
  { name: 'colname', type: 'text' },
];

/** What the overloads of one function have in common, and the roles of the arguments of each overload. */
interface FunctionEntry
  extends Pick<Overload, 'returns' | 'columns'>,
    Partial<Pick<Overload, 'strict' | 'parallel' | 'securityDefiner' | 'public' | 'runs' | 'readsOnly'>> {
  readonly overloads: readonly (readonly ArgumentRole[])[];
  readonly argumentNames?: Readonly<Partial<Record<ArgumentRole, string>>>;
}

/** What holds for a function that does not say otherwise. */
const USUAL = {
  strict: true,
  parallel: 'restricted',
  securityDefiner: false,
  public: true,
  runs: 'everywhere',
  readsOnly: false,
} as const satisfies Partial<Overload>;

const CONNECTING = [['conninfo'], ['connection', 'conninfo']] as const;
const EXECUTING = [
  ['connection', 'sql'],
  ['connection', 'sql', 'failOnError'],
  ['sql'],
  ['sql', 'failOnError'],
] as const;
const BUILDING = ['relation', 'keyAttributes', 'keyCount', 'sourceKeys', 'targetKeys'] as const;

/** In the order in which the extension makes them: what depends on several is told in that order. */
const FUNCTIONS = {
  dblink_connect: { overloads: CONNECTING, returns: 'text' },
  // It connects without checking the credentials of a non-superuser. Therefore not everybody may execute it.
  dblink_connect_u: {
    overloads: CONNECTING,
    returns: 'text',
    securityDefiner: true,
    public: false,
  },
  dblink_disconnect: { overloads: [[], ['connection']], returns: 'text' },
  dblink_open: {
    overloads: [
      ['cursor', 'sql'],
      ['cursor', 'sql', 'failOnError'],
      ['connection', 'cursor', 'sql'],
      ['connection', 'cursor', 'sql', 'failOnError'],
    ],
    returns: 'text',
  },
  dblink_fetch: {
    overloads: [
      ['cursor', 'howMany'],
      ['cursor', 'howMany', 'failOnError'],
      ['connection', 'cursor', 'howMany'],
      ['connection', 'cursor', 'howMany', 'failOnError'],
    ],
    returns: 'setof record',
  },
  dblink_close: {
    overloads: [
      ['cursor'],
      ['cursor', 'failOnError'],
      ['connection', 'cursor'],
      ['connection', 'cursor', 'failOnError'],
    ],
    returns: 'text',
  },
  dblink: { overloads: EXECUTING, returns: 'setof record' },
  dblink_exec: { overloads: EXECUTING, returns: 'text' },
  dblink_get_pkey: { runs: 'primary', overloads: [['relation']], returns: 'setof dblink_pkey_results' },
  dblink_build_sql_insert: { runs: 'primary', overloads: [BUILDING], returns: 'text' },
  dblink_build_sql_delete: {
    runs: 'primary',
    overloads: [['relation', 'keyAttributes', 'keyCount', 'targetKeys']],
    returns: 'text',
  },
  dblink_build_sql_update: { runs: 'primary', overloads: [BUILDING], returns: 'text' },
  // In a statement that the client sent, the proxy knows the query. Elsewhere only the primary knows it.
  dblink_current_query: {
    overloads: [[]],
    returns: 'text',
    strict: false,
    readsOnly: true,
  },
  dblink_send_query: { overloads: [['connection', 'sql']], returns: 'integer' },
  // It takes in what the remote has sent, and dblink_error_message then shows that. So it does not only read.
  dblink_is_busy: { overloads: [['connection']], returns: 'integer' },
  dblink_get_result: { overloads: [['connection'], ['connection', 'failOnError']], returns: 'setof record' },
  dblink_get_connections: {
    overloads: [[]],
    returns: 'text[]',
    strict: false,
    readsOnly: true,
  },
  dblink_cancel_query: { overloads: [['connection']], returns: 'text' },
  dblink_error_message: { overloads: [['connection']], returns: 'text', readsOnly: true },
  dblink_get_notify: {
    runs: 'bridge',
    overloads: [[], ['connection']],
    argumentNames: { connection: 'conname' },
    returns: 'setof record',
    columns: [
      { name: 'notify_name', type: 'text' },
      { name: 'be_pid', type: 'integer' },
      { name: 'extra', type: 'text' },
    ],
  },
  dblink_fdw_validator: {
    runs: 'primary',
    overloads: [['options', 'catalog']],
    argumentNames: { options: 'options', catalog: 'catalog' },
    returns: 'void',
    parallel: 'safe',
  },
} as const satisfies Readonly<Record<string, FunctionEntry>>;

/** The name of a dblink function. */
export type DblinkFunction = keyof typeof FUNCTIONS;

/** Every overload of every function, those of one function next to each other. */
export const CATALOGUE: readonly Overload[] = (
  Object.entries(FUNCTIONS) as [DblinkFunction, FunctionEntry][]
).flatMap(([name, { overloads, argumentNames, ...facts }]) =>
  overloads.map((roles): Overload => {
    const args = roles.map((role) => {
      const argument = argumentNames?.[role];
      return { type: TYPE_OF[role], role, ...(argument === undefined ? {} : { name: argument }) };
    });
    return { ...USUAL, ...facts, name, args };
  }),
);
