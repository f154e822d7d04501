import { AddressSet, type Destination } from './addresses.js';

const METADATA = new AddressSet(['metadata']);
const LINK_LOCAL = new AddressSet(['link-local']);

const [OF_METADATA, OF_LINK_LOCAL, OF_SELF] = [
  'built in: metadata',
  'built in: link-local',
  'built in: self',
] as const;
export const GUARDS = [OF_METADATA, OF_LINK_LOCAL, OF_SELF] as const;

/**
 * What guards a destination where no rule names it by its address: what only the proxy's own host should reach, and the proxy itself.
 * @returns undefined for any other destination
 */
export function guardOf(
  destination: Destination,
  port: number,
  isAt: (place: 'self', destination: Destination, port: number) => boolean,
): (typeof GUARDS)[number] | undefined {
  if (METADATA.has(destination)) return OF_METADATA;
  if (LINK_LOCAL.has(destination)) return OF_LINK_LOCAL;
  return isAt('self', destination, port) ? OF_SELF : undefined;
}
