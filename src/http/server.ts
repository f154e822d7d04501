import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { AddressSet } from '../policy/index.js';

/** What is told by HTTP. */
export interface Told {
  /** Whether a client that comes now would be served, and if not why. Never rejects. */
  readonly ready: () => Promise<string | undefined>;
  /** The metrics, in the format of Prometheus. */
  readonly metrics: () => Promise<string>;
}

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Who is not on this machine has to give it; undefined keeps them out. */
  readonly token: string | undefined;
}

/** Requests are short, and nobody has to wait with one. */
const REQUEST_MS = 10_000;
const MOST_CONNECTIONS = 100;
const MOST_HEADER_BYTES = 8192;

const LOOPBACK = new AddressSet(['loopback']);

/** Answers questions about the proxy by HTTP. @throws the listener's error (EADDRINUSE, EACCES, …) */
export function openHttp({ host, port, token }: HttpOptions, told: Told): Promise<Server> {
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, maxHeaderSize: MOST_HEADER_BYTES },
    (request, response) => {
      answer(request, response, { token, told }).catch(() => response.destroy());
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.keepAliveTimeout = REQUEST_MS;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { token, told }: { readonly token: string | undefined; readonly told: Told },
): Promise<void> {
  request.resume();
  const [path = ''] = (request.url ?? '').split('?', 1);
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(response, 405, 'GET and HEAD only');
  // Probes come from other machines, and learn no more than that.
  if (path === '/healthz') return say(response, 200, 'ok');
  if (path === '/readyz') {
    const obstacle = await told.ready();
    return obstacle === undefined ? say(response, 200, 'ready') : say(response, 503, obstacle);
  }
  if (!mayAsk(request, token)) {
    response.setHeader('WWW-Authenticate', 'Bearer realm="dblink-proxy"');
    return say(
      response,
      token === undefined ? 403 : 401,
      'from this machine only, or with the token of the setting "http.token"',
    );
  }
  if (path !== '/metrics') return say(response, 404, 'there are /metrics, /healthz and /readyz');
  const text = await told.metrics();
  response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8', ...SAFE });
  response.end(request.method === 'HEAD' ? undefined : text);
}

/** What is told is for nobody else, and is no page. */
const SAFE = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...SAFE });
  response.end(`${text}\n`);
}

/**
 * Who is on this machine may ask, unless a page of another site makes a browser ask: then the name in `Host` is that site's.
 * With a token everybody needs it.
 */
function mayAsk({ socket, headers }: IncomingMessage, token: string | undefined): boolean {
  if (token !== undefined) return isSame(headers.authorization ?? '', `Bearer ${token}`);
  const { remoteAddress } = socket;
  if (remoteAddress === undefined || !LOOPBACK.has({ address: remoteAddress })) return false;
  const name = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || (isIP(name) !== 0 && LOOPBACK.has({ address: name }));
}

/** Compares without telling by the time how much is right. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
