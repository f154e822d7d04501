import type { Case } from '../play/types.js';
import { argumentCases } from './arguments.js';
import { asyncCases } from './async.js';
import { bareCases } from './bare.js';
import { bridgeCases } from './bridge.js';
import { hiddenCases } from './bridgeHidden.js';
import { bridgeLargeCases } from './bridgeLarge.js';
import { buildSqlCases } from './buildSql.js';
import { connectCases } from './connect.js';
import { conninfoCases } from './conninfo.js';
import { cursorCases } from './cursors.js';
import { definerCases } from './definers.js';
import { edgeCallCases } from './edgeCalls.js';
import { edgeErrorCases } from './edgeErrors.js';
import { edgeRuleCases } from './edgeRules.js';
import { edgeSessionCases } from './edgeSessions.js';
import { errorOrderCases } from './errorOrder.js';
import { errorCases } from './errors.js';
import { execCases } from './exec.js';
import { executorCases } from './executor.js';
import { foreignServerCases } from './foreignServers.js';
import { functionCallerCases } from './functionCallers.js';
import { functionErrorCases } from './functionErrors.js';
import { functionCases } from './functions.js';
import { isolationCases } from './isolation.js';
import { joinCases } from './joins.js';
import { keyCases } from './keys.js';
import { lookupCases } from './lookups.js';
import { loopbackCases } from './loopback.js';
import { notifyCases } from './notify.js';
import { parameterCases } from './parameters.js';
import { pipelineCases } from './pipelines.js';
import { portalCases } from './portals.js';
import { protocolCases } from './protocol.js';
import { queryCases } from './query.js';
import { repeatedCases } from './repeated.js';
import { roleCases } from './roles.js';
import { settingCases } from './settings.js';
import { shapeAsyncCases } from './shapesAsync.js';
import { shapeAsyncStoredCases } from './shapesAsyncStored.js';
import { shapeCursorCases } from './shapesCursors.js';
import { shapeCursorStoredCases } from './shapesCursorsStored.js';
import { shapeHelperCases } from './shapesHelpers.js';
import { shapeServerCases } from './shapesServers.js';
import { statementListCases } from './statementLists.js';
import { transactionCases } from './transactions.js';
import { triggerCases } from './triggers.js';
import { typeCases } from './types.js';
import { untouchedCases } from './untouched.js';
import { validatorCases } from './validator.js';
import { viewCases } from './views.js';

/** All cases. Names are unique: the seed's choice of variants depends on them. */
export const CASES: readonly Case[] = unique([
  ...connectCases,
  ...conninfoCases,
  ...queryCases,
  ...typeCases,
  ...execCases,
  ...errorCases,
  ...errorOrderCases,
  ...transactionCases,
  ...statementListCases,
  ...argumentCases,
  ...joinCases,
  ...protocolCases,
  ...parameterCases,
  ...portalCases,
  ...pipelineCases,
  ...settingCases,
  ...repeatedCases,
  ...roleCases,
  ...untouchedCases,
  ...bridgeCases,
  ...hiddenCases,
  ...bridgeLargeCases,
  ...bareCases,
  ...loopbackCases,
  ...executorCases,
  ...functionCallerCases,
  ...definerCases,
  ...functionErrorCases,
  ...functionCases,
  ...isolationCases,
  ...triggerCases,
  ...viewCases,
  ...cursorCases,
  ...asyncCases,
  ...notifyCases,
  ...lookupCases,
  ...keyCases,
  ...buildSqlCases,
  ...validatorCases,
  ...foreignServerCases,
  ...edgeCallCases,
  ...edgeSessionCases,
  ...edgeErrorCases,
  ...edgeRuleCases,
  ...shapeCursorCases,
  ...shapeCursorStoredCases,
  ...shapeAsyncCases,
  ...shapeAsyncStoredCases,
  ...shapeHelperCases,
  ...shapeServerCases,
]);

function unique(cases: readonly Case[]): readonly Case[] {
  const names = new Set<string>();
  for (const { name } of cases) {
    if (names.has(name)) throw new Error(`two cases are called "${name}"`);
    names.add(name);
  }
  return cases;
}
