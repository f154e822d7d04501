import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CATALOGUE, COST, type Overload, PKEY_RESULTS, SET_ROWS } from '../../../src/dblink/catalogue.js';
import { createDatabase, execute, extensionServer } from '../../support/postgres.js';

/** What pg_proc and the tables around it say of one function, types by name. */
interface Row {
  readonly name: string;
  readonly argumentTypes: readonly string[];
  readonly allTypes: readonly string[] | null;
  readonly modes: readonly string[] | null;
  readonly names: readonly string[] | null;
  readonly defaults: number;
  readonly result: string;
  readonly returnsSet: boolean;
  readonly strict: boolean;
  readonly volatility: string;
  readonly parallel: string;
  readonly securityDefiner: boolean;
  readonly leakproof: boolean;
  readonly kind: string;
  readonly language: string;
  readonly cost: number;
  readonly rows: number;
  /** Grantees and privileges; PUBLIC is `-`, the owner `owner`. */
  readonly privileges: readonly string[];
}

const FUNCTIONS = `
  SELECT json_build_object(
    'name', p.proname,
    'argumentTypes', ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i) ORDER BY i),
    'allTypes', p.proallargtypes::regtype[]::text[],
    'modes', p.proargmodes::text[],
    'names', p.proargnames,
    'defaults', p.pronargdefaults,
    'result', p.prorettype::regtype::text,
    'returnsSet', p.proretset,
    'strict', p.proisstrict,
    'volatility', p.provolatile,
    'parallel', p.proparallel,
    'securityDefiner', p.prosecdef,
    'leakproof', p.proleakproof,
    'kind', p.prokind,
    'language', l.lanname,
    'cost', p.procost,
    'rows', p.prorows,
    'privileges', ARRAY(
      SELECT CASE grantee WHEN p.proowner THEN 'owner' ELSE grantee::regrole::text END || ' ' || privilege_type
      FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
      ORDER BY 1
    )
  )
  FROM pg_proc p
  JOIN pg_language l ON l.oid = p.prolang
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
  WHERE e.extname = 'dblink'`;

/** The row of pg_proc that a function with this entry in the catalogue has. */
function rowOf({ name, args, columns, returns, ...facts }: Overload): Row {
  const argumentTypes = args.map(({ type }) => type);
  const out = columns ?? [];
  const names = [...args, ...out].map((argument) => argument.name ?? '');
  const returnsSet = returns.startsWith('setof ');
  return {
    name,
    argumentTypes,
    allTypes: columns === undefined ? null : [...argumentTypes, ...out.map(({ type }) => type)],
    modes: columns === undefined ? null : [...args.map(() => 'i'), ...out.map(() => 'o')],
    names: names.every((each) => each === '') ? null : names,
    defaults: 0,
    result: returns.replace('setof ', ''),
    returnsSet,
    strict: facts.strict,
    volatility: 'v',
    parallel: { restricted: 'r', safe: 's' }[facts.parallel],
    securityDefiner: facts.securityDefiner,
    leakproof: false,
    kind: 'f',
    language: 'c',
    cost: COST,
    rows: returnsSet ? SET_ROWS : 0,
    privileges: facts.public ? ['- EXECUTE', 'owner EXECUTE'] : ['owner EXECUTE'],
  };
}

const signature = (row: Row): string => `${row.name}(${row.argumentTypes.join(', ')})`;
const bySignature = (rows: readonly Row[]): Readonly<Record<string, Row>> =>
  Object.fromEntries(rows.map((row) => [signature(row), row]));

for (const major of [15, 18]) {
  test(`the catalogue is what pg_proc of PostgreSQL ${major} says`, async () => {
    const url = await createDatabase(await extensionServer(major), 'catalogue');
    await execute(url, "CREATE EXTENSION dblink VERSION '1.2'");

    const actual = (await execute(url, FUNCTIONS)).map(([row]) => row as Row);
    assert.equal(actual.length, 41);
    assert.deepEqual(bySignature(CATALOGUE.map(rowOf)), bySignature(actual));
    assert.equal(CATALOGUE.length, actual.length, 'no overload is listed twice');

    const attributes = await execute(
      url,
      `SELECT attname, atttypid::regtype::text FROM pg_attribute
       WHERE attrelid = 'dblink_pkey_results'::regclass AND attnum > 0 ORDER BY attnum`,
    );
    assert.deepEqual(
      PKEY_RESULTS.map(({ name, type }) => [name, type]),
      attributes,
    );
  });
}

test('overloads of a function differ in their arguments only', () => {
  // The analysis takes what holds for a function from any of its overloads.
  for (const { name, args: _, ...facts } of CATALOGUE) {
    const { name: __, args: ___, ...first } = CATALOGUE.find((overload) => overload.name === name)!;
    assert.deepEqual(facts, first, name);
  }
});
