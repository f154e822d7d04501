/**
 * The error message that libpq keeps for a connection (behaviour reference, section 3.3), a byte string; empty is OK.
 * A new query empties it. Within one, libpq 14 and later add each message on a line of its own, as it comes; earlier ones
 * keep the last.
 */
export class ErrorBuffer {
  text = '';

  /** @param libpqMajor of the libpq to be like */
  constructor(readonly libpqMajor: number) {}

  clear(): void {
    this.text = '';
  }

  append(message: string): void {
    this.text = this.libpqMajor < 14 || this.text === '' ? message : `${this.text}\n${message}`;
  }

  /** A result is handed out, whose error was noted when it came, or which has none (''): libpq before 14 notes that again. */
  handOut(message: string): void {
    if (this.libpqMajor < 14) this.text = message;
  }

  /**
   * Notes why a query cannot be sent.
   * @param during whether an earlier query has not ended: since libpq 15 the buffer is still that one's
   * @returns what libpq then has to say: all of it
   */
  refuse(reason: string, during: boolean): string {
    if (!during || this.libpqMajor < 15) this.clear();
    this.append(reason);
    return this.text;
  }
}
