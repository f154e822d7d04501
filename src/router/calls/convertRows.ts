import type { RemoteStyle } from '../../dblink/remote/results.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { DblinkCall } from '../../sql/index.js';
import { isBuiltIn } from './columns.js';
import type { SourceShape } from './sourceShape.js';

const BYTEA_OID = 17;

const SET_STYLE = `SELECT pg_catalog.set_config('datestyle', $1, true), pg_catalog.set_config('intervalstyle', $2, true)`;

/** Rows that are converted, but not returned. */
interface Unreturned {
  /** The rows of each result, as JSON that a CollectSink has made. */
  readonly rows: readonly Buffer[];
  /** The remote's style and the session's, where they differ. */
  readonly styles: { readonly remote: RemoteStyle; readonly local: RemoteStyle } | undefined;
}

/**
 * Has the primary convert rows that are not returned: the results of a query string's earlier statements, and rows before an
 * error. An error in them comes before whatever the remote said later (behaviour reference, section 4.4).
 * @throws PrimaryRaised the error of a conversion
 */
export async function convertRows(
  context: SessionContext,
  call: DblinkCall,
  { keys, asArray, types }: SourceShape,
  { rows, styles }: Unreturned,
): Promise<void> {
  if (rows.length === 0 || call.use.kind !== 'source' || keys.length === 0) return;
  const definitions = call.use.columns.map(
    (column, c) => `"${keys[c]}" ${column.type}${asArray[c] ? '[]' : ''}`,
  );
  const sql = Buffer.from(
    `SELECT pg_catalog.count(t) FROM pg_catalog.json_to_recordset(pg_catalog.convert_from($1, pg_catalog.getdatabaseencoding())::pg_catalog.json) AS t(${definitions.join(', ')})`,
    'latin1',
  );
  const run = async (own: Parameters<typeof context.primary.run>[0]): Promise<void> => {
    const { error } = await context.primary.run(own, 'flush');
    if (error !== undefined) throw new PrimaryRaised(error.with({ position: undefined }));
  };
  const adopt = (style: RemoteStyle, otherwise: RemoteStyle): Promise<void> => {
    const values = [
      style.dateStyle ?? otherwise.dateStyle ?? '',
      style.intervalStyle ?? otherwise.intervalStyle ?? '',
    ];
    return run({ sql: SET_STYLE, values: values.map((value) => Buffer.from(value, 'latin1')) });
  };
  if (styles !== undefined) await adopt(styles.remote, styles.local);
  const changes = types?.every(isBuiltIn) !== true;
  for (const values of rows) await run({ sql, types: [BYTEA_OID], formats: [1], values: [values], changes });
  if (styles !== undefined) await adopt(styles.local, styles.remote);
}
