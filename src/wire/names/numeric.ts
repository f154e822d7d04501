import { isIP } from 'node:net';

/** One number of an IPv4 address in the classic notation: decimal, octal with a leading 0, or hexadecimal. */
const NUMBER = /^(?:0x[0-9a-f]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9})$/i;

/**
 * Reads an address in any form that getaddrinfo() understands without a look-up: `127.0.0.1`, `127.1`, `0x7f000001`, `::1`,
 * `fe80::1%eth0`.
 * @returns the address as connect() takes it; undefined if the text is a name
 */
export function numericAddress(text: string): string | undefined {
  if (isIP(text) !== 0) return text;
  const parts = text.split('.', 5);
  if (parts.length > 4 || !parts.every((part) => NUMBER.test(part))) return undefined;
  const numbers = parts.map((part) => (/^0[0-7]/.test(part) ? Number.parseInt(part, 8) : Number(part)));
  const last = numbers.pop() ?? 0;
  if (numbers.some((number) => number > 255) || last >= 256 ** (4 - numbers.length)) return undefined;
  const whole = numbers.reduce((sum, number, index) => sum + number * 256 ** (3 - index), last);
  return [24, 16, 8, 0].map((shift) => Math.floor(whole / 2 ** shift) % 256).join('.');
}
