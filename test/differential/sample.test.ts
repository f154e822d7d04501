import { test } from 'node:test';
import { differentialRun } from './inProcess.js';

/** A sample of what whole.test.ts, older.test.ts and forced.test.ts play; every run of the same commit plays the same. */
test('the proxy answers like the extension: a sample', (t) =>
  differentialRun(t, [
    '--major',
    '18',
    '--core',
    '1',
    '--others',
    '0',
    '--sample',
    '150',
    '--generated',
    '30',
  ]));

test('the bridge answers like the extension: a sample', (t) =>
  differentialRun(t, ['--forced', '--same-cluster', '--major', '18', '--sample', '40', '--generated', '10']));
