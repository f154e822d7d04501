/**
 * Names of the protocol's numbers (PostgreSQL documentation, "Frontend/Backend Protocol", section "Message Formats").
 * The same byte means different things in the two directions, so there is one table for each direction.
 */

const byte = (letter: string): number => letter.charCodeAt(0);

/** Types of messages sent by a client. */
export const Frontend = {
  bind: byte('B'),
  close: byte('C'),
  copyData: byte('d'),
  copyDone: byte('c'),
  copyFail: byte('f'),
  describe: byte('D'),
  execute: byte('E'),
  flush: byte('H'),
  functionCall: byte('F'),
  parse: byte('P'),
  /** PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse share one type. */
  password: byte('p'),
  query: byte('Q'),
  sync: byte('S'),
  terminate: byte('X'),
} as const;

/** Types of messages sent by a server. */
export const Backend = {
  authentication: byte('R'),
  backendKeyData: byte('K'),
  bindComplete: byte('2'),
  closeComplete: byte('3'),
  commandComplete: byte('C'),
  copyBothResponse: byte('W'),
  copyData: byte('d'),
  copyDone: byte('c'),
  copyInResponse: byte('G'),
  copyOutResponse: byte('H'),
  dataRow: byte('D'),
  emptyQueryResponse: byte('I'),
  errorResponse: byte('E'),
  functionCallResponse: byte('V'),
  negotiateProtocolVersion: byte('v'),
  noData: byte('n'),
  noticeResponse: byte('N'),
  notificationResponse: byte('A'),
  parameterDescription: byte('t'),
  parameterStatus: byte('S'),
  parseComplete: byte('1'),
  portalSuspended: byte('s'),
  readyForQuery: byte('Z'),
  rowDescription: byte('T'),
} as const;

/** Codes that SSLRequest, GSSENCRequest and CancelRequest have where a startup packet has its protocol version. */
export const RequestCode = {
  cancel: 80877102,
  ssl: 80877103,
  gssenc: 80877104,
} as const;

/** Codes of AuthenticationXXX messages. */
export const Authentication = {
  ok: 0,
  cleartextPassword: 3,
  md5Password: 5,
  gss: 7,
  gssContinue: 8,
  sspi: 9,
  sasl: 10,
  saslContinue: 11,
  saslFinal: 12,
} as const;

/** A protocol version as the startup packet carries it: the major in the upper 16 bits, the minor in the lower ones. */
export const protocolVersion = (major: number, minor: number): number => (major << 16) | minor;

/** The transaction status byte of ReadyForQuery: outside of a transaction block, in one, in a failed one. */
export const TransactionStatus = {
  idle: byte('I'),
  inBlock: byte('T'),
  failed: byte('E'),
} as const;

/** The largest message length that the protocol's own field and PostgreSQL's memory limit allow (1 GiB − 1). */
export const MAX_MESSAGE_BYTES = 0x3fffffff;

/** PostgreSQL's limit for a startup packet (MAX_STARTUP_PACKET_LENGTH), and the length field itself. */
export const MAX_STARTUP_BYTES = 10_004;

/** An empty, shared buffer. */
export const EMPTY = Buffer.alloc(0);
