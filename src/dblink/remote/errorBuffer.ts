/**
 * The error message that libpq keeps for a connection (behaviour reference, section 3.3). A new query empties it. While a
 * query runs, libpq 14 and later add each message on a line of its own, as it comes. Earlier versions keep only the last
 * one.
 */
export class ErrorBuffer {
  /** A byte string; empty means OK. */
  text = '';

  /** @param libpqMajor major version of the libpq to imitate */
  constructor(readonly libpqMajor: number) {}

  clear(): void {
    this.text = '';
  }

  append(message: string): void {
    this.text = this.libpqMajor < 14 || this.text === '' ? message : `${this.text}\n${message}`;
  }

  /**
   * Called when a result is handed out. Its error was noted when it came. libpq before 14 notes it again now, or empties
   * the buffer if the result has none.
   * @param message the result's error; '' when it has none
   */
  handOut(message: string): void {
    if (this.libpqMajor < 14) this.text = message;
  }

  /**
   * Notes why a query cannot be sent.
   * @param during whether an earlier query has not ended; since libpq 15 the buffer then still belongs to that query
   * @returns the whole text of the buffer
   */
  refuse(reason: string, during: boolean): string {
    if (!during || this.libpqMajor < 15) this.clear();
    this.append(reason);
    return this.text;
  }
}
