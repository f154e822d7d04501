import type { PrimaryLink } from '../primary/primaryLink.js';
import { type Expected, FORWARD } from '../primary/responseQueue.js';
import { PgError } from '../wire/errors.js';
import type { Delivery } from '../wire/framer.js';
import { Frontend } from '../wire/protocol.js';

/** What is to be known of a session for its client's messages. */
interface DeliveringSession {
  readonly primary: PrimaryLink;
  readonly authenticated: boolean;
  /** Whether the client has been asked for its password, before which nothing else is taken. */
  readonly expectsPassword: boolean;
  /** Whether Bind, Describe, Execute and Close are to be seen, too. */
  readonly tracking: boolean;
  /** Called for a message upon which a server may close the connection without a word. */
  leaving(why: 'client_terminated' | 'client_violation'): void;
  /** Ends the session without a message to the client. */
  end(reason: 'client_violation'): void;
}

/** Decides how the messages of a session's client are delivered, and announces those that pass to the primary. See Framer. */
export class Deliveries {
  /** @param statementBytes the longest Query or Parse that is looked at, with its header */
  constructor(
    private readonly session: DeliveringSession,
    private readonly statementBytes: number,
  ) {}

  /** See FrameHandler.head. @throws PgError 08P01 for anything but a password where one is expected */
  of(type: number, length: number): Delivery {
    const { session } = this;
    const { primary, authenticated } = session;
    if (type === Frontend.password && !authenticated) return 'whole';
    if (session.expectsPassword) throw noPassword(type);
    if (type === Frontend.password) return this.refused(type, length) ?? 'end';
    // A client that is not authenticated yet may occupy neither the parser nor so much memory.
    const limit = authenticated ? Number.POSITIVE_INFINITY : EARLY_STATEMENT_BYTES;
    switch (type) {
      case Frontend.query:
      case Frontend.parse:
        if (length <= Math.min(limit, this.#inspectedBytes(type))) return 'whole';
        if (authenticated) return 'head';
        primary.expect(forwarded(type));
        break;
      case Frontend.bind:
      case Frontend.describe:
      case Frontend.execute:
      case Frontend.close:
        if (session.tracking) return length <= this.#inspectedBytes(type) ? 'whole' : 'head';
        primary.expect(forwarded(type));
        break;
      case Frontend.sync:
        primary.expect(FORWARD.sync);
        break;
      case Frontend.flush:
        // A Flush with a body is answered with an error, like any other malformed request of the extended protocol.
        if (length > EMPTY_MESSAGE_BYTES) primary.expect(FORWARD.flush);
        break;
      case Frontend.terminate:
        session.leaving('client_terminated');
        break;
      case Frontend.functionCall:
        primary.expect(FORWARD.functionCall);
        break;
      case Frontend.copyDone:
      case Frontend.copyFail:
        primary.expect(FORWARD.copyEnd);
        break;
    }
    return 'pass';
  }

  /**
   * The client sends what is no message. What becomes of it is the primary's to say, since versions differ. For a type that it does
   * not know, PostgreSQL has an error, upon a bad length it closes the connection without a word. So it gets the header, behind all
   * that was sent before, and nothing else. See ClientEvents.
   */
  refused(type: number, length: number | undefined): Delivery | undefined {
    const { session } = this;
    if (session.expectsPassword) {
      if (type !== Frontend.password) throw noPassword(type);
      session.end('client_violation');
      return 'end';
    }
    const { majorVersion, queue } = session.primary;
    // Before PostgreSQL 14 a server limits no length, and reads the whole of what does not belong into COPY data.
    if (majorVersion > 0 && majorVersion < 14) {
      if (length === undefined) return queue.copyIn ? undefined : 'end';
      if (length >= EMPTY_MESSAGE_BYTES && CLIENT_TYPES.has(type)) return this.of(type, length);
      if (length >= EMPTY_MESSAGE_BYTES && queue.copyIn) return 'pass';
    }
    session.leaving('client_violation');
    return 'end';
  }

  /** Whether a message is too long to be looked at, so that only its head has been handed on. */
  isTooLong(type: number, message: Buffer): boolean {
    return message.readUInt32BE(1) + 1 > this.#inspectedBytes(type);
  }

  /** The longest message of a type that is looked at, with its header. */
  #inspectedBytes(type: number): number {
    return type === Frontend.query || type === Frontend.parse ? this.statementBytes : INSPECTED_BIND_BYTES;
  }
}

/** What is expected of the primary for a Query, Parse, Bind, Describe, Execute or Close that passes. */
export const forwarded = (type: number): Expected => FORWARD[INTERCEPTED[type] ?? 'query'];

/** The kinds of the requests that the interceptor is shown. */
const INTERCEPTED: Readonly<Record<number, keyof typeof FORWARD>> = {
  [Frontend.query]: 'query',
  [Frontend.parse]: 'parse',
  [Frontend.bind]: 'bind',
  [Frontend.describe]: 'describe',
  [Frontend.execute]: 'execute',
  [Frontend.close]: 'close',
};

/** A message that is nothing but its header. */
export const EMPTY_MESSAGE_BYTES = 5;

/**
 * A Bind, Describe, Execute or Close with more bytes is not looked at. It would have to be kept whole, and arguments of dblink calls
 * are not that long.
 */
const INSPECTED_BIND_BYTES = 64 * 1024 * 1024;

/** The longest statement that is inspected before the client is authenticated, when it comes together with the startup packet. */
const EARLY_STATEMENT_BYTES = 10_000;

/** The types of messages that an authenticated client sends. */
const CLIENT_TYPES: ReadonlySet<number> = new Set(
  Object.values(Frontend).filter((type) => type !== Frontend.password),
);

/** As PostgreSQL says it. */
const noPassword = (type: number): PgError =>
  new PgError('08P01', `expected password response, got message type ${type}`, { severity: 'FATAL' });
