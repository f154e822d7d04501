import type { FieldDescription } from '../../../wire/rows.js';
import type { ColumnType } from '../../calls/columns.js';

/** Settings of one server, as it reported them, that decide how it writes values. */
export interface WritingStyle {
  readonly dateStyle: string | undefined;
  readonly intervalStyle: string | undefined;
  readonly timeZone: string | undefined;
  /** Like 150018; 0 unknown. */
  readonly version: number;
  /** Only known of the primary. */
  readonly extraFloatDigits?: number;
}

/** What has to agree so that a type's text on the remote is what the primary would write after reading it. */
type Need = 'nothing' | 'dateStyle' | 'dateStyleAndTimeZone' | 'intervalStyle' | 'floats';

const TEXT = 25;
const VARCHAR = 1043;

/**
 * Built-in types whose output is the same for the same value on every server and version, given what they need. Absent
 * on purpose: bytea and money (unreported settings), reg* (local catalog), xml, name and "char" (truncation), oid-like
 * types, everything that is not built in.
 */
const NEEDS: ReadonlyMap<number, Need> = new Map<number, Need>([
  [16, 'nothing'], // bool
  [20, 'nothing'], // int8
  [21, 'nothing'], // int2
  [23, 'nothing'], // int4
  [TEXT, 'nothing'],
  [114, 'nothing'], // json
  [700, 'floats'],
  [701, 'floats'],
  [1042, 'nothing'], // bpchar
  [VARCHAR, 'nothing'],
  [1082, 'dateStyle'], // date
  [1083, 'nothing'], // time
  [1114, 'dateStyle'], // timestamp
  [1184, 'dateStyleAndTimeZone'],
  [1186, 'intervalStyle'],
  [1266, 'nothing'], // timetz
  [1560, 'nothing'], // bit
  [1562, 'nothing'], // varbit
  [1700, 'nothing'], // numeric
  [2950, 'nothing'], // uuid
  [3802, 'nothing'], // jsonb
  // Arrays of them.
  [1000, 'nothing'],
  [1016, 'nothing'],
  [1005, 'nothing'],
  [1007, 'nothing'],
  [1009, 'nothing'],
  [1015, 'nothing'],
  [1231, 'nothing'],
  [2951, 'nothing'],
  [1021, 'floats'],
  [1022, 'floats'],
  [1182, 'dateStyle'],
  [1115, 'dateStyle'],
  [1185, 'dateStyleAndTimeZone'],
  [1187, 'intervalStyle'],
]);

/** Whether a type's values are read alike under every DateStyle and IntervalStyle. */
export const ignoresStyle = (type: ColumnType): boolean => {
  const need = NEEDS.get(type.declaredOid);
  return need === 'nothing' || need === 'floats';
};

/** Floats are written in the shortest form that reads back exactly since PostgreSQL 12. */
const SHORTEST_FLOATS = 120000;

/**
 * Whether a remote's text of a column can go to the client as it is: the primary's input and output functions would
 * only write it again.
 */
export function streams(
  declared: ColumnType,
  remote: FieldDescription,
  local: WritingStyle,
  far: WritingStyle,
): boolean {
  if (declared.declaredOid !== declared.oid) return false;
  // The input function of an unlimited string type changes nothing, whatever wrote the text.
  if (declared.oid === TEXT || (declared.oid === VARCHAR && declared.typmod === -1)) return true;
  if (declared.oid !== remote.typeOid || declared.typmod !== remote.typmod) return false;
  switch (NEEDS.get(declared.oid)) {
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
    default:
      return false;
  }
}
