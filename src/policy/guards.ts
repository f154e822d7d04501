import { AddressSet, type Destination } from './addresses.js';

const METADATA = new AddressSet(['metadata']);
const LINK_LOCAL = new AddressSet(['link-local']);

/**
 * What guards a destination where no rule names it by its address: what only the proxy's own host should reach, and the proxy itself.
 * @returns undefined for any other destination
 */
export function guardOf(
  destination: Destination,
  port: number,
  isAt: (place: 'self', destination: Destination, port: number) => boolean,
): string | undefined {
  if (METADATA.has(destination)) return 'built in: metadata';
  if (LINK_LOCAL.has(destination)) return 'built in: link-local';
  return isAt('self', destination, port) ? 'built in: self' : undefined;
}
