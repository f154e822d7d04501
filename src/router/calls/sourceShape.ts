import type { ColumnType } from './columns.js';

/** What a rewritten statement wants of one of its sources, with what is known of its columns. */
export interface SourceShape {
  /** The names of the columns in the JSON that carries the rows. */
  readonly keys: readonly string[];
  /** Columns whose values go as the text of an array with one element (json and jsonb). */
  readonly asArray: readonly boolean[];
  /** Undefined when the primary has not told them. */
  readonly types: readonly ColumnType[] | undefined;
}
