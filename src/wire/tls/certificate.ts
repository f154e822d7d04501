import { createHash } from 'node:crypto';
import { isIP } from 'node:net';

/**
 * What libpq reads in a server's certificate: the names that it is for, and which hash its signature uses. The platform's own
 * certificate class does not tell that hash. DER is read by X.690, certificates by RFC 5280 section 4.1.
 */

/** One DER element: its tag and its content. */
interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

const Tag = {
  octetString: 0x04,
  /** GeneralName (RFC 5280 section 4.2.1.6). */
  dnsName: 0x82,
  ipAddress: 0x87,
  /** Explicit [0] of RSASSA-PSS parameters, and of the certificate's version. */
  context0: 0xa0,
  /** Extensions of a certificate. */
  context3: 0xa3,
} as const;

/** The elements in the content of a constructed element. @throws RangeError for a length that reaches beyond the content */
function parts(content: Buffer): readonly Element[] {
  const elements: Element[] = [];
  let offset = 0;
  while (offset < content.length) {
    const tag = content.readUInt8(offset);
    let length = content.readUInt8(offset + 1);
    offset += 2;
    if (length & 0x80) {
      const bytes = length & 0x7f;
      if (bytes < 1 || bytes > 4) throw new RangeError('unsupported length in certificate');
      length = content.readUIntBE(offset, bytes);
      offset += bytes;
    }
    if (length > content.length - offset) throw new RangeError('certificate is cut off');
    elements.push({ tag, content: content.subarray(offset, offset + length) });
    offset += length;
  }
  return elements;
}

/** The element at an index. @throws RangeError when there is none */
function part(elements: readonly Element[], index: number): Element {
  const element = elements[index];
  if (element === undefined) throw new RangeError('certificate is incomplete');
  return element;
}

function objectIdentifier(content: Buffer): string {
  const numbers: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (byte & 0x80) continue;
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      numbers.push(first, value - first * 40);
    } else numbers.push(value);
    value = 0;
  }
  return numbers.join('.');
}

/** The hashes of signature algorithms. SHA-256 is used in place of MD5 and SHA-1 (RFC 5929 section 4.1). */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'sha256', // md5WithRSAEncryption
  '1.2.840.113549.1.1.5': 'sha256', // sha1WithRSAEncryption
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.113549.1.1.14': 'sha224',
  '1.2.840.113549.1.1.15': 'sha512-224',
  '1.2.840.113549.1.1.16': 'sha512-256',
  '1.2.840.10040.4.3': 'sha256', // dsa-with-sha1
  '2.16.840.1.101.3.4.3.1': 'sha224', // dsa-with-sha224
  '2.16.840.1.101.3.4.3.2': 'sha256',
  '1.2.840.10045.4.1': 'sha256', // ecdsa-with-SHA1
  '1.2.840.10045.4.3.1': 'sha224',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};

const RSASSA_PSS = '1.2.840.113549.1.1.10';

/** Hashes by their own identifiers, which RSASSA-PSS has in its parameters (RFC 4055 section 3.1). */
const HASHES: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha256', // SHA-1
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
  '2.16.840.1.101.3.4.2.4': 'sha224',
};

function signatureHash(certificate: Buffer): string | undefined {
  const outer = parts(part(parts(certificate), 0).content);
  const algorithm = parts(part(outer, 1).content);
  const identifier = objectIdentifier(part(algorithm, 0).content);
  if (identifier !== RSASSA_PSS) return SIGNATURE_HASHES[identifier];
  const parameters = algorithm[1] === undefined ? [] : parts(algorithm[1].content);
  const hash = parameters.find((element) => element.tag === Tag.context0);
  if (hash === undefined) return 'sha256'; // The default is SHA-1.
  const name = part(parts(part(parts(hash.content), 0).content), 0);
  return HASHES[objectIdentifier(name.content)];
}

/**
 * The channel binding data tls-server-end-point: the server's certificate, hashed with the hash function of its own signature
 * (RFC 5929 section 4.1).
 * @param certificate in DER
 * @returns undefined when the signature has no single hash function (Ed25519, for example), for which the RFC defines nothing,
 *   or when the certificate cannot be read
 */
export function channelBindingHash(certificate: Buffer): Buffer | undefined {
  try {
    const hash = signatureHash(certificate);
    return hash === undefined ? undefined : createHash(hash).update(certificate).digest();
  } catch {
    return undefined;
  }
}

/** The names that a certificate is for. */
export interface CertificateNames {
  /** Those of the subject alternative name extension, in its order. DNS names are bytes, addresses should be 4 or 16 bytes. */
  readonly alternatives: readonly { readonly kind: 'dns' | 'ip'; readonly value: Buffer }[];
  /** The first common name of the subject. */
  readonly commonName: Buffer | undefined;
}

const COMMON_NAME = '2.5.4.3';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';

/** Reads the names of a certificate in DER. @throws RangeError when it is malformed */
export function certificateNames(certificate: Buffer): CertificateNames {
  const outer = parts(part(parts(certificate), 0).content);
  const fields = parts(part(outer, 0).content);
  // The fields are: version [0], which version 1 certificates do not have, serial number, signature, issuer, validity, subject.
  const subject = part(fields, fields[0]?.tag === Tag.context0 ? 5 : 4);
  let commonName: Buffer | undefined;
  for (const relativeName of parts(subject.content)) {
    for (const attribute of parts(relativeName.content)) {
      const [type, value] = parts(attribute.content);
      if (type !== undefined && objectIdentifier(type.content) === COMMON_NAME) {
        commonName = value?.content;
        break;
      }
    }
    if (commonName !== undefined) break;
  }

  const alternatives: { kind: 'dns' | 'ip'; value: Buffer }[] = [];
  const extensions = fields.find((field) => field.tag === Tag.context3);
  for (const extension of extensions === undefined ? [] : parts(part(parts(extensions.content), 0).content)) {
    const elements = parts(extension.content);
    if (objectIdentifier(part(elements, 0).content) !== SUBJECT_ALTERNATIVE_NAME) continue;
    const value = elements.find((element) => element.tag === Tag.octetString);
    if (value === undefined) continue;
    for (const name of parts(part(parts(value.content), 0).content)) {
      if (name.tag === Tag.dnsName) alternatives.push({ kind: 'dns', value: name.content });
      if (name.tag === Tag.ipAddress) alternatives.push({ kind: 'ip', value: name.content });
    }
  }
  return { alternatives, commonName };
}

const lower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/**
 * Whether a certificate's name matches the host (PostgreSQL documentation, verify-full). The name's first label may be `*`,
 * which stands for exactly one label.
 */
function nameMatches(pattern: string, host: string): boolean {
  const name = lower(pattern);
  const wanted = lower(host);
  if (name === wanted) return true;
  if (!name.startsWith('*.') || name.length > wanted.length) return false;
  const suffix = name.slice(1);
  return wanted.endsWith(suffix) && wanted.indexOf('.') === wanted.length - suffix.length;
}

/** An address as certificates have it: 4 bytes for IPv4, 16 for IPv6. (Those of addressOrder.ts always have 16.) */
function certificateAddress(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from(host.split('.').map(Number));
  // The URL parser reads an IPv6 address in every notation and always writes it in the same one.
  const [head = '', tail] = new URL(`http://[${host.split('%', 1)[0]}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/**
 * Compares a certificate's names with the host that is connected to, by libpq's rules for sslmode verify-full. The
 * alternative names come first. The common name only counts if there is no alternative name of the host's kind, DNS name or
 * address (RFC 6125 section 6.4.4).
 * @param certificate in DER
 * @returns libpq's error message, or undefined when the certificate is the host's
 * @throws RangeError when the certificate is malformed
 */
export function hostMismatch(certificate: Buffer, host: string): string | undefined {
  const { alternatives, commonName } = certificateNames(certificate);
  const kind = isIP(host) === 0 ? 'dns' : 'ip';
  const examined: string[] = [];
  let useCommonName = true;
  for (const { kind: nameKind, value } of alternatives) {
    if (nameKind === kind) useCommonName = false;
    if (nameKind === 'ip') {
      if (value.length !== 4 && value.length !== 16) {
        return `certificate contains IP address with invalid length ${value.length}`;
      }
      if (kind === 'ip' && value.equals(certificateAddress(host))) return undefined;
      examined.push(addressText(value));
      continue;
    }
    if (value.includes(0)) return "SSL certificate's name contains embedded null";
    const name = value.toString('latin1');
    if (nameMatches(name, host)) return undefined;
    examined.push(name);
  }
  if (useCommonName && commonName !== undefined) {
    if (commonName.includes(0)) return "SSL certificate's name contains embedded null";
    const name = commonName.toString('latin1');
    if (nameMatches(name, host)) return undefined;
    examined.push(name);
  }
  const others = examined.length - 1;
  if (others < 0) return "could not get server's host name from server certificate";
  const more = others === 0 ? '' : ` (and ${others} other name${others === 1 ? '' : 's'})`;
  return `server certificate for "${examined[0]}"${more} does not match host name "${host}"`;
}
