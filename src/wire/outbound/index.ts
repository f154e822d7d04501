/** The whole protocol client, for the rest of the program to import. */

export * from '../address.js';
export * from '../auth/authenticator.js';
export * from '../auth/scram.js';
export {
  ConnectError,
  type ConnectFailure,
  ConnectionBusy,
  ConnectionLost,
  type ConnectStage,
  ServerViolation,
} from '../connectErrors.js';
export { errorPosition, isFatal, type QueryText, renderError } from '../errorText.js';
export * from '../rows.js';
export { ALPN_PROTOCOL, peerCertificate, type TlsMode, type TlsOptions } from '../tls/tls.js';
export * from './cancelRequest.js';
export { WireClient } from './connection.js';
export type { TransactionState } from './inbound.js';
export type { Interposed, Interposition, LoggedIn } from './interposed.js';
export type { ConnectOptions } from './options.js';
export type { CopyInControl, QueryHandler, RowDelivery } from './query.js';
export type { ExecuteOptions, PipelineStep } from './requests.js';
export { addressOf, certificateOf, type ServerEnd } from './serverEnd.js';
export {
  isEncrypted,
  type KeepAlive,
  openServerSocket,
  retryAfterRefusal,
  type ServerSocket,
  type SocketOptions,
  withEarlierFailure,
} from './socket.js';
export { serverVersionNumber, startupMessage } from './startup.js';
