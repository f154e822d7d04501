import type { ByteString } from './bytes.js';
import { conninfoError } from './error.js';

/** Ways in which a server may let a client in; `none` is to ask for nothing (trust, cert, peer). */
const AUTH_METHODS = ['none', 'password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth'] as const;
export type AuthMethod = (typeof AUTH_METHODS)[number];

/**
 * The methods that `require_auth` permits: a list of them, or a list of `!method` that permits the rest.
 * Unset or empty permits all. A server that asks for another one fails the connection with
 * `authentication method requirement "<require_auth>" failed: server requested …`.
 *
 * @throws ConninfoError for an unknown method, a repeated one, or a mixture of both kinds.
 */
export function permittedAuthMethods(requireAuth: ByteString | undefined): ReadonlySet<AuthMethod> {
  if (requireAuth === undefined || requireAuth === '') return new Set(AUTH_METHODS);
  const elements = requireAuth.split(',');
  const negated = elements[0]?.startsWith('!') ?? false;
  const listed = new Set<AuthMethod>();
  for (const element of elements) {
    if (element.startsWith('!') && !negated) {
      throw conninfoError`negative require_auth method "${element}" cannot be mixed with non-negative methods`;
    }
    if (!element.startsWith('!') && negated) {
      throw conninfoError`require_auth method "${element}" cannot be mixed with negative methods`;
    }
    const name = negated ? element.slice(1) : element;
    const method = AUTH_METHODS.find((candidate) => candidate === name);
    if (method === undefined) throw conninfoError`invalid require_auth value: "${name}"`;
    if (listed.has(method)) throw conninfoError`require_auth method "${element}" is specified more than once`;
    listed.add(method);
  }
  return negated ? new Set(AUTH_METHODS.filter((method) => !listed.has(method))) : listed;
}
