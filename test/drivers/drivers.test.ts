import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compareSides } from './compare.js';
import { DRIVERS } from './drivers.js';
import { type Environment, startEnvironment } from './environment.js';

/**
 * The same programs, written for the drivers people use, against a primary with the extension and against the proxy in
 * front of one without: they must see the same.
 */
const major = Number(process.env['DBLINK_PROXY_TEST_MAJOR'] ?? 18);

describe('drivers see what they would see with the extension', { concurrency: 3 }, () => {
  let environment: Environment | undefined;
  before(async () => {
    environment = await startEnvironment(major, 'proxy');
  });
  after(() => environment?.stop());

  for (const driver of DRIVERS) {
    test(driver.name, async (t) => {
      const program = await driver.find();
      if (program === undefined) return t.skip(`its tools are missing (Debian: ${driver.packages})`);
      try {
        assert.ok(environment !== undefined);
        const { outcomes, sessions, problems } = await compareSides(driver, program, environment);
        assert.ok(problems.length === 0, `\n${problems.join('\n\n')}\n`);
        t.diagnostic(`${outcomes} outcomes in ${sessions} sessions`);
      } finally {
        program.dispose?.();
      }
    });
  }
});
