import { createHash } from 'node:crypto';
import { Authentication, Frontend } from '../protocol.js';
import { MessageReader } from '../reader.js';
import { channelBindingHash } from '../tls/certificate.js';
import { MessageWriter } from '../writer.js';
import type { KeyOwner } from './keyDerivation.js';
import { type ChannelBindingFlag, ScramClient, type ScramKeys } from './scram.js';

/** Authentication failed on the client's side. The message is libpq's text. */
export class AuthenticationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AuthenticationError';
  }
}

/** With what an Authenticator logs in, and what it accepts of the server. */
export interface AuthenticatorOptions {
  /** The user's name in the bytes of the startup packet, because md5 hashes it with the password. A string is a byte string. */
  readonly user: Buffer | string;
  /** Undefined or empty: none. */
  readonly password?: Buffer | undefined;
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined;
  /** libpq's require_auth: method names separated by commas. Either all of them or none have `!` in front. */
  readonly requireAuth?: string | undefined;
  /** The connection is encrypted. */
  readonly encrypted?: boolean | undefined;
  /** Whether the password itself may be sent on a connection that is not encrypted. Default: yes, as in libpq. */
  readonly plainPassword?: boolean | undefined;
  /** The server's certificate in DER, for channel binding. */
  readonly tlsPeerCertificate?: Buffer | undefined;
  /** The largest number of iterations that a server may ask for. Default: DEFAULT_MAX_SCRAM_ITERATIONS. */
  readonly maxScramIterations?: number | undefined;
  /** For whom keys are derived from the password. */
  readonly keyOwner?: KeyOwner | undefined;
  /** Used for SCRAM instead of the password (libpq's scram_client_key and scram_server_key). */
  readonly scramKeys?: ScramKeys | undefined;
}

/** What a method may use and note while it answers a request. */
export interface AuthenticationContext {
  readonly user: Buffer;
  readonly options: AuthenticatorOptions;
  /** The password. @throws AuthenticationError when there is none */
  password(): Buffer;
  /** Notes that the client has done its part of the authentication, as far as it can tell (for require_auth). */
  finished(): void;
  /** Notes that the answer contains the password or a proof of it. */
  usedPassword(): void;
  /** The SCRAM exchange, which spans several requests, once it has begun. */
  scram: ScramClient | undefined;
  /** Whether a request that only openGauss sends has come already (openGauss.ts). */
  openGauss: boolean;
}

/** How one kind of authentication request is answered. */
export interface AuthenticationMethod {
  /** Its name in require_auth. */
  readonly name: string;
  /** `server requested …`, for the error message when require_auth does not allow the method. */
  readonly description: string;
  /**
   * @param body of the request after its code
   * @returns the message to send, if any
   * @throws AuthenticationError, ScramError, PgError 08P01
   */
  respond(body: Buffer, context: AuthenticationContext): Buffer | undefined | Promise<Buffer | undefined>;
}

/**
 * The message of the AuthenticationError for a password that is not sent (`plainPassword`). Anybody who answers at an
 * address can ask for a password, and only TLS tells who that is.
 */
export const PLAIN_PASSWORD_REFUSED =
  'server requested a cleartext password on a connection without TLS, and it was not sent';

const passwordMessage = (password: Buffer): Buffer =>
  new MessageWriter(Frontend.password).cstring(password).end();

const md5 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('md5');
  for (const part of parts) hash.update(part);
  return Buffer.from(hash.digest('hex'), 'latin1');
};

const cleartext: AuthenticationMethod = {
  name: 'password',
  description: 'server requested a cleartext password',
  respond(_body, context) {
    const { encrypted = false, plainPassword = true } = context.options;
    if (!encrypted && !plainPassword) throw new AuthenticationError(PLAIN_PASSWORD_REFUSED);
    const password = context.password();
    context.usedPassword();
    context.finished();
    return passwordMessage(password);
  },
};

const md5Password: AuthenticationMethod = {
  name: 'md5',
  description: 'server requested a hashed password',
  respond(body, context) {
    if (body.length < 4) throw new AuthenticationError('received invalid authentication request');
    const inner = md5(context.password(), context.user);
    context.usedPassword();
    context.finished();
    return passwordMessage(Buffer.concat([Buffer.from('md5'), md5(inner, body.subarray(0, 4))]));
  },
};

/** Chooses one of the mechanisms that the server offers (RFC 5802 section 6) and begins the exchange. */
const sasl: AuthenticationMethod = {
  name: 'scram-sha-256',
  description: 'server requested SASL authentication',
  respond(body, context) {
    const { channelBinding = 'prefer', encrypted = false, tlsPeerCertificate } = context.options;
    if (channelBinding === 'require' && !encrypted) {
      throw new AuthenticationError('channel binding required, but SSL not in use');
    }
    if (context.scram !== undefined) throw new AuthenticationError('duplicate SASL authentication request');
    const offer = mechanisms(body);
    if (offer.includes('SCRAM-SHA-256-PLUS') && !encrypted) {
      throw new AuthenticationError(
        'server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection',
      );
    }
    const supported = encrypted && channelBinding !== 'disable';
    const plus = supported && offer.includes('SCRAM-SHA-256-PLUS');
    if (!plus && !offer.includes('SCRAM-SHA-256')) {
      throw new AuthenticationError("none of the server's SASL authentication mechanisms are supported");
    }
    if (channelBinding === 'require' && !plus) {
      throw new AuthenticationError(
        'channel binding is required, but server did not offer an authentication method that supports channel binding',
      );
    }
    const secret = context.options.scramKeys ?? context.password();
    const binding: ChannelBindingFlag = plus
      ? { flag: 'p', data: endPoint(tlsPeerCertificate) }
      : { flag: supported ? 'y' : 'n' };
    context.scram = new ScramClient({
      secret,
      binding,
      maxIterations: context.options.maxScramIterations,
      owner: context.options.keyOwner,
    });
    const first = context.scram.first();
    return new MessageWriter(Frontend.password)
      .cstring(plus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256')
      .value(first)
      .end();
  },
};

const saslContinue: AuthenticationMethod = {
  ...sasl,
  async respond(body, context) {
    if (context.scram === undefined) {
      throw new AuthenticationError(
        'fe_sendauth: invalid authentication request from server: AUTH_REQ_SASL_CONT without AUTH_REQ_SASL',
      );
    }
    const final = await context.scram.final(body);
    context.usedPassword();
    return new MessageWriter(Frontend.password).bytes(final).end();
  },
};

const saslFinal: AuthenticationMethod = {
  ...sasl,
  respond(body, context) {
    if (context.scram === undefined) {
      throw new AuthenticationError(
        'fe_sendauth: invalid authentication request from server: AUTH_REQ_SASL_CONT without AUTH_REQ_SASL',
      );
    }
    context.scram.verify(body);
    context.finished();
    return undefined;
  },
};

const unsupported = (name: string, description: string, message: string): AuthenticationMethod => ({
  name,
  description,
  respond() {
    throw new AuthenticationError(message);
  },
});

const gss = unsupported(
  'gss',
  'server requested GSSAPI authentication',
  'GSSAPI authentication not supported',
);

/** PostgreSQL's methods by the codes of their requests (protocol documentation, AuthenticationXXX). */
export const METHODS: ReadonlyMap<number, AuthenticationMethod> = new Map([
  [Authentication.cleartextPassword, cleartext],
  [Authentication.md5Password, md5Password],
  [Authentication.gss, gss],
  [Authentication.gssContinue, gss],
  [
    Authentication.sspi,
    unsupported('sspi', 'server requested SSPI authentication', 'SSPI authentication not supported'),
  ],
  [Authentication.sasl, sasl],
  [Authentication.saslContinue, saslContinue],
  [Authentication.saslFinal, saslFinal],
]);

/** libpq's error messages for requests of old protocol versions, which it still names, by the code of the request. */
export const ANCIENT_METHODS: ReadonlyMap<number, string> = new Map([
  [1, 'Kerberos 4 authentication not supported'],
  [2, 'Kerberos 5 authentication not supported'],
  [4, 'Crypt authentication not supported'],
  [6, 'SCM_CRED authentication method not supported'],
]);

/** The mechanism names of an AuthenticationSASL message: each is zero-terminated, and an empty one ends the list. */
function mechanisms(body: Buffer): readonly string[] {
  const reader = new MessageReader(body, 0);
  const names: string[] = [];
  try {
    for (let name = reader.cstring('latin1'); name !== ''; name = reader.cstring('latin1')) names.push(name);
  } catch {
    throw new AuthenticationError(
      'fe_sendauth: invalid authentication request from server: invalid list of authentication mechanisms',
    );
  }
  return names;
}

function endPoint(certificate: Buffer | undefined): Buffer {
  const hash = certificate === undefined ? undefined : channelBindingHash(certificate);
  if (hash === undefined) {
    throw new AuthenticationError('could not determine server certificate signature algorithm');
  }
  return hash;
}
