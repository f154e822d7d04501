import type { PgError } from '../wire/errors.js';
import { MessageReader } from '../wire/reader.js';
import type { OwnQuery } from './ownQuery.js';
import type { PrimaryLink } from './primaryLink.js';
import { PrimaryRaised } from './raised.js';

/** Bytes of a column in a RowDescription behind the table's OID and the column's number: type, size, modifier, format. */
const REST_BYTES = 4 + 2 + 4 + 2;

interface Origin {
  readonly name: string;
  /** Where in the message the table's OID is, with the column's number behind it. */
  readonly at: number;
  readonly table: number;
  readonly column: number;
}

function originsIn(description: Buffer): readonly Origin[] {
  const reader = new MessageReader(description);
  return Array.from({ length: reader.uint16() }, () => {
    const name = reader.cstring('latin1');
    const at = reader.offset;
    const origin = { name, at, table: reader.uint32(), column: reader.uint16() };
    reader.bytes(REST_BYTES);
    return origin;
  });
}

/**
 * Which columns of which tables the columns of a client's statement are. A statement that reads something else in a table's place is
 * described with them.
 */
export class ColumnOrigins {
  private constructor(private readonly origins: readonly Origin[]) {}

  /**
   * Has the primary describe a statement.
   * @param end see PrimaryLink.run
   * @returns undefined when it returns no rows, or has an error of its own, which is raised again where it is prepared
   * @throws PrimaryRaised with `flush` for any error; with `sync` only for a cancel or time limit (57014)
   */
  static async of(
    primary: PrimaryLink,
    statement: Pick<OwnQuery, 'sql' | 'types'>,
    end: 'flush' | 'sync',
    place: (error: PgError) => PgError,
  ): Promise<ColumnOrigins | undefined> {
    const { description, error } = await primary.run(statement, end, 'description');
    if (error !== undefined && (end === 'flush' || error.sqlstate === '57014'))
      throw new PrimaryRaised(place(error));
    return description && new ColumnOrigins(originsIn(description));
  }

  /** A RowDescription of the statement that took the other one's place, with the origins. @returns a copy */
  shownIn(description: Buffer): Buffer {
    const copy = Buffer.from(description);
    const { origins } = this;
    const columns = originsIn(copy);
    if (columns.length !== origins.length) return copy;
    for (const [i, { name, at, table }] of columns.entries()) {
      const origin = origins[i]!;
      if (table !== 0 || name !== origin.name) continue;
      copy.writeUInt32BE(origin.table, at);
      copy.writeUInt16BE(origin.column, at + 4);
    }
    return copy;
  }
}
