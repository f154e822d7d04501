import type { FieldDescription } from '../../../wire/rows.js';
import type { ColumnType } from '../../calls/columns.js';

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

/** What has to agree between remote and primary, so that the primary would write a type's values as the remote wrote them. */
type Need = 'nothing' | 'dateStyle' | 'dateStyleAndTimeZone' | 'intervalStyle' | 'floats';

const TEXT = 25;
const VARCHAR = 1043;

/**
 * Built-in types whose output is the same for the same value on every server and version, if what they need agrees. Left out on
 * purpose are bytea and money (they depend on settings that are not reported), reg* (the local catalog), xml, name and "char"
 * (truncation), types like oid, and everything that is not built in.
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

/** Since PostgreSQL 12, floats are written in the shortest form that reads back exactly. */
const SHORTEST_FLOATS = 120000;

/**
 * Whether a remote's text of a column can go to the client as it is. It can when the primary would read the text and write the
 * same again.
 * @param declared in the column definition list @param remote as the remote describes the column
 * @param local how the primary writes @param far how the remote writes
 */
export function streams(
  declared: ColumnType,
  remote: FieldDescription,
  local: WritingStyle,
  far: WritingStyle,
): boolean {
  if (declared.declaredOid !== declared.oid) return false;
  // The input function of text, or of varchar without a length, changes nothing (docs/decisions/004-unlimited-text-streams.md).
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
