import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compareSides } from './compare.js';
import { DRIVERS } from './drivers.js';
import { type Environment, startEnvironment } from './environment.js';

/**
 * The same programs, written for the drivers people use, against a primary with the extension and against the proxy in
 * front of one without: they must see the same. Each plays every other flow, and each flow is played by every other
 * driver; all of them by all with `npm run test:drivers`.
 */
const major = Number(process.env['DBLINK_PROXY_TEST_MAJOR'] ?? 18);

describe('drivers see what they would see with the extension', { concurrency: 2 }, () => {
  let environment: Environment | undefined;
  before(async () => {
    environment = await startEnvironment(major, 'proxy');
  });
  after(() => environment?.stop());

  for (const [place, driver] of DRIVERS.entries()) {
    test(driver.name, { timeout: 900_000 }, async (t) => {
      const program = await driver.find();
      if (program === undefined) {
        const reason = `${driver.name} was not tested: its tools are missing (Debian: ${driver.packages})`;
        assert.ok((process.env['CI'] ?? '') === '', reason);
        console.log(`SKIPPED: ${reason}`);
        t.skip(reason);
        return;
      }
      try {
        assert.ok(environment !== undefined);
        const { outcomes, sessions, problems } = await compareSides(
          driver,
          program,
          environment,
          (flow) => (flow + place) % 2 === 0,
        );
        assert.ok(problems.length === 0, `\n${problems.join('\n\n')}\n`);
        t.diagnostic(`${outcomes} outcomes in ${sessions} sessions`);
      } finally {
        program.dispose?.();
      }
    });
  }
});
