import { createSecureContext, type SecureContext } from 'node:tls';

/** OpenSSL's SSL_OP_NO_RENEGOTIATION, which the declarations of Node do not have. */
const NO_RENEGOTIATION = 0x4000_0000;

/**
 * How TLS is offered to clients. As in PostgreSQL: nothing older than TLS 1.2, whatever the runtime was told, and no
 * renegotiation, by which a client could make the server work at will.
 * @throws the error of a certificate and key that do not go together
 */
export const clientContext = (files: { readonly cert: Buffer; readonly key: Buffer }): SecureContext =>
  createSecureContext({ ...files, minVersion: 'TLSv1.2', secureOptions: NO_RENEGOTIATION });
