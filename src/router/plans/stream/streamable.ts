import type { ValueCheck } from '../../../dblink/remote/valueCheck.js';
import { PgError } from '../../../wire/errors.js';
import type { FieldDescription } from '../../../wire/rows.js';
import type { ColumnType } from '../../calls/columns.js';
import { arrayOf } from './values/arrays.js';
import { date, time, timestamp } from './values/dates.js';
import { interval } from './values/intervals.js';
import { json, jsonb } from './values/json.js';
import { float4, float8, integer, numeric } from './values/numbers.js';
import { anyText, bits, bool, limitedText, uuid } from './values/texts.js';

/** What decides how a server writes values: its settings, as it reported them, and its version. */
export interface WritingStyle {
  readonly dateStyle: string | undefined;
  readonly intervalStyle: string | undefined;
  readonly timeZone: string | undefined;
  /** Like 150018; 0 when it is not known. */
  readonly version: number;
  /** Known of the primary only. */
  readonly extraFloatDigits?: number;
}

/** A remote's encodings, as it has reported them: that of its text, and that of its database. */
interface Encodings {
  readonly encoding: string;
  readonly serverEncoding: string | undefined;
}

/** What has to agree between remote and primary, so that the primary would write a type's values as the remote wrote them. */
type Need = 'nothing' | 'dateStyle' | 'dateStyleAndTimeZone' | 'intervalStyle' | 'floats';

/** What a value's check depends on besides its type. */
interface CheckStyle {
  readonly dateStyle: string;
  readonly intervalStyle: string;
  /** Of the server that the values are for. */
  readonly version: number;
  /** Of the text. */
  readonly encoding: string;
  /** Whether the remote keeps its values in that encoding, too. */
  readonly kept: boolean;
}

/** A type whose values may be streamed. */
interface StreamedType {
  /** As PostgreSQL calls it in errors. */
  readonly name: string;
  readonly need: Need;
  /** What its values are, for a type modifier. undefined where that is not known. */
  readonly check: (typmod: number, style: CheckStyle) => ValueCheck | undefined;
}

const TEXT = 25;
const VARCHAR = 1043;

const isIso = ({ dateStyle }: CheckStyle): boolean => dateStyle.startsWith('ISO');

/** A type and, where there is one, the type of its arrays. @param oids of both */
const type = (
  oids: readonly [number, number?],
  name: string,
  need: Need,
  check: StreamedType['check'],
): readonly (readonly [number, StreamedType])[] => {
  const [oid, arrayOid] = oids;
  const of: StreamedType = { name, need, check };
  if (arrayOid === undefined) return [[oid, of]];
  return [
    [oid, of],
    [arrayOid, { name: `${name}[]`, need, check: ofElements(check) }],
  ];
};

/** A check of arrays, from that of their elements. */
const ofElements =
  (check: StreamedType['check']): StreamedType['check'] =>
  (typmod, style) => {
    const element = check(typmod, style);
    return element && arrayOf(element);
  };

/**
 * Built-in types whose output is the same for the same value on every server and version, if what they need agrees. Left out on
 * purpose are bytea and money (they depend on settings that are not reported), reg* (the local catalog), xml, name and "char"
 * (truncation), types like oid, and everything that is not built in.
 */
const TYPES: ReadonlyMap<number, StreamedType> = new Map([
  ...type([16, 1000], 'boolean', 'nothing', () => bool),
  ...type([20, 1016], 'bigint', 'nothing', () => integer('9223372036854775807')),
  ...type([21, 1005], 'smallint', 'nothing', () => integer('32767')),
  ...type([23, 1007], 'integer', 'nothing', () => integer('2147483647')),
  ...type([TEXT, 1009], 'text', 'nothing', () => anyText),
  ...type([114], 'json', 'nothing', json),
  ...type([700, 1021], 'real', 'floats', () => float4),
  ...type([701, 1022], 'double precision', 'floats', () => float8),
  // In another encoding, padded values have another number of characters.
  ...type([1042], 'character', 'nothing', (typmod, { encoding, kept }) =>
    kept || typmod < 0 ? limitedText(typmod, true, encoding) : undefined,
  ),
  ...type([VARCHAR], 'character varying', 'nothing', (typmod, { encoding }) =>
    limitedText(typmod, false, encoding),
  ),
  ...type([1015], 'character varying[]', 'nothing', (typmod) => (typmod < 0 ? arrayOf(anyText) : undefined)),
  ...type([1082, 1182], 'date', 'dateStyle', (_, style) => (isIso(style) ? date : undefined)),
  ...type([1083], 'time', 'nothing', (typmod) => time(typmod, false)),
  ...type([1114, 1115], 'timestamp', 'dateStyle', (typmod, style) =>
    isIso(style) ? timestamp(typmod, false) : undefined,
  ),
  ...type([1184, 1185], 'timestamp with time zone', 'dateStyleAndTimeZone', (typmod, style) =>
    isIso(style) ? timestamp(typmod, true) : undefined,
  ),
  ...type([1186, 1187], 'interval', 'intervalStyle', (typmod, { intervalStyle, version }) =>
    intervalStyle === 'postgres' && typmod < 0 ? interval(version) : undefined,
  ),
  ...type([1266], 'time with time zone', 'nothing', (typmod) => time(typmod, true)),
  ...type([1560], 'bit', 'nothing', (typmod) => bits(typmod, false)),
  ...type([1562], 'bit varying', 'nothing', (typmod) => bits(typmod, true)),
  ...type([1700, 1231], 'numeric', 'nothing', (typmod, { version }) => numeric(typmod, version)),
  ...type([2950, 2951], 'uuid', 'nothing', () => uuid),
  ...type([3802], 'jsonb', 'nothing', jsonb),
]);

/** Whether a type's values are read alike under every DateStyle and IntervalStyle. */
export const ignoresStyle = ({ declaredOid }: ColumnType): boolean => {
  const need = TYPES.get(declaredOid)?.need;
  return need === 'nothing' || need === 'floats';
};

/** Since PostgreSQL 12, floats are written in the shortest form that reads back exactly. */
const SHORTEST_FLOATS = 120000;

function agree(need: Need, local: WritingStyle, far: WritingStyle): boolean {
  switch (need) {
    case 'nothing':
      return true;
    case 'dateStyle':
      return local.dateStyle === far.dateStyle && far.dateStyle !== undefined;
    case 'dateStyleAndTimeZone':
      return (
        local.dateStyle === far.dateStyle && local.timeZone === far.timeZone && far.timeZone !== undefined
      );
    case 'intervalStyle':
      return local.intervalStyle === far.intervalStyle && far.intervalStyle !== undefined;
    case 'floats':
      return (
        far.version >= SHORTEST_FLOATS &&
        local.version >= SHORTEST_FLOATS &&
        (local.extraFloatDigits ?? 0) >= 1
      );
  }
}

/**
 * Whether a remote's text of a column can go to the client as it is. It can when the primary would read the text and write the
 * same again. What the remote says about its types and settings is only believed as far as each value bears it out.
 * @param declared in the column definition list @param remote as the remote describes the column
 * @param local how the primary writes @param far how the remote writes
 * @returns what each value has to pass; undefined if the text cannot
 */
export function streamCheck(
  declared: ColumnType,
  remote: FieldDescription,
  local: WritingStyle,
  far: WritingStyle & Encodings,
): ValueCheck | undefined {
  if (declared.declaredOid !== declared.oid) return undefined;
  // The input function of text, or of varchar without a length, changes nothing (docs/decisions/004-unlimited-text-streams.md).
  if (declared.oid === TEXT || (declared.oid === VARCHAR && declared.typmod === -1)) return anyText;
  if (declared.oid !== remote.typeOid || declared.typmod !== remote.typmod) return undefined;
  const streamed = TYPES.get(declared.oid);
  if (streamed === undefined || !agree(streamed.need, local, far)) return undefined;
  const { dateStyle = '', intervalStyle = '', version } = local;
  const { encoding, serverEncoding } = far;
  return streamed.check(declared.typmod, {
    dateStyle,
    intervalStyle,
    version,
    encoding,
    kept: serverEncoding === encoding,
  });
}

/** How much of a value an error shows, in bytes. */
const SHOWN_BYTES = 1000;

/** The value up to its first zero byte, where the server's functions end as well, cut where it is long. */
function shown(value: Buffer): string {
  const zero = value.indexOf(0);
  let end = Math.min(zero < 0 ? value.length : zero, SHOWN_BYTES);
  // Not in the middle of a character.
  for (let i = 0; i < 3 && end === SHOWN_BYTES - i && (value[end]! & 0xc0) === 0x80; i++) end--;
  return value.toString('latin1', 0, end);
}

/** The error for a value that is none of its column's type, after rows have been sent. It is the input function's, or like it. */
export function invalidValue({ oid }: ColumnType, value: Buffer): PgError {
  const { name = '' } = TYPES.get(oid) ?? {};
  const what = name.endsWith('[]')
    ? 'malformed array literal'
    : `invalid input syntax for type ${name === 'jsonb' ? 'json' : name}`;
  const isTime = /^(?:date|time|timestamp|interval)\b/.test(name) && !name.endsWith('[]');
  return new PgError(isTime ? '22007' : '22P02', `${what}: "${shown(value)}"`, {
    detail: 'The remote server has announced the type of the column, and then sent a value that is none.',
  });
}
