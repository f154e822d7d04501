import type { Authenticator } from '../auth/authenticator.js';
import { ServerViolation } from '../connectErrors.js';
import { type ErrorFields, parseFields } from '../errors.js';
import { Authentication, Backend, protocolVersion } from '../protocol.js';
import { MessageReader } from '../reader.js';
import { MessageWriter } from '../writer.js';
import { unexpected } from './query.js';

/** Longest authentication request that libpq accepts, its length field included. */
const MAX_AUTHENTICATION_BYTES = 2000;
/** Longest error that libpq accepts before authentication is complete. */
const MAX_EARLY_ERROR_BYTES = 30_000;
/** Longest secret of a cancel key (protocol 3.2). */
const MAX_KEY_BYTES = 256;

/** What a message of the startup leads to. */
export type StartupStep =
  | { readonly kind: 'continue' }
  /** An authentication request is being answered. Nothing more must be read until `reply` has settled; it is to be sent. */
  | { readonly kind: 'answer'; readonly reply: Promise<Buffer | undefined> }
  | { readonly kind: 'refused'; readonly fields: ErrorFields }
  | { readonly kind: 'ready'; readonly status: number };

const CONTINUE: StartupStep = { kind: 'continue' };

/**
 * A StartupMessage (protocol documentation, "Start-up").
 * @param parameters names and values in this order; a string is a byte string (one character for each byte)
 * @throws TypeError for a character that is no byte, and for a zero byte, which would end the value early
 */
export function startupMessage(
  parameters: readonly (readonly [string, string | Buffer])[],
  version = protocolVersion(3, 0),
): Buffer {
  const writer = new MessageWriter().int32(version);
  for (const [name, value] of parameters) {
    const valid = typeof value === 'string' ? !/[^\x01-\xff]/.test(value) : !value.includes(0);
    if (!valid || /[^\x01-\xff]/.test(name)) {
      throw new TypeError(`startup parameter "${name}" contains a zero byte or a character that is no byte`);
    }
    writer.cstring(name, 'latin1').cstring(value, 'latin1');
  }
  return writer.byte(0).end();
}

const shown = (version: number): string => `${version >>> 16}.${version & 0xffff}`;

/**
 * The startup after the StartupMessage: authentication, then the messages up to the first ReadyForQuery. It knows no socket.
 * Notices, notifications and ParameterStatus are handled elsewhere (Inbound).
 */
export class StartupExchange {
  readonly #authenticator: Authenticator;
  #processId = 0;
  #secretKey: Buffer | undefined;

  /** @param minVersion the least protocol version that will do, as protocolVersion(major, minor) */
  constructor(
    authenticator: Authenticator,
    private readonly minVersion = protocolVersion(3, 0),
  ) {
    this.#authenticator = authenticator;
  }

  /** Whether AuthenticationOk has come. */
  get authenticated(): boolean {
    return this.#authenticator.done;
  }

  /** From BackendKeyData; 0 when the server sent none. */
  get processId(): number {
    return this.#processId;
  }

  /** From BackendKeyData; undefined when the server sent none. */
  get secretKey(): Buffer | undefined {
    return this.#secretKey;
  }

  /**
   * Checks a message's type and length before anything is read or allocated for it. Once authentication is complete it checks
   * nothing.
   * @param length the message's own length field
   * @throws ServerViolation
   */
  head(type: number, length: number): void {
    if (this.authenticated) return;
    switch (type) {
      case Backend.authentication:
        if (length < 8 || length > MAX_AUTHENTICATION_BYTES) {
          throw new ServerViolation('received invalid authentication request');
        }
        return;
      case Backend.errorResponse:
        if (length < 8 || length > MAX_EARLY_ERROR_BYTES) {
          throw new ServerViolation('received invalid error message');
        }
        return;
      case Backend.negotiateProtocolVersion:
        if (length < 8 || length > MAX_EARLY_ERROR_BYTES) {
          throw new ServerViolation('received invalid protocol negotiation message');
        }
        return;
      default:
        throw new ServerViolation(
          `expected authentication request from server, but received ${String.fromCharCode(type)}`,
        );
    }
  }

  /** Takes one whole message, header included. @throws ServerViolation, PgError 08P01 */
  message(type: number, message: Buffer): StartupStep {
    switch (type) {
      case Backend.errorResponse:
        return { kind: 'refused', fields: parseFields(message) };
      // The server has an older minor version or does not know an option. The proxy itself needs nothing that 3.0 does not have.
      case Backend.negotiateProtocolVersion: {
        const version = message.readInt32BE(5);
        // What servers and poolers send here differs: it counts only for who wants more than 3.0.
        if (version < this.minVersion && this.minVersion > protocolVersion(3, 0))
          throw new ServerViolation(
            `server only supports protocol version ${shown(version)}, but "min_protocol_version" was set to ${shown(this.minVersion)}`,
          );
        return CONTINUE;
      }
      case Backend.authentication: {
        if (this.authenticated) throw unexpected(type);
        // The answer may be computed when the bytes of the message have been reused already, so they are copied.
        const reply = this.#authenticator.respond(Buffer.from(message));
        // AuthenticationOk needs no answer, and the rest of the startup usually comes in the same packet.
        if (message.readInt32BE(5) === Authentication.ok && this.authenticated) return CONTINUE;
        return { kind: 'answer', reply };
      }
      case Backend.backendKeyData: {
        const reader = new MessageReader(message);
        this.#processId = reader.int32();
        if (reader.remaining > MAX_KEY_BYTES)
          throw new ServerViolation('received invalid BackendKeyData message');
        this.#secretKey = Buffer.from(reader.bytes(reader.remaining));
        return CONTINUE;
      }
      case Backend.readyForQuery:
        return { kind: 'ready', status: message[5] ?? 0 };
      default:
        throw new ServerViolation('unexpected message from server during startup');
    }
  }
}

/**
 * A server_version as the number that libpq's PQserverVersion returns: 150018 for `15.18 (Debian …)`, 90603 for `9.6.3`,
 * 160000 for `16devel`, 0 when it is not known.
 */
export function serverVersionNumber(version: string | undefined): number {
  const match = /^\s*(\d+)(?:\.(\d+)(?:\.(\d+))?)?/.exec(version ?? '');
  if (match === null) return 0;
  const [major, minor, revision] = match.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
  ];
  return major >= 10 ? major * 10000 + minor : (major * 100 + minor) * 100 + revision;
}
