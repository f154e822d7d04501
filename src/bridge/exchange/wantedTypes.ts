import type { RemoteStyle } from '../../dblink/remote/results.js';
import { WANTED_SETTINGS } from '../installed/answerParts.js';

/** The types that the caller of a function wants for many rows, and how their values are to be read. */
interface WantedTypes {
  /** For each column the name of its type. null: its values are kept as text. */
  readonly types: readonly (string | null)[];
  readonly timeZone: string;
  readonly dateStyle: string;
  readonly intervalStyle: string;
}

/**
 * Reads the arguments of a request for types: one for each column, then the settings (WANTED_SETTINGS).
 * @param remote the styles in which the remote has written, where it has said so; they come before the caller's
 */
export function readWantedTypes(args: readonly (Buffer | null)[], remote: RemoteStyle): WantedTypes {
  const values = args.map((value) => value?.toString('latin1') ?? null);
  const columns = values.length - WANTED_SETTINGS.length;
  const setting = (name: (typeof WANTED_SETTINGS)[number]): string | undefined =>
    values[columns + WANTED_SETTINGS.indexOf(name)] ?? undefined;
  return {
    types: values.slice(0, columns),
    timeZone: setting('timeZone') ?? 'UTC',
    dateStyle: remote.dateStyle ?? setting('dateStyle') ?? 'ISO',
    intervalStyle: remote.intervalStyle ?? setting('intervalStyle') ?? 'postgres',
  };
}
