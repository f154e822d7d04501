/** How long dblink calls go on for a client that sends nothing more. */
const ENDING_MS = 500;

/** A session whose client sends nothing more. */
interface EndingSession {
  /** Whether a dblink call is being carried out. */
  readonly serving: () => boolean;
  /** Whether everything has been answered. */
  readonly idle: () => boolean;
  readonly over: () => boolean;
  readonly end: () => void;
}

/**
 * For a client that has closed its side of the connection. It may wait for answers, but one that has gone looks the same. As with the
 * extension, what it has asked for is done. But a remote does not have to work for a client that may have gone, so dblink calls
 * that begin later get only some time. So does a primary that has nothing left to answer, and should close the connection.
 */
export function watchEnding({ serving, idle, over, end }: EndingSession): void {
  let wasIdle = false;
  const timer = setInterval(() => {
    const isIdle = idle();
    if (serving() || (isIdle && wasIdle)) end();
    wasIdle = isIdle;
    if (over()) clearInterval(timer);
  }, ENDING_MS);
  timer.unref();
}
