import type { Decoded } from './decode.js';

/**
 * The closed list of what the proxy knowingly does otherwise than the extension, with the reason for each. A case names
 * the entry it runs into; `source-location` alone applies everywhere, and `STYLE_REPORTS` on the majors that it names.
 */
export type KnownDifference = keyof typeof KNOWN_DIFFERENCES;

interface Entry {
  readonly reason: string;
  /** Makes the two sides' messages of one exchange comparable. */
  readonly reconcile: (extension: readonly Decoded[], proxy: readonly Decoded[]) => Pair;
}

type Pair = readonly [extension: readonly Decoded[], proxy: readonly Decoded[]];

/** Where the extension itself, or what only it calls, raises errors: source files, or single functions of the server. */
const EXTENSION_FILES = new Set(['dblink.c', 'libpq-be-fe-helpers.h']);
const EXTENSION_ROUTINES = new Set([
  // NOTICE 42622 for a connection name that is too long.
  'truncate_identifier',
  // 42804 for a status row that does not fit the column definition list.
  'tupledesc_match',
]);
const LOCATION = new Set(['file', 'line', 'routine']);

function isRaisedByDblink(message: Decoded): boolean {
  const field = (wanted: string): string => message.fields.find(([name]) => name === wanted)?.[1] ?? '';
  return EXTENSION_FILES.has(field('file')) || EXTENSION_ROUTINES.has(field('routine'));
}

/** The place in the source is not compared where `may` holds and the proxy leaves all of it out. */
function withoutLocation(
  extension: readonly Decoded[],
  proxy: readonly Decoded[],
  may: (message: Decoded) => boolean,
): Pair {
  const reconciled = extension.map((message, index) => {
    const leftOut = proxy[index]?.fields.every(([name]) => !LOCATION.has(name)) ?? false;
    if (!leftOut || !may(message)) return message;
    return { name: message.name, fields: message.fields.filter(([name]) => !LOCATION.has(name)) };
  });
  return [reconciled, proxy];
}

export const KNOWN_DIFFERENCES = {
  'source-location': {
    reason:
      'File, line and routine of an error that dblink.c raises name a place in a C file that the proxy does not have, ' +
      'and that moves with every minor release: the proxy leaves the three fields out. All errors of PostgreSQL itself ' +
      'are compared with these fields.',
    reconcile: (extension, proxy) => withoutLocation(extension, proxy, isRaisedByDblink),
  },
  'own-error': {
    reason:
      'An error that a server raises in its own code and the proxy has to raise itself, because the primary takes no part ' +
      'in what fails: a time limit that runs out while the remote works (the proxy cancels at once), a text of the remote ' +
      'that the client encoding lacks, a privilege on a function that the primary does not have, a call of one that would be ambiguous, a user mapping or privilege that a foreign server lacks, a value in a large result ' +
      'that the bridge converts on a connection of its own. The proxy leaves file, ' +
      'line and routine out.',
    reconcile: (extension, proxy) =>
      withoutLocation(extension, proxy, ({ name }) => name === 'ErrorResponse'),
  },
  'streamed-rows': {
    reason:
      'Rows that were streamed to the client before the remote failed have been sent, followed by the error, as ' +
      'PostgreSQL does for any query; the extension stores all rows before it returns the first.',
    reconcile: (extension, proxy) => {
      const failed = extension.findIndex((message) => message.name === 'ErrorResponse');
      if (failed < 0 || extension[failed - 1]?.name === 'DataRow') return [extension, proxy];
      const end = proxy.findIndex((message) => message.name === 'ErrorResponse');
      let start = end;
      while (start > 0 && proxy[start - 1]?.name === 'DataRow') start -= 1;
      return end < 0 ? [extension, proxy] : [extension, [...proxy.slice(0, start), ...proxy.slice(end)]];
    },
  },
} as const satisfies Readonly<Record<string, Entry>>;

/** The settings that the extension gives the remote's values while it converts rows, and then takes back. */
const STYLES: ReadonlySet<string | null> = new Set(['DateStyle', 'IntervalStyle']);

/** What differs between all conversations on old majors. */
export const STYLE_REPORTS = {
  reason:
    'A server before PostgreSQL 14 reports every change of a setting at once, also those that the extension makes of ' +
    'DateStyle and IntervalStyle while it converts rows, and takes back. The proxy makes such changes only where rows ' +
    'depend on them, and at other moments. What an exchange changes for good is compared, as later majors report it.',
  applies: (major: number): boolean => major < 14,
} as const;

/**
 * One side's messages, exchange by exchange, with the reports of the two settings put off until the server is ready, and
 * left out if they say nothing new then.
 */
export function withLateStyleReports(): (messages: readonly Decoded[]) => readonly Decoded[] {
  const known = new Map<string, string | null>();
  const reports = new Map<string, Decoded>();
  return (messages) => {
    const others = messages.filter((message) => {
      const parameter = message.fields.find(([name]) => name === 'parameter')?.[1] ?? null;
      if (message.name !== 'ParameterStatus' || parameter === null || !STYLES.has(parameter)) return true;
      reports.set(parameter, message);
      return false;
    });
    // What failed is taken back when its batch ends, which may be in a later exchange.
    if (others.at(-1)?.name !== 'ReadyForQuery') return others;
    const news = [...reports]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .filter(([parameter, report]) => {
        const value = report.fields.find(([name]) => name === 'value')?.[1] ?? null;
        const changed = known.get(parameter) !== value;
        known.set(parameter, value);
        return changed;
      });
    reports.clear();
    return [...others, ...news.map(([, report]) => report)];
  };
}

/** Applies the entry that holds everywhere, and the one the case names. */
export function reconcile(
  extension: readonly Decoded[],
  proxy: readonly Decoded[],
  difference: KnownDifference | undefined,
): Pair {
  const [left, right] =
    difference === undefined ? [extension, proxy] : KNOWN_DIFFERENCES[difference].reconcile(extension, proxy);
  return KNOWN_DIFFERENCES['source-location'].reconcile(left, right);
}
