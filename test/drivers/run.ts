import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { compareSides } from './compare.js';
import { DRIVERS } from './drivers.js';
import { startEnvironment } from './environment.js';

/** The drivers' comparison from the command line, for looking at one driver or one major. */
const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: '' },
    major: { type: 'string', default: '18' },
    'extension-only': { type: 'boolean', default: false },
    report: { type: 'string' },
  },
});

async function main(): Promise<number> {
  const second = values['extension-only'] ? 'extension' : 'proxy';
  const environment = await startEnvironment(Number(values.major), second);
  const report: string[] = [];
  const say = (text: string): void => {
    report.push(text);
    console.log(text);
  };
  let failed = 0;
  try {
    for (const driver of DRIVERS.filter(({ name }) => name.includes(values.driver))) {
      const program = await driver.find();
      if (program === undefined) {
        say(`SKIPPED: ${driver.name}: its tools are missing (Debian: ${driver.packages})`);
        continue;
      }
      const started = Date.now();
      const { outcomes, sessions, problems } = await compareSides(driver, program, environment);
      program.dispose?.();
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      failed += problems.length > 0 ? 1 : 0;
      say(`# ${driver.name}: ${outcomes} outcomes in ${sessions} sessions, ${seconds} s\n`);
      for (const problem of problems) say(`${problem}\n`);
    }
  } finally {
    await environment.stop();
  }
  if (values.report !== undefined) writeFileSync(values.report, `${report.join('\n')}\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
