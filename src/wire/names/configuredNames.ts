import { isIP, type LookupFunction } from 'node:net';
import { systemNames } from './resolver.js';

/** How long a look-up's result is used without looking again. */
const FRESH_MS = 5000;

/** How long the name servers are waited for when an older result is at hand. */
const PATIENCE_MS = 1000;

interface Entry {
  /** Undefined while there has been no answer. */
  addresses: readonly string[] | undefined;
  freshUntil: number;
  /** The look-up that is going on. */
  asking: Promise<readonly string[]> | undefined;
}

/** Names of the configuration: the primary's. There are few, and they stay. */
const entries = new Map<string, Entry>();

/**
 * The addresses of a name that the configuration has, one look-up at a time for everybody. A result that is old is good
 * for when name servers fail or are silent: a primary that everybody is connected to has not gone with them.
 * @throws NameError
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

/** For connect(): names there are the configuration's, since those of connection strings have been looked up before. */
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
