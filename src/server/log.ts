import { destination, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from '../config/index.js';

export type { Logger };

/** Names of fields whose values are never logged. */
const SECRETS = [
  'password',
  'passwd',
  'PGPASSWORD',
  'sslpassword',
  'passphrase',
  'secret',
  'conninfo',
  'connectionString',
];

/** pino's wildcard stands for one level. A logged object is not nested more deeply than this. */
const REDACTED = ['', '*.', '*.*.', '*.*.*.'].flatMap((prefix) => SECRETS.map((name) => prefix + name));

/** How much waits for a slow reader of standard error at most. Further lines are dropped rather than kept in memory. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024;

/**
 * The program's log: JSON lines on standard error, or readable lines if that is a terminal or `pretty` says so.
 * Fields that are named like a password are replaced by `[redacted]`.
 */
export function createLogger(options: {
  readonly level: LogLevel;
  readonly pretty: 'auto' | 'true' | 'false';
}): Logger {
  const readable = options.pretty === 'true' || (options.pretty === 'auto' && process.stderr.isTTY === true);
  // Readable lines are for a person at a terminal and written at once, so that they do not mix with other output.
  // JSON lines are written without waiting: a stuck reader of the log must not stop the proxy.
  const stream = readable
    ? pretty({
        destination: 2,
        sync: true,
        colorize: process.stderr.isTTY === true,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid',
      })
    : destination({ fd: 2, sync: false, maxLength: MAX_PENDING_BYTES });
  return pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    stream,
  );
}
