import { test } from 'node:test';
import { differentialRun } from './inProcess.js';

/** Each case in one core variant; in all of them, and another one each, with `npm run test:differential`. */
test('the proxy answers like the extension', (t) =>
  differentialRun(t, [
    '--major',
    '18',
    '--core',
    '1',
    '--others',
    '0',
    '--generated',
    '300',
    '--lanes',
    '3',
  ]));
