import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { NamedFunction } from '../../../src/primary/functions/foundFunctions.js';
import type { SessionFacts } from '../../../src/primary/sessionFacts.js';
import {
  type Circumstances,
  decide,
  decideAgain,
  decideByText,
  type Verdict,
} from '../../../src/router/decide/verdict.js';
import { analyze, loadParser, type Statement } from '../../../src/sql/index.js';
import type { PgError } from '../../../src/wire/errors.js';

/** Every rule by which a statement is served: one row for each. */

/** @param number of several statements */
const text = (sql: string, number = 0): Statement => {
  const statement = analyze(Buffer.from(sql), { schemas: ['public'] })?.statements[number];
  assert.ok(statement !== undefined, sql);
  return statement;
};

const named = (name: string, argumentTypes: readonly number[], more: Partial<NamedFunction> = {}) => ({
  schema: 'public',
  name,
  argumentTypes,
  visible: true,
  executable: true,
  ...more,
});
const TEXT = 25;
const DBLINK = named('dblink', [TEXT, TEXT]);

const NOBODY: SessionFacts = {
  superuser: true,
  statementTimeoutMs: 0,
  endsIdle: false,
  readOnly: false,
  clientMinMessages: 'notice',
  extraFloatDigits: 1,
  style: { dateStyle: 'ISO, MDY', intervalStyle: 'postgres', timeZone: 'UTC' },
  shadowing: [],
  bridged: [],
  native: [],
  untrusted: [],
};

const USUAL: Circumstances = {
  facts: NOBODY,
  hasBridge: true,
  leaveToExtension: false,
  bridgeOnly: false,
  several: false,
  tooLate: false,
  answerable: false,
  asksOwnText: false,
  fitsNone: false,
  prepared: false,
};

type Changes = Partial<Omit<Circumstances, 'facts'>> & { readonly facts?: Partial<SessionFacts> };

const BRIDGED: Changes = { facts: { bridged: [DBLINK] } };

const ROWS = "SELECT * FROM dblink('c', 'x') AS t(a int)";
const JOINED = "SELECT a FROM dblink('c', 'x') AS t(a int) JOIN l USING (a)";
const LATERAL = "SELECT * FROM l, LATERAL dblink('c', l.q) AS t(a int)";
const ONLY_EXECUTOR = 'a dblink call that depends on another FROM item (LATERAL)';
const EXEC = "SELECT dblink_exec('c', 'x')";
const CONNECT_U = "SELECT dblink_connect_u('c', 'x')";
const SKIPPABLE = "SELECT * FROM l LEFT JOIN dblink_fetch('c', 'k', 1) AS t(a int) USING (a) LIMIT 0";

/** What the verdict is, in short: plan, what it needs, why. */
function short(verdict: Verdict): string {
  switch (verdict.plan) {
    case 'relay':
      return `relay ${verdict.change}: ${verdict.why}`;
    case 'answer':
      return `answer, else ${verdict.otherwise}`;
    case 'stream':
    case 'splice':
      return `${verdict.plan}, else ${verdict.otherwise}: ${verdict.why}`;
    case 'bridge':
      return `bridge ${verdict.by}: ${verdict.why}`;
    case 'refuse':
      return `refuse ${verdict.error === 'parameter' ? '42P02' : verdict.error.sqlstate}: ${verdict.why}`;
  }
}

const decided = (sql: string, { facts, ...changes }: Changes = {}): string =>
  short(decide(text(sql), { ...USUAL, ...changes, facts: { ...NOBODY, ...facts } }));

const RULES: readonly (readonly [rule: string, sql: string, changes: Changes, verdict: string])[] = [
  [
    'what fits several signatures is refused by the primary',
    "SELECT * FROM dblink_fetch('m', 'x', '1') AS t(a int)",
    {},
    'relay refusal: a call fits several signatures',
  ],
  [
    "a function of the user's own is called by the primary",
    ROWS,
    { facts: { shadowing: [DBLINK] } },
    "relay none: a call means a function of the user's own",
  ],
  [
    'one that PostgreSQL would not find is not meant',
    ROWS,
    { facts: { shadowing: [{ ...DBLINK, visible: false }] } },
    'stream, else temporary: it has a source',
  ],
  [
    'the extension carries its calls out, where it is to',
    ROWS,
    { leaveToExtension: true, facts: { native: [DBLINK] } },
    'relay none: its calls are left to the extension',
  ],
  ['and else the proxy', ROWS, { facts: { native: [DBLINK] } }, 'stream, else temporary: it has a source'],
  [
    'what is not known to be the bridge is not run',
    ROWS,
    { facts: { bridged: [DBLINK], untrusted: [DBLINK] } },
    "refuse 0A000: a function of dblink's name is not known to be the bridge's",
  ],
  [
    'unless there is no bridge beside it',
    ROWS,
    { facts: { untrusted: [DBLINK] } },
    'stream, else temporary: it has a source',
  ],
  [
    'a bridge that is not found by these names leaves the refusal to the primary',
    ROWS,
    { facts: { bridged: [{ ...DBLINK, visible: false }] } },
    'relay none: PostgreSQL finds no function of the bridge by these names',
  ],
  [
    'and so does one that the role may not execute',
    ROWS,
    { facts: { bridged: [{ ...DBLINK, executable: false }] } },
    'relay none: PostgreSQL finds no function of the bridge by these names',
  ],
  [
    'the configuration can want the bridge',
    ROWS,
    { ...BRIDGED, bridgeOnly: true },
    'bridge installed: the configuration wants it',
  ],
  [
    'but not for a Query that asks for the whole of several statements',
    'SELECT dblink_current_query()',
    { bridgeOnly: true, several: true, facts: { bridged: [named('dblink_current_query', [])] } },
    'splice, else installed: the primary takes part in it',
  ],
  [
    'the bridge sees who has made dblink_connect_u',
    CONNECT_U,
    { facts: { superuser: false, bridged: [named('dblink_connect_u', [TEXT, TEXT])] } },
    'bridge installed: it has to be seen who has made the function',
  ],
  [
    'the bridge leaves a statement its text',
    ROWS,
    { ...BRIDGED, asksOwnText: true },
    'bridge installed: it asks for its own text',
  ],
  ['what only the executor sees is for the bridge', LATERAL, BRIDGED, `bridge installed: ${ONLY_EXECUTOR}`],
  ['for temporary functions where there are no others', LATERAL, {}, `bridge temporary: ${ONLY_EXECUTOR}`],
  [
    'and for nothing where those cannot be made',
    LATERAL,
    { tooLate: true },
    `refuse 0A000: ${ONLY_EXECUTOR}`,
  ],
  [
    'installed functions are never too late',
    LATERAL,
    { ...BRIDGED, tooLate: true },
    `bridge installed: ${ONLY_EXECUTOR}`,
  ],
  ['a Query has no parameters', "SELECT dblink_exec('c', $1)", {}, 'refuse 42P02: a Query has no parameters'],
  [
    'a prepared statement has',
    "SELECT dblink_exec('c', $1)",
    { prepared: true },
    'splice, else temporary: the primary takes part in it',
  ],
  [
    'what fits no signature is refused by the primary',
    EXEC,
    { prepared: true, fitsNone: true },
    'relay refusal: a call fits no signature',
  ],
  [
    'what may be skipped is for temporary functions while they can be made',
    SKIPPABLE,
    { prepared: true },
    'bridge temporary: dblink_fetch() where PostgreSQL may skip it',
  ],
  [
    'and is tried when they cannot',
    SKIPPABLE,
    { prepared: true, tooLate: true },
    'splice, else temporary: it does more with a source',
  ],
  [
    'dblink_connect_u is for superusers',
    CONNECT_U,
    { facts: { superuser: false } },
    'refuse 42501: the role may not execute it',
  ],
  [
    'which is looked at when a prepared statement is bound',
    CONNECT_U,
    { prepared: true, facts: { superuser: false } },
    'splice, else temporary: the primary takes part in it',
  ],
  [
    'who looks for the extension finds the bridge',
    'SELECT extname FROM pg_extension',
    {},
    'relay lookup: it looks up the extension',
  ],
  [
    'unless the session has none',
    'SELECT name FROM pg_available_extensions',
    { hasBridge: false },
    'relay none: it looks up the extension',
  ],
  [
    'and so does a block that creates it',
    'DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS dblink; END $$',
    {},
    'relay block: it creates the extension',
  ],
  ['what leaves nothing to the primary is answered', EXEC, { answerable: true }, 'answer, else temporary'],
  ['what leaves it something is not', EXEC, {}, 'splice, else temporary: the primary takes part in it'],
  ['all columns of a source are streamed', ROWS, BRIDGED, 'stream, else installed: it has a source'],
  [
    'a bridge that the session does not have serves nothing',
    ROWS,
    { ...BRIDGED, hasBridge: false },
    'stream, else refuse: it has a source',
  ],
  ['more of it is spliced', JOINED, {}, 'splice, else temporary: it does more with a source'],
  [
    'and so is a value',
    "SELECT dblink_exec('c', 'x') || 'y'",
    {},
    'splice, else temporary: it does more with a value',
  ],
];

describe('how a statement is served', () => {
  before(() => loadParser());

  for (const [rule, sql, changes, verdict] of RULES) {
    it(rule, () => assert.equal(decided(sql, changes), verdict));
  }

  it('without a question to the primary, where the text tells', () => {
    const plainly = (sql: string, failed = false, number = 0): string | undefined => {
      const verdict = decideByText(text(sql, number), failed);
      return verdict && short(verdict);
    };
    assert.equal(plainly(`${EXEC}; SELECT 1`, false, 1), 'relay none: it has no call of dblink');
    assert.equal(plainly(ROWS, true), 'relay none: the transaction has failed');
    assert.equal(plainly('CREATE EXTENSION dblink'), 'bridge extension: it is about the extension');
    assert.equal(plainly('CREATE EXTENSION dblink', true), 'relay none: the transaction has failed');
    assert.equal(plainly(ROWS), undefined);
  });

  it('when it shows that only the bridge can', () => {
    const again = (...how: Parameters<typeof decideAgain>): string => short(decideAgain(...how));
    assert.equal(again('installed', 'a thing', true), 'bridge installed: a thing');
    assert.equal(again('temporary', 'a thing', false), 'bridge temporary: a thing');
    assert.equal(again('temporary', 'a thing', true), 'refuse 0A000: a thing');
    assert.equal(again('refuse', 'a thing', false), 'refuse 0A000: a thing');
  });

  it('with an error that says what stands in the way', () => {
    const verdict = decide(text(LATERAL), { ...USUAL, tooLate: true });
    assert.ok(verdict.plan === 'refuse');
    assert.match((verdict.error as PgError).fields.hint ?? '', /depends on another FROM item/);
  });
});
