export { analyze } from './analysis/analyze.js';
export { type AuditText, readAuditText } from './analysis/auditText.js';
export {
  type DeclaredType,
  declaredTypes,
  FUNCTION_FACTS,
  isDblinkFunction,
  returnsRows,
  TYPE_OIDS,
} from './analysis/functions.js';
export {
  Analyzer,
  analyzeAsync,
  DEFAULT_LIMITS,
  type OffloadLimits,
  readAuditTextAsync,
  readRemoteTextAsync,
  readRemoteTextNow,
} from './analysis/offload/analyzer.js';
export { withoutFreeLiterals } from './analysis/offload/template.js';
export { isPlainlyReadOnly, type RemoteText } from './analysis/readOnly.js';
export { mayConcernDblink } from './parse/candidate.js';
export { asEscapeStrings, type EscapeStrings } from './parse/escapeStrings.js';
export { loadParser } from './parse/parser.js';
export {
  arrayLiteralOf,
  CannotRewrite,
  type RewriteOptions,
  type Rewritten,
  rewrite,
} from './rewrite/spliceCalls.js';
export * from './types.js';
