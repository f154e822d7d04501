import type { ColumnType } from './columns.js';

/** In which form a rewritten statement takes the rows of one of its sources, and what is known of their columns. */
export interface SourceShape {
  /** The names of the columns in the JSON that carries the rows. */
  readonly keys: readonly string[];
  /** For each column whether its values are given as the text of an array with one element (json and jsonb). */
  readonly asArray: readonly boolean[];
  /** The columns' types. Undefined when the primary has not told them. */
  readonly types: readonly ColumnType[] | undefined;
}
