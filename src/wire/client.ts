/** The protocol client, all of it: what the rest of the program imports. */

export * from './address.js';
export * from './auth.js';
export * from './cancelRequest.js';
export { WireClient } from './clientConnection.js';
export {
  ConnectError,
  type ConnectFailure,
  ConnectionBusy,
  ConnectionLost,
  type ConnectStage,
  ServerViolation,
} from './clientErrors.js';
export { errorPosition, isFatal, type QueryText, renderError } from './clientErrorText.js';
export type { TransactionState } from './clientInbound.js';
export type { ExecuteOptions, PipelineStep } from './clientMessages.js';
export type { ConnectOptions } from './clientOptions.js';
export type { CopyInControl, QueryHandler, RowDelivery } from './clientQuery.js';
export {
  isEncrypted,
  type KeepAlive,
  openServerSocket,
  retryAfterRefusal,
  type ServerSocket,
  type SocketOptions,
  withEarlierFailure,
} from './clientSocket.js';
export { serverVersionNumber, startupMessage } from './clientStartup.js';
export * from './rows.js';
export * from './scram.js';
export { ALPN_PROTOCOL, peerCertificate, type TlsMode, type TlsOptions } from './tls.js';
