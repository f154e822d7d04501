export { type AccessRule, type Entry, mayEnter } from './access.js';
export { AddressSet, type Destination, isNetwork, NETWORK_NAMES } from './addresses.js';
export { type NamePattern, namePattern } from './namePattern.js';
export { RefusalCounts } from './refusals.js';
export {
  type Conditions,
  judge,
  type NamedPlace,
  type Policy,
  type PolicyFacts,
  type Rule,
  type Ruling,
  type Wanted,
} from './rules.js';
export {
  PLACES,
  present,
  readAccess,
  readPolicy,
  type WrittenAccess,
  type WrittenConditions,
  type WrittenPolicy,
  type WrittenRule,
} from './written.js';
