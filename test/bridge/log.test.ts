import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { assertNothingLeft, type BridgeWorld, makeBridgeWorld } from '../faults/bridgeWorld.js';
import { brief, errorOf, FaultClient, fieldsOf } from '../faults/client.js';

/** What a bridged call looks like in a primary that logs and measures whatever it can. */

const PASSWORD = 'Pq7secretPassword';
/** Neither in the query nor in the objects, only in what the remote answers. */
const ANSWER = 'fed5cba9';
const ANSWER_SQL = "SELECT reverse(''9abc5def'')";

let world: BridgeWorld;
let client: FaultClient;

/** Everything that the primary logs while this runs. */
async function logged(action: () => Promise<void>): Promise<string> {
  const from = readFileSync(world.primary.logFile).length;
  await action();
  return readFileSync(world.primary.logFile).subarray(from).toString('utf8');
}
