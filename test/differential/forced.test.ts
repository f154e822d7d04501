import { test } from 'node:test';
import { differentialRun } from './inProcess.js';

/** The faster plans are right as far as the bridge is: a sample of all cases goes through that instead. */
test('the bridge answers like the extension', (t) =>
  differentialRun(t, [
    '--forced',
    '--same-cluster',
    '--major',
    '18',
    '--sample',
    '300',
    '--generated',
    '50',
  ]));
