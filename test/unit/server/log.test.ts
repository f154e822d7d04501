import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

/** Standard error of a process that logs; a process, because what is tested is what arrives there at its end. */
function logged(pretty: string, statements: string): string {
  const module = JSON.stringify(new URL('../../../src/server/log.js', import.meta.url));
  const script = `import { createLogger } from ${module};
    const log = createLogger({ level: 'info', pretty: '${pretty}' });
    ${statements}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal(stdout, '');
  return stderr;
}

describe('the log', () => {
  it('is one JSON object per line on standard error, complete when the process exits', () => {
    const lines = logged(
      'auto',
      "log.info({ n: 1 }, 'one'); log.debug('two'); log.child({ session: 7 }).warn('three'); process.exit(0);",
    );
    // The line that is being written when the process exits may arrive behind those that waited for it.
    const objects = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .sort((a, b) => String(a.msg).localeCompare(String(b.msg)));
    assert.deepEqual(
      objects.map(({ level, msg, n, session }) => ({ level, msg, n, session })),
      [
        { level: 'info', msg: 'one', n: 1, session: undefined },
        { level: 'warn', msg: 'three', n: undefined, session: 7 },
      ],
    );
    for (const { time } of objects) assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('contains no secret in a field that is named like one, at any depth that is logged', () => {
    const secret = "'sEcreT'";
    const text = logged(
      'false',
      `log.info({ password: ${secret}, primary: { password: ${secret}, host: 'db' },
         config: { databases: { all: { password: ${secret} } } }, conninfo: ${secret} }, 'x');
       log.child({ passwd: ${secret} }).info('y');`,
    );
    assert.doesNotMatch(text, /sEcreT/);
    assert.equal(text.match(/\[redacted\]/g)?.length, 5);
    assert.match(text, /"host":"db"/);
  });

  it('is readable when asked to', () => {
    const text = logged('true', "log.warn({ session: 7 }, 'careful');");
    assert.match(text, /WARN.*careful\n\s+session: 7\n/);
    assert.throws(() => JSON.parse(text));
  });
});
