import type { DblinkHome } from '../dblink/context.js';
import type { StartupPacket } from '../wire/startup.js';
import type { Interceptor, Session } from './session.js';

/** Who logged in. */
export interface Login {
  /** The parameters of the startup packet, byte strings. */
  readonly startup: ReadonlyMap<string, string>;
  /** The client's password, where the proxy has asked for it. */
  readonly password: () => Buffer | undefined;
  readonly scram: NonNullable<DblinkHome['scram']>;
}

/** What becomes of one session: made when its startup packet has come. */
export interface Routed {
  /** The startup packet for the primary. */
  readonly packet: Buffer;
  /** Makes what looks at the session's messages. */
  readonly interceptor: (session: Session, login: Login) => Interceptor;
}

export type Route = (startup: StartupPacket & { kind: 'startup' }) => Routed;
