import type { Decoded } from './decode.js';

/**
 * The closed list of what the proxy knowingly does otherwise than the extension, with the reason for each. A case names
 * the entry it runs into; `source-location` alone applies everywhere.
 */
export type KnownDifference = keyof typeof KNOWN_DIFFERENCES;

interface Entry {
  readonly reason: string;
  /** Makes the two sides' messages of one exchange comparable. */
  readonly reconcile: (extension: readonly Decoded[], proxy: readonly Decoded[]) => Pair;
}

type Pair = readonly [extension: readonly Decoded[], proxy: readonly Decoded[]];

/** Source files of the extension and of the server's glue for libpq, whose errors the proxy raises itself. */
const EXTENSION_FILES = new Set(['dblink.c', 'libpq-be-fe-helpers.h']);
const LOCATION = new Set(['file', 'line', 'routine']);

export const KNOWN_DIFFERENCES = {
  'source-location': {
    reason:
      'File, line and routine of an error raised inside dblink.c name a place in a C file that the proxy does not have, ' +
      'and that moves with every minor release. All errors of PostgreSQL itself are compared with these fields.',
    reconcile: (extension, proxy) => {
      const ours = (message: Decoded | undefined): boolean =>
        message?.fields.some(([name, value]) => name === 'file' && EXTENSION_FILES.has(value ?? '')) ?? false;
      const bare = (message: Decoded): Decoded => ({
        name: message.name,
        fields: message.fields.filter(([name]) => !LOCATION.has(name)),
      });
      return [
        extension.map((message) => (ours(message) ? bare(message) : message)),
        proxy.map((message, index) => (ours(extension[index]) ? bare(message) : message)),
      ];
    },
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
