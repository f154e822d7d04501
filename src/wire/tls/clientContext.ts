import { createSecureContext, type SecureContext } from 'node:tls';

/** OpenSSL's SSL_OP_NO_RENEGOTIATION, which Node's type declarations do not have. */
const NO_RENEGOTIATION = 0x4000_0000;

/**
 * The TLS context that is offered to clients. As in PostgreSQL, it allows nothing older than TLS 1.2, whatever the runtime's
 * options say. It allows no renegotiation, with which a client could make the server work at will.
 * @throws the runtime's error when certificate and key do not belong together
 */
export const clientContext = (files: { readonly cert: Buffer; readonly key: Buffer }): SecureContext =>
  createSecureContext({ ...files, minVersion: 'TLSv1.2', secureOptions: NO_RENEGOTIATION });
