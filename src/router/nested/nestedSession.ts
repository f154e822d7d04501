import { type Interceptor, Session } from '../../session/session.js';
import type { RouterLog } from '../../session/settings.js';
import { CancelKeys } from '../../wire/cancelKeys.js';
import type { WireClient } from '../../wire/outbound/index.js';
import { makePipe } from '../../wire/pipe.js';
import { EMPTY } from '../../wire/protocol.js';

/** Nobody outside can cancel a nested session. */
const NO_KEYS = new CancelKeys();

/** What a nested session is made of. */
export interface NestedOptions {
  readonly statementBytes: number;
  readonly pipelinedBytes: number;
  readonly log: RouterLog;
  readonly interceptor: (session: Session) => Interceptor & { readonly pristine: boolean };
}

/**
 * Has a session of its own stand between a dblink connection and the primary. It looks at what is sent to the primary, and serves the
 * functions there, as a client's session does. It ends with the connection, and the connection with it.
 */
export function nestSession(
  connection: WireClient,
  { statementBytes, pipelinedBytes, log, interceptor }: NestedOptions,
): void {
  connection.interpose(({ server, parameters, key, cancel }) => {
    const [outside, inside] = makePipe();
    let cancelling: Promise<void> | undefined;
    let pristine = (): boolean => true;
    const session = new Session({
      client: inside,
      primary: server,
      firstBytes: EMPTY,
      statementBytes,
      pipelinedBytes,
      keys: NO_KEYS,
      log,
      interceptor(session) {
        const made = interceptor(session);
        pristine = () => made.pristine;
        return made;
      },
      cancelPrimary: () => (cancelling = cancel()),
    });
    session.logIn(key, parameters);
    void session.run();
    return {
      socket: outside,
      pristine: () => pristine(),
      async cancel() {
        // What has been written to the session before is read by then.
        await new Promise((resolve) => setImmediate(resolve));
        cancelling = undefined;
        session.cancel();
        await cancelling;
      },
    };
  });
}
