import { type ByteString, byteString, bytesOf, textOf } from './bytes.js';

/**
 * A connection string that cannot be parsed, or whose options contradict each other.
 *
 * dblink reports it as SQLSTATE 08001 `could not establish connection` with `message` as DETAIL
 * (behaviour reference 3.1 and 10).
 */
export class ConninfoError extends Error {
  override readonly name = 'ConninfoError';
  readonly sqlstate = '08001';

  /** libpq's text, byte for byte: it quotes the user's bytes, in whatever encoding they came. */
  readonly messageBytes: Buffer;

  /**
   * The message with everything quoted from the connection string replaced by `…`. libpq quotes whole URIs, passwords
   * included. So `message` is only for the session that sent the string, and this is for the log.
   */
  readonly loggable: string;

  constructor(message: ByteString, loggable: string) {
    super(textOf(message));
    this.messageBytes = bytesOf(message);
    this.loggable = loggable;
  }
}

/** A part of a message that comes from this program, not from the user's string, and may be logged. */
export interface Plain {
  readonly plain: string;
}

/** Marks a keyword or a path of the proxy's own as loggable inside a message. */
export function plain(text: string): Plain {
  return { plain: text };
}

/**
 * Template tag that makes an error from its message. Numbers and `plain(…)` parts appear in both forms of the message.
 * Other values appear in the message itself, and never in its loggable form.
 */
export function conninfoError(
  literals: TemplateStringsArray,
  ...values: readonly (ByteString | number | Plain)[]
): ConninfoError {
  let message = literals[0] ?? '';
  let loggable = message;
  values.forEach((value, index) => {
    const literal = literals[index + 1] ?? '';
    const shown = typeof value === 'object' ? value.plain : String(value);
    message += shown + literal;
    loggable += (typeof value === 'string' ? '…' : shown) + literal;
  });
  return new ConninfoError(message, loggable);
}

/** Several errors as libpq reports them, one per line. */
export function joinErrors(errors: readonly ConninfoError[]): ConninfoError {
  return new ConninfoError(
    errors.map((error) => byteString(error.messageBytes)).join('\n'),
    errors.map((error) => error.loggable).join('; '),
  );
}
