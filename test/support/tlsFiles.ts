import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Path of a certificate or key of the tests; see test/fixtures/tls/make.sh. */
export function tlsFile(name: string): string {
  // This file runs in dist/test/support.
  return fileURLToPath(new URL(`../../../test/fixtures/tls/${name}`, import.meta.url));
}

export const tlsText = (name: string): string => readFileSync(tlsFile(name), 'utf8');

/** Flags with which a proxy offers TLS to its clients. */
export const PROXY_TLS = { 'tls-cert': tlsFile('server.crt'), 'tls-key': tlsFile('server.key') };

/** What a PostgreSQL of the tests offers TLS with. */
export const primaryTls = (): { cert: string; key: string } => ({
  cert: tlsText('server.crt'),
  key: tlsText('server.key'),
});
