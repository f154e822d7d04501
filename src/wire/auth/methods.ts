import { createHash } from 'node:crypto';
import { Authentication, Frontend } from '../protocol.js';
import { MessageReader } from '../reader.js';
import { channelBindingHash } from '../tls/certificate.js';
import { MessageWriter } from '../writer.js';
import type { KeyOwner } from './keyDerivation.js';
import { type ChannelBindingFlag, ScramClient, type ScramKeys } from './scram.js';

/** Authentication failed on the client's side; the message is libpq's text. */
export class AuthenticationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AuthenticationError';
  }
}

export interface AuthenticatorOptions {
  /** As in the startup packet, in its bytes: md5 hashes it with the password. */
  readonly user: Buffer | string;
  /** Undefined or empty: none. */
  readonly password?: Buffer | undefined;
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined;
  /** libpq's require_auth: method names separated by commas, each with `!` in front or none. */
  readonly requireAuth?: string | undefined;
  /** The connection is encrypted. */
  readonly encrypted?: boolean | undefined;
  /** Whether the password itself may be sent where the connection is not encrypted. Default: yes, as in libpq. */
  readonly plainPassword?: boolean | undefined;
  /** The server's certificate in DER, for channel binding. */
  readonly tlsPeerCertificate?: Buffer | undefined;
  readonly maxScramIterations?: number | undefined;
  /** For whom keys are derived from the password. */
  readonly keyOwner?: KeyOwner | undefined;
  /** Used for SCRAM in the place of the password (libpq's scram_client_key and scram_server_key). */
  readonly scramKeys?: ScramKeys | undefined;
}

/** What a method may use and note while it answers a request. */
export interface AuthenticationContext {
  readonly user: Buffer;
  readonly options: AuthenticatorOptions;
  /** @throws AuthenticationError when there is none */
  password(): Buffer;
  /** The client has done its part, as far as it can tell (require_auth). */
  finished(): void;
  /** The answer contains the password or a proof of it. */
  usedPassword(): void;
  /** The exchange in progress that spans several requests. */
  scram: ScramClient | undefined;
  /** A request of openGauss's own has been answered (openGauss.ts). */
  openGauss: boolean;
}

/** How one kind of authentication request is answered. */
export interface AuthenticationMethod {
  /** Its name in require_auth. */
  readonly name: string;
  /** `server requested …`, for require_auth's complaint. */
  readonly description: string;
  /** @param body of the request after its code; @returns the message to send, if any */
  respond(body: Buffer, context: AuthenticationContext): Buffer | undefined | Promise<Buffer | undefined>;
}

/** Whoever answers at an address can ask for a password; only TLS tells who that is. */
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

/** Chooses between the mechanisms on offer (RFC 5802 section 6) and begins. */
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

/** PostgreSQL's methods by the code of their request (protocol documentation, AuthenticationXXX). */
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

/** Requests of protocol versions long gone, which libpq still names. */
export const ANCIENT_METHODS: ReadonlyMap<number, string> = new Map([
  [1, 'Kerberos 4 authentication not supported'],
  [2, 'Kerberos 5 authentication not supported'],
  [4, 'Crypt authentication not supported'],
  [6, 'SCM_CRED authentication method not supported'],
]);

/** The mechanism names of an AuthenticationSASL message: zero-terminated, an empty one at the end. */
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
