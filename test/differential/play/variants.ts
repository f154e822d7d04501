import type { Case, Context, Session, SessionName, Step, Transport, Variant } from './types.js';

/**
 * What every client session of the matrix looks like. `styles` differs from the remote in everything that decides how
 * dates, intervals and times are written; the remote keeps ISO, postgres intervals and UTC.
 */
export const SESSIONS: Readonly<Record<SessionName, Session>> = {
  utf8: { encoding: 'UTF8', database: 'app', parameters: { client_encoding: 'UTF8' } },
  latin1: { encoding: 'LATIN1', database: 'app', parameters: { client_encoding: 'LATIN1' } },
  euc_jp: { encoding: 'EUC_JP', database: 'app', parameters: { client_encoding: 'EUC_JP' } },
  styles: {
    encoding: 'UTF8',
    database: 'app',
    parameters: {
      client_encoding: 'UTF8',
      datestyle: 'SQL, DMY',
      timezone: 'America/New_York',
      options: '-c intervalstyle=sql_standard -c bytea_output=escape -c extra_float_digits=0',
    },
  },
  'latin1-db': { encoding: 'LATIN1', database: 'app_latin1', parameters: {} },
  // No byte is converted nor checked, whichever encoding it is meant in.
  'ascii-db': { encoding: 'UTF8', database: 'app_ascii', parameters: {} },
  bare: { encoding: 'UTF8', database: 'app_bare', parameters: {} },
};

export const TRANSPORTS: readonly Transport[] = [
  'simple',
  'multi',
  'extended',
  'binary',
  'describe-first',
  'row-limit',
  'pipeline',
  'pipeline-syncs',
];
const CONTEXTS: readonly Context[] = ['autocommit', 'block', 'repeatable-read', 'savepoint'];
const SESSION_NAMES = Object.keys(SESSIONS) as SessionName[];

function variant(
  transport: Transport,
  context: Context = 'autocommit',
  session: SessionName = 'utf8',
): Variant {
  return { transport, context, session };
}

/**
 * In these every case runs, always. Together they have every context, the main transports and all sessions but `ascii-db`
 * and `bare`; the combinations beyond are for the samples and the full run.
 */
export const CORE_VARIANTS: readonly Variant[] = [
  variant('simple'),
  variant('multi', 'autocommit', 'styles'),
  variant('pipeline', 'autocommit', 'euc_jp'),
  variant('binary', 'repeatable-read'),
  variant('extended', 'block', 'latin1'),
  variant('simple', 'savepoint', 'latin1-db'),
];

/** The whole cross product; {@link CORE_VARIANTS} is part of it. */
export const ALL_VARIANTS: readonly Variant[] = SESSION_NAMES.flatMap((session) =>
  CONTEXTS.flatMap((context) => TRANSPORTS.map((transport) => variant(transport, context, session))),
);

/** Whether the case means something to servers of this major. */
export function suits({ minMajor = 0, maxMajor = Number.POSITIVE_INFINITY }: Case, major: number): boolean {
  return major >= minMajor && major <= maxMajor;
}

/** Whether the case limits itself to other variants. */
export function applies(testCase: Case, { transport, context, session }: Variant, major: number): boolean {
  if (testCase.bridged && session === 'bare') return false;
  return (
    (testCase.transports?.includes(transport) ?? true) &&
    (testCase.contexts?.includes(context) ?? true) &&
    (testCase.sessions?.includes(session) ?? true) &&
    suits(testCase, major)
  );
}

/** A step of the variant's own, or the case's. */
export type PlannedStep =
  | { readonly kind: 'step'; readonly step: Step; readonly index: number }
  | { readonly kind: 'own'; readonly step: Step }
  /** Only when the transaction has failed, and only where steps are sent one by one. */
  | { readonly kind: 'recover'; readonly sql: string };

/**
 * Wraps the steps of a case in the context's own statements.
 *
 * Under REPEATABLE READ a row is committed elsewhere after the first step: whether the count at the end sees it tells
 * whether that step took the snapshot. After a savepoint, a row inserted before it tells that it, and nothing else,
 * was rolled back to.
 */
export function inContext(steps: readonly Step[], context: Context): readonly PlannedStep[] {
  const own = (...items: readonly Step[]): PlannedStep[] => items.map((step) => ({ kind: 'own', step }));
  const planned = steps.map((step, index): PlannedStep => ({ kind: 'step', step, index }));
  switch (context) {
    case 'autocommit':
      return planned;
    case 'block':
      return [...own('BEGIN'), ...planned, ...own('COMMIT')];
    case 'repeatable-read':
      return [
        ...own('BEGIN ISOLATION LEVEL REPEATABLE READ'),
        ...planned.slice(0, 1),
        ...own({ on: 'local', run: 'INSERT INTO snapshot_probe VALUES (1)' }),
        ...planned.slice(1),
        ...own('SELECT count(*) FROM snapshot_probe', 'COMMIT'),
      ];
    case 'savepoint': {
      const recover: PlannedStep = { kind: 'recover', sql: 'ROLLBACK TO SAVEPOINT before_case' };
      return [
        ...own('BEGIN', 'INSERT INTO savepoint_probe VALUES (1)', 'SAVEPOINT before_case'),
        ...planned.flatMap((step) => [step, recover]),
        ...own('ROLLBACK TO SAVEPOINT before_case', 'SELECT count(*) FROM savepoint_probe', 'COMMIT'),
      ];
    }
  }
}
