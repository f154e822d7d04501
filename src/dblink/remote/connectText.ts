/** What libpq 14 and later put in front of every failed attempt, and the hint they add when nobody answers. */
const ATTEMPT =
  /^connection to server (?:at "([^"\n]*)"(?: \(([^)\n]*)\))?, port (\d+)|on socket "([^"\n]*)") failed: (.*)(\n\tIs the server running .*\?)?$/gm;

/**
 * Turns libpq's text of a failed connection into that of libpq before 14. The older text names the server only when
 * nobody answers, and in other words.
 * @param text as of libpq 14, a byte string; each attempt begins a line
 */
export function connectTextBefore14(text: string): string {
  return text.replace(
    ATTEMPT,
    (
      _,
      host: string,
      address: string | undefined,
      port: string,
      socket: string | undefined,
      reason: string,
      unanswered: string | undefined,
    ) => {
      if (unanswered === undefined) return reason;
      const where =
        socket === undefined
          ? `on host "${host}"${address === undefined ? '' : ` (${address})`} and accepting\n\tTCP/IP connections on port ${port}?`
          : `locally and accepting\n\tconnections on Unix domain socket "${socket}"?`;
      return `could not connect to server: ${reason}\n\tIs the server running ${where}`;
    },
  );
}
