/**
 * libpq connection strings: parsing, completion from service file, environment and password file, and
 * validation with libpq's messages. No network I/O: resolving names and connecting is done elsewhere.
 */
export { type ByteString, byteString, bytesOf, textOf } from './bytes.js';
export { bareContext, type ConninfoContext, type ConninfoDefaults, systemContext } from './context.js';
export { ConninfoError } from './error.js';
export { hostHasEnvironment, namedFileOption } from './hostOptions.js';
export type { ConninfoHost, HostProblem } from './hosts.js';
export { CONNINFO_KEYWORDS, type ConninfoKeyword, findKeyword, findRefusedOption } from './keywords.js';
export { parseConninfo } from './parse.js';
export { plainOption, redactConninfo, redactIfConninfo } from './redact.js';
export type { AuthMethod } from './requireAuth.js';
export {
  type ProtocolRange,
  type ResolvedConninfo,
  resolveConninfo,
  type TargetSessionAttrs,
} from './resolve.js';
export type { Keepalive } from './timing.js';
export { type ConninfoTls, SSL_MODES, type SslMode, type TlsVersion } from './tls.js';
