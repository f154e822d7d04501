/** Decides which texts a remote gets. */
export interface TextGuard {
  /** Whether the remote's session cannot write, whoever uses it. */
  readonly always: boolean;

  /** A call takes the connection. @param readOnly whether it belongs to a read-only transaction of the client's */
  begin(readOnly: boolean): void;

  /**
   * Permits a text, or throws. To be called right before it is sent, while nothing runs on the connection.
   * @throws PgError 25006; the signal's reason
   */
  admit(sql: Buffer, signal: AbortSignal): Promise<void>;
}
