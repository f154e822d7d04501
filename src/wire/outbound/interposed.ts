import type { Duplex } from 'node:stream';
import type { CancelKey } from '../cancelKeys.js';
import type { ServerSocket } from './socket.js';

/** A connection that has logged in, as it is handed to who is to stand between it and its server. */
export interface LoggedIn {
  /** What comes on it belongs to who takes it over, who has to listen to it in the same turn of the event loop. */
  readonly server: ServerSocket;
  /** What the server has reported so far (ParameterStatus). */
  readonly parameters: ReadonlyMap<string, string>;
  /** Undefined when the server has given none. */
  readonly key: CancelKey | undefined;
  /** Asks the server to cancel what it does, see WireClient.cancel. */
  readonly cancel: () => Promise<void>;
}

/** Who stands between a connection and its server. */
export interface Interposed {
  /** What the connection is to talk to in the server's place. */
  readonly socket: Duplex;
  /** Whether it keeps nothing for the connection that the server's session does not show. */
  pristine(): boolean;
  /** Cancels what is being done for the connection. Settles as WireClient.cancel does. */
  cancel(): Promise<void>;
}

/** Takes the server's socket over, and gives what stands in its place. */
export type Interposition = (connection: LoggedIn) => Interposed;
