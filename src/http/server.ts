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
  /** The descriptor of a socket that is listened on already. */
  readonly inherited?: number | undefined;
}

/** How often it is looked who takes longer. */
const CHECK_MS = 1_000;
/** Requests are short, and nobody has to wait with one. */
const REQUEST_MS = 10_000;
const MOST_CONNECTIONS = 100;
const MOST_OF_ONE_ADDRESS = 25;
const MOST_REQUESTS = 100;
const MOST_HEADER_BYTES = 8192;

const LOOPBACK = new AddressSet(['loopback']);

/** Answers questions about the proxy by HTTP. @throws the listener's error (EADDRINUSE, EACCES, …) */
export function openHttp({ host, port, token, inherited }: HttpOptions, told: Told): Promise<Server> {
  const server = createServer(
    {
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: CHECK_MS,
      maxHeaderSize: MOST_HEADER_BYTES,
    },
    (request, response) => {
      answer(request, response, { token, told }).catch(() => response.destroy());
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.keepAliveTimeout = REQUEST_MS;
  server.maxRequestsPerSocket = MOST_REQUESTS;
  // Who does not read the answers does nothing else either.
  server.setTimeout(REQUEST_MS);
  share(server);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(inherited === undefined ? { host, port } : { fd: inherited }, () => {
      server.off('error', reject);
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}

/** Leaves places for others: probes have to get through whatever one address does. */
function share(server: Server): void {
  const counts = new Map<string, number>();
  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const count = (counts.get(address) ?? 0) + 1;
    counts.set(address, count);
    socket.once('close', () => {
      const left = counts.get(address)! - 1;
      if (left > 0) counts.set(address, left);
      else counts.delete(address);
    });
    if (count > MOST_OF_ONE_ADDRESS) socket.destroy();
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

/** What intermediaries add to requests of others. */
const FORWARDED = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
];

/**
 * Who is on this machine may ask, unless it asks for somebody else: a reverse proxy says so in a header, and where a page of another site
 * makes a browser ask, the name in `Host` is that site's. With a token everybody needs it.
 */
function mayAsk({ socket, headers }: IncomingMessage, token: string | undefined): boolean {
  if (token !== undefined) return isSame(headers.authorization ?? '', `Bearer ${token}`);
  const { remoteAddress } = socket;
  if (remoteAddress === undefined || !LOOPBACK.has({ address: remoteAddress }, 'exactly')) return false;
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false;
  const name = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || (isIP(name) !== 0 && LOOPBACK.has({ address: name }, 'exactly'));
}

/** Compares without telling by the time how much is right. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
