import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decode } from './compare/decode.js';
import { open } from './compare/notation.js';
import { type Environment, startEnvironment } from './play/environment.js';
import { play } from './play/play.js';
import type { Transport } from './play/types.js';

/**
 * Where no bridge can be had: the primary has no functions of the bridge, and inside of a transaction the session makes
 * itself none. What only the bridge could serve is refused, and the transaction is as after any other error.
 */

let environment: Environment;

before(async () => {
  environment = await startEnvironment(18, 'proxy');
});

after(() => environment?.stop());

const NEEDS_BRIDGE = {
  lateral: "SELECT t.n FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(n int)",
  'per row': "SELECT dblink_exec('c', 'INSERT INTO w VALUES (' || id || ')') FROM items",
  CASE: "SELECT CASE WHEN 1 = 1 THEN dblink_exec('c', 'INSERT INTO w VALUES (1)') END",
  'CREATE VIEW': "CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT 1') AS t(n int)",
};

for (const [name, sql] of Object.entries(NEEDS_BRIDGE)) {
  for (const transport of ['simple', 'extended'] as const satisfies readonly Transport[]) {
    test(`refused in a transaction: ${name}, ${transport}`, async () => {
      const testCase = {
        name,
        steps: [open('c'), 'BEGIN', 'SELECT 1', sql, 'SELECT 1', 'ROLLBACK', 'SELECT 1'],
        remote: 'CREATE TABLE w (a int)',
        local: '',
      };
      const variant = { transport, context: 'autocommit', session: 'bare' } as const;
      const { exchanges } = await play(environment.proxy, testCase, variant);
      const steps = testCase.steps.map((_, step) => {
        const messages = (exchanges.find((one) => one.step === step)?.frames ?? []).map(decode);
        const field = (message: string, wanted: string): string | undefined =>
          messages.find((one) => one.name === message)?.fields.find(([key]) => key === wanted)?.[1] ??
          undefined;
        return {
          sqlstate: field('ErrorResponse', 'SQLSTATE'),
          hint: field('ErrorResponse', 'hint'),
          status: field('ReadyForQuery', 'status'),
        };
      });
      assert.deepEqual(
        steps.map(({ sqlstate }) => sqlstate),
        [undefined, undefined, undefined, '0A000', '25P02', undefined, undefined],
      );
      assert.match(steps[3]?.hint ?? '', /CREATE EXTENSION dblink/, 'the hint says what would help');
      assert.deepEqual(
        steps.map(({ status }) => status),
        ['I', 'T', 'T', 'E', 'E', 'I', 'I'],
      );
      const effects = exchanges.at(-1)?.frames.map((frame) => decode(frame).fields.map(([, value]) => value));
      assert.deepEqual(effects, [['r w'], ['(local)']], 'nothing has happened on the remote');
    });
  }
}
