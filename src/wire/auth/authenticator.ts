import { Authentication } from '../protocol.js';
import { MessageReader } from '../reader.js';
import {
  ANCIENT_METHODS,
  type AuthenticationContext,
  AuthenticationError,
  type AuthenticationMethod,
  type AuthenticatorOptions,
  METHODS,
} from './methods.js';
import { openGaussMethod } from './openGauss.js';
import type { ScramKeys } from './scram.js';

export {
  type AuthenticationContext,
  AuthenticationError,
  type AuthenticationMethod,
  type AuthenticatorOptions,
  PLAIN_PASSWORD_REFUSED,
} from './methods.js';

/** The meaning of require_auth: which methods a server may use, and whether it must authenticate the client at all. */
export interface AuthenticationPolicy {
  /** A server that lets the client in without authentication is refused. */
  readonly authRequired: boolean;
  /** @param method its name in require_auth */
  allows(method: string): boolean;
}

const POLICY_METHODS: ReadonlySet<string> = new Set([
  'password',
  'md5',
  'gss',
  'sspi',
  'scram-sha-256',
  'oauth',
  'none',
]);

/**
 * Reads libpq's require_auth (PostgreSQL documentation, "Parameter Key Words"). Undefined or empty allows everything.
 * @throws AuthenticationError with libpq's text for a value that is not valid
 */
export function parseRequireAuth(value: string | undefined): AuthenticationPolicy {
  if (value === undefined || value === '') return { authRequired: false, allows: () => true };
  const parts = value.split(',');
  const negated = parts[0]!.startsWith('!');
  const named = new Set<string>();
  for (const part of parts) {
    const method = part.startsWith('!') ? part.slice(1) : part;
    if (part.startsWith('!') !== negated) {
      throw new AuthenticationError(
        negated
          ? `require_auth method "${part}" cannot be mixed with negative methods`
          : `negative require_auth method "${part}" cannot be mixed with non-negative methods`,
      );
    }
    if (!POLICY_METHODS.has(method)) throw new AuthenticationError(`invalid require_auth value: "${method}"`);
    if (named.has(method)) {
      throw new AuthenticationError(`require_auth method "${part}" is specified more than once`);
    }
    named.add(method);
  }
  return {
    authRequired: named.has('none') === negated,
    allows: (method) => named.has(method) !== negated,
  };
}

/**
 * Answers a server's authentication requests, one after the other, until AuthenticationOk. It knows no socket. So it serves
 * the proxy's own connections as well as a login to the primary that the proxy carries out for a client.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #policy: AuthenticationPolicy;
  readonly #context: AuthenticationContext;
  #clientFinished = false;
  #done = false;
  #passwordUsed = false;

  /** @throws AuthenticationError for a requireAuth that is not valid */
  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#policy = parseRequireAuth(options.requireAuth);
    const { user, password } = options;
    this.#context = {
      user: typeof user === 'string' ? Buffer.from(user, 'latin1') : user,
      options,
      scram: undefined,
      openGauss: false,
      password: () => {
        if (password === undefined || password.length === 0) {
          throw new AuthenticationError('fe_sendauth: no password supplied');
        }
        return password;
      },
      finished: () => {
        this.#clientFinished = true;
      },
      usedPassword: () => {
        this.#passwordUsed = true;
      },
    };
  }

  /** Whether AuthenticationOk has come and was acceptable. */
  get done(): boolean {
    return this.#done;
  }

  /** The keys of the SCRAM exchange, if the server asked for SCRAM and the exchange has succeeded. */
  get scramKeys(): ScramKeys | undefined {
    return this.#context.scram?.keys;
  }

  /** Whether the server asked for the password (cleartext, md5, SCRAM or openGauss's methods) and got it or a proof of it. */
  get passwordUsed(): boolean {
    return this.#passwordUsed;
  }

  /**
   * Answers one whole AuthenticationXXX message, header included. Not to be called again before the promise has settled.
   * @returns the message to send, if there is one to send
   * @throws AuthenticationError (or ScramError, PgError 08P01) with libpq's text; the reason of the key owner's signal. The
   *   connection must then be closed.
   */
  async respond(message: Buffer): Promise<Buffer | undefined> {
    const reader = new MessageReader(message);
    const code = reader.int32();
    const body = message.subarray(reader.offset);
    const method = openGaussMethod(code, body, this.#context.scram !== undefined) ?? METHODS.get(code);
    this.#check(code, method);
    if (code === Authentication.ok) {
      this.#done = true;
      return undefined;
    }
    if (method === undefined) {
      throw new AuthenticationError(
        ANCIENT_METHODS.get(code) ?? `authentication method ${code >>> 0} not supported`,
      );
    }
    return method.respond(body, this.#context);
  }

  /** Refuses requests that the caller's settings forbid, before anything secret is sent. */
  #check(code: number, method: AuthenticationMethod | undefined): void {
    const { requireAuth, channelBinding } = this.#options;
    let reason: string | undefined;
    if (code === Authentication.ok) {
      if (this.#policy.authRequired && !this.#clientFinished) {
        reason = 'server did not complete authentication';
      }
    } else if (requireAuth && !(method !== undefined && this.#policy.allows(method.name))) {
      reason = method?.description ?? 'server requested an unknown authentication type';
    }
    if (reason !== undefined) {
      throw new AuthenticationError(`authentication method requirement "${requireAuth}" failed: ${reason}`);
    }

    const { scram } = this.#context;
    if (channelBinding === 'require') {
      if (code === Authentication.ok) {
        if (scram?.verified !== true) {
          throw new AuthenticationError(
            'channel binding required, but server authenticated client without channel binding',
          );
        }
      } else if (method?.name !== 'scram-sha-256') {
        throw new AuthenticationError(
          "channel binding required but not supported by server's authentication request",
        );
      }
    }
    // Stricter than libpq, which lets this pass: a server that breaks off SCRAM has not proved that it knows the password.
    if (code === Authentication.ok && scram !== undefined && !scram.verified) {
      throw new AuthenticationError('server did not complete the SCRAM exchange');
    }
  }
}
