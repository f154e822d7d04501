import { asynchronousFlows } from './asynchronous.js';
import { bridgedFlows } from './bridged.js';
import { cursorFlows } from './cursors.js';
import { errorFlows } from './errors.js';
import { guideFlows } from './guides.js';
import { helperFlows } from './helpers.js';
import { queryFlows } from './queries.js';
import { transactionFlows } from './transactions.js';
import type { Flow } from './types.js';

/** What every driver plays, in a database of its own each. */
export interface Programme {
  /** Part of the database's name. */
  readonly name: string;
  /** The database has the functions of the extension or the bridge, and objects that call them (BRIDGED_FIXTURE). */
  readonly bridged: boolean;
  readonly flows: readonly Flow[];
}

export const PROGRAMMES: readonly Programme[] = [
  {
    name: 'plain',
    bridged: false,
    flows: [
      ...[...guideFlows, ...queryFlows, ...errorFlows, ...transactionFlows],
      ...[...cursorFlows, ...asynchronousFlows],
    ],
  },
  { name: 'bridged', bridged: true, flows: [...bridgedFlows, ...helperFlows] },
];
