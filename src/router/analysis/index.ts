export { analyze } from './analyze.js';
export { containsDblink } from './candidate.js';
export { asEscapeStrings, type EscapeStrings } from './escapeStrings.js';
export {
  DBLINK_FUNCTIONS,
  type DeclaredType,
  declaredTypes,
  isDblinkFunction,
  returnsRows,
  TYPE_OIDS,
} from './functions.js';
export {
  Analyzer,
  analyzeAsync,
  DEFAULT_LIMITS,
  isPlainlyReadOnlyAsync,
  type OffloadLimits,
} from './offload.js';
export { loadParser } from './parser.js';
export { isPlainlyReadOnly } from './readOnly.js';
export { arrayLiteralOf, CannotRewrite, type RewriteOptions, type Rewritten, rewrite } from './rewrite.js';
export * from './types.js';
