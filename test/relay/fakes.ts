import { type FakeConnection, fakePrimary } from '../support/fakePrimary.js';
import { type RelayOptions, startRelay } from '../support/relay.js';

/** Settings for a proxy that loses patience soon. */
export const HASTY_CONNECT_MS = 300;
export const HASTY = {
  DBLINK_PROXY_TIMEOUTS_LOGIN: '500ms',
  DBLINK_PROXY_TIMEOUTS_CONNECT: `${HASTY_CONNECT_MS}ms`,
};

/** Runs a script as the primary behind a proxy, whose port is given to `act`. */
export async function withFake<T>(
  script: (connection: FakeConnection) => Promise<void> | void,
  act: (port: number) => Promise<T>,
  options: RelayOptions = {},
): Promise<T> {
  const fake = await fakePrimary(script);
  const proxy = await startRelay(fake, { env: HASTY, ...options });
  try {
    return await act(proxy.port);
  } finally {
    await proxy.stop();
    await fake.stop();
  }
}
