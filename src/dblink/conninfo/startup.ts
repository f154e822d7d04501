import { type ByteString, byteString } from './bytes.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Environment variables that libpq sends as settings of the new session. */
const SETTINGS_FROM_ENV = [
  ['PGDATESTYLE', 'datestyle'],
  ['PGTZ', 'timezone'],
  ['PGGEQO', 'geqo'],
] as const;

/**
 * The startup packet's parameters after user and database, in libpq's order (behaviour reference 13).
 * dblink itself adds none.
 */
export function startupParameters(
  options: ReadonlyMap<string, ByteString>,
  env: Environment,
): readonly (readonly [string, ByteString])[] {
  // An application_name set to '' hides the fallback, too.
  const applicationName = options.get('application_name') ?? options.get('fallback_application_name');
  const parameters: (readonly [string, ByteString | undefined])[] = [
    ['replication', options.get('replication')],
    ['options', options.get('options')],
    ['application_name', applicationName],
    ['client_encoding', clientEncoding(options.get('client_encoding'), env)],
  ];
  const given = parameters.filter((pair): pair is [string, ByteString] => Boolean(pair[1]));
  for (const [variable, setting] of SETTINGS_FROM_ENV) {
    const value = env[variable];
    if (value !== undefined && value.toLowerCase() !== 'default') given.push([setting, byteString(value)]);
  }
  return given;
}

/** `auto` stands for the encoding of this process's locale. */
function clientEncoding(value: ByteString | undefined, env: Environment): ByteString | undefined {
  return value === 'auto' ? encodingOfLocale(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG']) : value;
}

/** Codesets of common locales by PostgreSQL's names; an unknown one leaves the server's default. */
const ENCODINGS: Readonly<Record<string, string>> = {
  UTF8: 'UTF8',
  ISO88591: 'LATIN1',
  ISO88592: 'LATIN2',
  ISO88595: 'ISO_8859_5',
  ISO88597: 'ISO_8859_7',
  ISO88599: 'LATIN5',
  ISO885915: 'LATIN9',
  EUCJP: 'EUC_JP',
  EUCKR: 'EUC_KR',
  EUCTW: 'EUC_TW',
  GB18030: 'GB18030',
  KOI8R: 'KOI8R',
  KOI8U: 'KOI8U',
  CP1251: 'WIN1251',
};

function encodingOfLocale(locale: string | undefined): string | undefined {
  if (!locale || locale === 'C' || locale === 'POSIX') return 'SQL_ASCII';
  const codeset = /\.([^@]+)/.exec(locale)?.[1] ?? '';
  return ENCODINGS[codeset.toUpperCase().replace(/[^A-Z0-9]/g, '')];
}
