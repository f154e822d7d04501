import type { DblinkHome } from '../dblink/context.js';
import type { StartupPacket } from '../wire/startup.js';
import type { Interceptor, Session } from './session.js';

/** Who logged in, and how. */
export interface Login {
  /** The parameters of the startup packet, byte strings. */
  readonly startup: ReadonlyMap<string, string>;
  /** The client's password. Undefined when the proxy has not asked for it. */
  readonly password: () => Buffer | undefined;
  /** See DblinkHome. */
  readonly scram: NonNullable<DblinkHome['scram']>;
}

/** How one session is served. Made when the session's startup packet has come. */
export interface Routed {
  /** The startup packet that the primary gets. */
  readonly packet: Buffer;
  /** Makes the session's interceptor, which looks at its messages. */
  readonly interceptor: (session: Session, login: Login) => Interceptor;
}

/** Decides from the client's startup packet how its session is served. */
export type Route = (startup: StartupPacket & { kind: 'startup' }) => Routed;
