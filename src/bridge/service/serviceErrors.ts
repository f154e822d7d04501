import { PgError } from '../../wire/errors.js';

/** 55000: the schema is of another version and is being replaced, so that what is asked for now cannot be answered. */
export class Replacing extends PgError {
  constructor(
    database: string,
    /** Settled when it has been replaced, or cannot be. */
    readonly done: Promise<void>,
  ) {
    super('55000', `the schema dblink_proxy of database "${database}" is being brought up to date`, {
      hint: 'Run the statement again. The functions need ALTER EXTENSION dblink UPDATE through the proxy, or "dblink-proxy install", as well.',
    });
  }
}

export const LOCK_TIMEOUT = '55P03';

const HINT =
  'Give the proxy an account of its own, as in --primary postgres://user:password@host/; docs/bridge.md lists the privileges that it needs.';

/** Whether somebody has ended the connection (pg_terminate_backend), rather than the server has refused it. */
export const wasEnded = (error: unknown): boolean =>
  ['57P01', '08006'].includes((error as { sqlstate?: string }).sqlstate ?? '');

/** The server has no such database any more, or lets nobody in (ALLOW_CONNECTIONS false). */
const GONE: readonly unknown[] = ['3D000', '55000'];

/** Whether a connection could not be made because its database is gone. @param error of `noServiceConnection` */
export const isGone = (error: unknown): boolean =>
  GONE.includes(((error as Error).cause as { sqlstate?: string } | undefined)?.sqlstate);

/** @param cause becomes the error's `cause` */
export const noServiceConnection = (user: string, database: string, cause: unknown): PgError => {
  const error = new PgError(
    '08001',
    'the proxy has no connection of its own to the primary by which it could answer a dblink call',
    {
      detail: `User "${user}", database "${database}": ${(cause as Error).message}`,
      hint: HINT,
    },
  );
  error.cause = cause;
  return error;
};

export const foreignSchema = (owner: string, database: string): PgError =>
  new PgError('0A000', `the schema dblink_proxy of database "${database}" belongs to "${owner}"`, {
    detail:
      "It has to belong to the account by which the proxy answers dblink calls, a superuser or the database's owner.",
    hint: 'Drop it, or give it to that account with ALTER SCHEMA dblink_proxy OWNER TO and run "dblink-proxy install".',
  });

export const notForEverybody = (user: string, database: string): PgError =>
  new PgError('0A000', `the schema dblink_proxy of database "${database}" cannot be made by "${user}"`, {
    detail:
      "What every session's dblink calls run has to belong to the proxy's account, a superuser or the database's owner.",
    hint: HINT,
  });

export const cannotPrepare = (user: string, database: string, cause: unknown): PgError =>
  cause instanceof PgError && cause.sqlstate === LOCK_TIMEOUT
    ? new PgError(
        LOCK_TIMEOUT,
        `the schema dblink_proxy of database "${database}" cannot be brought up to date`,
        {
          detail:
            'Transactions that have made dblink calls by way of another version of dblink-proxy still use it.',
          hint: 'Run the statement again when they have ended, or end them; pg_locks shows which they are.',
        },
      )
    : cause instanceof PgError && cause.sqlstate !== '08006'
      ? new PgError(cause.sqlstate, `the schema dblink_proxy cannot be made in database "${database}"`, {
          detail: `User "${user}": ${cause.message}`,
          hint: HINT,
        })
      : noServiceConnection(user, database, cause);
