import { isTemporary } from '../../primary/functions/foundFunctions.js';
import { EQ, GE, NE } from '../../primary/operators.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import { NeedsBridge } from '../failures.js';

/** OIDs of objects that came with the server are smaller. */
const FIRST_OWN = 16_384;

/**
 * Finds a function that is not what the analysis took for granted. It assumed that the functions in a statement are ordinary ones
 * that return one value. It also assumed that those around a dblink call are not SQL functions, since inlining such a function
 * could drop the call. Where stored code can call dblink ($4), a user's own function may do that, and what it does comes before or
 * after the statement's own calls.
 */
const UNUSUAL = `SELECT p.proname FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
  JOIN ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),
                  pg_catalog.unnest($3::pg_catalog.bool[])) AS a(name, schema, surrounds)
    ON p.proname ${EQ} a.name::pg_catalog.name AND (a.schema ${EQ} '' OR n.nspname ${EQ} a.schema::pg_catalog.name)
 WHERE p.proretset OR p.prokind ${NE} 'f' OR (a.surrounds AND l.lanname ${EQ} 'sql')
    OR ($4::pg_catalog.bool AND p.oid ${GE} ${FIRST_OWN}::pg_catalog.oid AND p.provolatile ${NE} 'i' AND l.lanname ${NE} ALL ('{c,internal}'))
 LIMIT 1`;

/**
 * Checks on the primary what the analysis took for granted about functions in the statement.
 * @throws NeedsBridge when that does not hold for one of them; PrimaryRaised when the primary cannot tell
 */
export async function checkAssumptions(context: SessionContext, statement: Statement): Promise<void> {
  const { assumptions } = statement;
  if (assumptions.length === 0) return;
  const isBridged = context.probe.lastKnown?.bridged.some((named) => !isTemporary(named)) === true;
  const list = (items: readonly string[]): Buffer =>
    Buffer.from(
      `{${items.map((item) => `"${item.replace(/["\\]/g, (c) => `\\${c}`)}"`).join(',')}}`,
      'latin1',
    );
  const { error, rows } = await context.primary.run(
    {
      sql: UNUSUAL,
      values: [
        list(assumptions.map(({ name }) => name)),
        list(assumptions.map(({ schema }) => schema ?? '')),
        list(assumptions.map(({ surrounds }) => String(surrounds))),
        Buffer.from(String(isBridged)),
      ],
    },
    'flush',
  );
  if (error !== undefined) throw new PrimaryRaised(error);
  const unusual = rows[0]?.[0]?.toString('latin1');
  if (unusual !== undefined) throw new NeedsBridge(`the function ${unusual}() beside a dblink call`);
}
