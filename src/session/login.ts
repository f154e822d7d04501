import type { ResponseSink } from '../primary/responseQueue.js';
import type { Authenticator } from '../wire/auth/authenticator.js';
import { PLAIN_PASSWORD_REFUSED } from '../wire/auth/authenticator.js';
import { PgError, parseFields } from '../wire/errors.js';
import { authentication, backendKeyData, parameterStatus } from '../wire/messages.js';
import { Authentication, Backend } from '../wire/protocol.js';
import { MessageReader } from '../wire/reader.js';
import type { Session } from './session.js';
import { CLEARTEXT_HINT } from './settings.js';

/** Type and length. */
const HEADER_BYTES = 5;

const CHANNEL_BINDING_SUFFIX = '-PLUS';

/** What both ways to log in are given. */
export interface LoginOptions {
  /** Called when the client is authenticated and may stay. */
  readonly done: () => void;
  /**
   * Whether the primary's mechanisms with channel binding are not offered to the client: certificate binding would bind to the
   * proxy's certificate, not to the primary's. Set where the primary is reached over TLS and the client is not (serve.ts).
   */
  readonly hideChannelBinding: boolean;
  /** Whether the primary must not be sent a password in clear text. */
  readonly refusesCleartext: boolean;
  /** Called when the primary asks for SCRAM. */
  readonly scram?: () => void;
}

const noteFailure = (session: Session, message: Buffer): void => {
  session.loginFailure ??= PgError.from(parseFields(message));
};

/** What both ways to log in do with messages that are not about authentication. @returns whether the client gets the message */
function common(
  session: Session,
  options: LoginOptions,
  { type, message, last }: { readonly type: number; readonly message: Buffer; readonly last: boolean },
): boolean {
  if (type === Backend.backendKeyData) {
    const reader = new MessageReader(message);
    const processId = reader.int32();
    const secret = Buffer.from(reader.bytes(reader.remaining));
    const key = session.issueKey({ processId, secret });
    session.toClient(backendKeyData(key.processId, key.secret));
    return false;
  }
  if (last && type === Backend.readyForQuery) {
    session.opened();
    options.done();
  }
  return true;
}

/** The way `auth: relay`: authentication passes between client and primary, and the proxy knows no password. */
export function relayLogin(session: Session, options: LoginOptions): ResponseSink {
  return {
    passRows: false,
    message(type, message, last) {
      const asked = type === Backend.authentication ? new MessageReader(message).int32() : undefined;
      if (asked === Authentication.sasl) options.scram?.();
      if (asked === Authentication.cleartextPassword && options.refusesCleartext) {
        session.fail(cleartextRefused());
        return false;
      }
      if (type === Backend.errorResponse) noteFailure(session, message);
      if (type !== Backend.authentication || !options.hideChannelBinding) {
        return common(session, options, { type, message, last });
      }
      const offer = withoutChannelBinding(message);
      if (offer === undefined) return true;
      session.toClient(offer);
      return false;
    },
    skipped: () => undefined,
  };
}

/**
 * The primary's SASL offer without the mechanisms that bind to its TLS channel.
 * @returns undefined for any other message, and for an offer that has no such mechanism
 */
function withoutChannelBinding(message: Buffer): Buffer | undefined {
  const reader = new MessageReader(message);
  if (reader.int32() !== Authentication.sasl) return undefined;
  const mechanisms: string[] = [];
  for (let name = reader.cstring('latin1'); name !== ''; name = reader.cstring('latin1'))
    mechanisms.push(name);
  const kept = mechanisms.filter((name) => !name.endsWith(CHANNEL_BINDING_SUFFIX));
  if (kept.length === mechanisms.length) return undefined;
  return authentication(
    Authentication.sasl,
    Buffer.from(`${kept.map((name) => `${name}\0`).join('')}\0`, 'latin1'),
  );
}

/**
 * The way `auth: password`: the proxy asks the client for its password, and authenticates to the primary with it. It uses
 * whatever method the primary asks for, with channel binding where proxy and primary both can.
 * @param makeAuthenticator called when the client has sent its password
 */
export function passwordLogin(
  session: Session,
  options: LoginOptions,
  makeAuthenticator: (password: Buffer) => Authenticator,
): ResponseSink {
  let authenticator: Authenticator | undefined;
  /** The primary's request that waits for the client's password. */
  let waiting: Buffer | undefined;
  /** Answers are computed one after another. What the primary sends meanwhile waits for its turn. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (act: () => void | Promise<void>): void => {
    turn = turn.then(act).catch((error: unknown) => session.fail(asLoginError(error)));
  };
  const answer = async (message: Buffer): Promise<void> => {
    const reply = await authenticator!.respond(message);
    if (reply !== undefined) session.primary.write(reply);
  };

  session.onPassword = (message) => {
    if (waiting === undefined)
      throw new PgError('08P01', 'password was not asked for', { severity: 'FATAL' });
    const end = message.indexOf(0, HEADER_BYTES);
    // As in PostgreSQL. What stands behind the end of the text could be what another reader takes for the password.
    if (end !== message.length - 1)
      throw new PgError('08P01', 'invalid password packet size', { severity: 'FATAL' });
    const password = Buffer.from(message.subarray(HEADER_BYTES, end));
    if (password.length === 0) {
      throw new PgError('28P01', 'empty password returned by client', { severity: 'FATAL' });
    }
    authenticator = makeAuthenticator(password);
    const request = waiting;
    waiting = undefined;
    inTurn(() => answer(request));
    return false;
  };

  const forwardParameter = session.parameterChanged;
  session.parameterChanged = (name, value) => {
    inTurn(() => session.toClient(parameterStatus(name, value)));
    return false;
  };

  const authenticate = async (message: Buffer): Promise<void> => {
    const code = new MessageReader(message).int32();
    if (code === Authentication.ok) {
      // Without a request for a password (trust, peer, a certificate) there is nothing to check.
      if (authenticator !== undefined) await answer(message);
      session.expectsPassword = false;
      session.toClient(message);
    } else if (authenticator === undefined) {
      // The client is not asked for a password that would not be used.
      if (code === Authentication.cleartextPassword && options.refusesCleartext) throw cleartextRefused();
      waiting = message;
      session.expectsPassword = true;
      session.toClient(authentication(Authentication.cleartextPassword));
    } else await answer(message);
  };

  return {
    passRows: false,
    message(type, message, last) {
      const copy = Buffer.from(message);
      if (type === Backend.errorResponse) {
        noteFailure(session, copy);
        // The primary says nothing after this. An answer that is still being computed has become pointless.
        session.toClient(copy);
        session.end('server_ended');
        return false;
      }
      inTurn(async () => {
        if (type === Backend.authentication) return authenticate(copy);
        if (!common(session, options, { type, message: copy, last })) return;
        session.toClient(copy);
        if (!last || type !== Backend.readyForQuery) return;
        session.parameterChanged = forwardParameter;
        session.requestDone();
      });
      return false;
    },
    skipped: () => undefined,
  };
}

const cleartextRefused = (): PgError =>
  new PgError('28000', `the proxy could not authenticate to the primary: ${PLAIN_PASSWORD_REFUSED}`, {
    severity: 'FATAL',
    hint: CLEARTEXT_HINT,
  });

const asLoginError = (error: unknown): PgError =>
  error instanceof PgError
    ? error
    : new PgError('28000', `the proxy could not authenticate to the primary: ${(error as Error).message}`, {
        severity: 'FATAL',
        ...((error as Error).message === PLAIN_PASSWORD_REFUSED ? { hint: CLEARTEXT_HINT } : {}),
      });

/** For `auth: password`, which needs TLS to the client: refuses other clients before they send a password (28000). */
export const passwordNeedsTls = (): PgError =>
  new PgError('28000', 'this proxy takes passwords over TLS connections only', {
    severity: 'FATAL',
    hint: 'Connect with sslmode=require or stronger.',
  });
