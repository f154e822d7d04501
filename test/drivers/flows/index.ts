import { errorFlows } from './errors.js';
import { guideFlows } from './guides.js';
import { queryFlows } from './queries.js';
import { transactionFlows } from './transactions.js';
import type { Flow } from './types.js';

/** The flows that every driver runs. */
export const FLOWS: readonly Flow[] = [...guideFlows, ...queryFlows, ...errorFlows, ...transactionFlows];
