import { test } from 'node:test';
import { differentialRun } from './inProcess.js';

/** An older major answers otherwise in places. */
test('the proxy answers like the extension of an older server', (t) =>
  differentialRun(t, ['--same-cluster', '--major', '15', '--sample', '400', '--generated', '100']));
