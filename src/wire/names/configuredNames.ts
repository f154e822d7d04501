import { isIP, type LookupFunction } from 'node:net';
import { systemNames } from './resolver.js';

/** How long the result of a look-up is used without another look-up. */
const FRESH_MS = 5000;

/** How long to wait for the name servers when there is an older result. */
const PATIENCE_MS = 1000;

interface Entry {
  /** Undefined until there has been an answer. */
  addresses: readonly string[] | undefined;
  /** In the time of performance.now(). */
  freshUntil: number;
  /** The look-up that is under way. */
  asking: Promise<readonly string[]> | undefined;
}

/** The names in the configuration: the primary's. They are few and do not change, so nothing is ever removed here. */
const entries = new Map<string, Entry>();

/**
 * The addresses of a name from the configuration. All callers share one look-up at a time. An old result is used when the
 * name servers fail or do not answer in time: the primary that everybody is connected to has not gone away with them.
 * @throws NameError when there is no older result either
 */
export async function configuredAddresses(name: string): Promise<readonly string[]> {
  let entry = entries.get(name);
  if (entry === undefined) {
    entry = { addresses: undefined, freshUntil: 0, asking: undefined };
    entries.set(name, entry);
  }
  const { addresses } = entry;
  if (addresses !== undefined && entry.freshUntil > performance.now()) return addresses;
  const asking = (entry.asking ??= ask(name, entry));
  if (addresses === undefined) return asking;
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve(addresses), PATIENCE_MS);
  });
  return Promise.race([asking.catch(() => addresses), patience]).finally(() => clearTimeout(timer));
}

async function ask(name: string, entry: Entry): Promise<readonly string[]> {
  try {
    const addresses = await systemNames.lookup(name);
    entry.addresses = addresses;
    entry.freshUntil = performance.now() + FRESH_MS;
    return addresses;
  } finally {
    entry.asking = undefined;
  }
}

/**
 * Looks names up for net.connect(). All names that come here are from the configuration, because names in connection strings
 * have been looked up before.
 */
export const lookupConfigured: LookupFunction = (name, options, callback) => {
  configuredAddresses(name).then(
    (addresses) => {
      const found = addresses.map((address) => ({ address, family: isIP(address) }));
      if (options.all === true) callback(null, found);
      else callback(null, found[0]!.address, found[0]!.family);
    },
    (error: NodeJS.ErrnoException) => callback(error, ''),
  );
};
