/** How often it is looked whether a session is over. */
const LOOK_MS = 500;
/** The first pause between two messages to the client. Each one is twice as long as the one before. */
const TOUCH_MS = 10;

/** A session whose client sends nothing more. */
interface EndingSession {
  /** Whether the client has said that it leaves (Terminate), so that it waits for nothing. */
  readonly leaves: boolean;
  /** Whether a dblink call is being carried out. */
  readonly serving: () => boolean;
  /** Whether that is so, or something else is being done here. */
  readonly busy: () => boolean;
  /** Whether everything has been answered. */
  readonly idle: () => boolean;
  readonly over: () => boolean;
  readonly end: () => void;
  /** Sends the client something that changes nothing. */
  readonly touch: () => void;
}

/**
 * For a client that has closed its side of the connection. It may wait for answers, and gets them, as from a server. But one that has
 * gone looks the same, and a remote does not have to work for it. A server finds that out when it sends something, and so it is done
 * here while a call runs: the answer to the first message, if nobody is there, makes the next one fail, and with that the session ends.
 *
 * A client that has said that it leaves gets what it has asked for done, as by a server, but of dblink calls only those that are short.
 * A session also ends where a primary that has nothing left to answer does not close the connection.
 */
export function watchEnding(session: EndingSession): void {
  const { leaves, serving, idle, over, end } = session;
  let wasIdle = false;
  const timer = setInterval(() => {
    const isIdle = idle();
    if ((leaves && serving()) || (isIdle && wasIdle)) end();
    wasIdle = isIdle;
    if (over()) clearInterval(timer);
  }, LOOK_MS);
  timer.unref();
  if (!leaves) touchOften(session);
}

function touchOften({ busy, over, touch }: EndingSession): void {
  const touchLater = (pauseMs: number): void => {
    setTimeout(() => {
      if (over()) return;
      if (busy()) touch();
      touchLater(busy() ? 2 * pauseMs : LOOK_MS);
    }, pauseMs).unref();
  };
  if (busy()) touch();
  touchLater(TOUCH_MS);
}
