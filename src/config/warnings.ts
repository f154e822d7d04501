import type { Config, TlsFiles } from './config.js';
import type { PrimaryAddress } from './primary.js';

/** What warnings are about, of a configuration that can be used. */
export interface Doubtful {
  readonly primary: PrimaryAddress | undefined;
  readonly auth: Config['auth'];
  readonly tls: TlsFiles | undefined;
  /** The extension in the primary carries calls out, and something is to be known or decided about these. */
  readonly leavesToExtension: boolean;
  /** The primary's URL was given by a flag. */
  readonly onCommandLine: boolean;
}

/** Values of sslmode under which the connection may have no TLS. */
const MAY_BE_PLAIN: ReadonlySet<string> = new Set(['disable', 'allow', 'prefer']);

/** Combinations that are allowed but deserve a line in the log at the start. */
export function warningsOf({
  primary,
  auth,
  tls,
  leavesToExtension,
  onCommandLine,
}: Doubtful): readonly string[] {
  if (primary === undefined) return [];
  const { sslmode, socketPath, password } = primary;
  const warnings: string[] = [];
  if (onCommandLine && password !== undefined) {
    warnings.push(
      '--primary has a password in it: users of this machine could see it in the list of processes until the program ' +
        'had hidden it there, and it may stay in the history of a shell; use DBLINK_PROXY_PRIMARY or a file (--config)',
    );
  }
  const sent = [
    ...(password === undefined ? [] : ["the service account's"]),
    ...(auth === 'password' ? ["the clients'"] : []),
  ];
  if (sent.length > 0 && sslmode !== 'verify-full' && socketPath === undefined) {
    warnings.push(
      `sslmode=${sslmode} does not prove who the primary is, and passwords are given to it (${sent.join(', ')}): ` +
        'use sslmode=verify-full, with sslrootcert',
    );
  }
  if (auth === 'relay' && tls !== undefined && !MAY_BE_PLAIN.has(sslmode)) {
    warnings.push(
      'auth: relay with TLS on both hops: SCRAM-SHA-256 cannot be relayed there (channel binding), so clients ' +
        'whose password is stored that way cannot log in; use auth: password',
    );
  }
  if (leavesToExtension) {
    warnings.push(
      'dblink.calls: primary leaves calls to the extension, where the primary has it: neither the policy nor the audit holds for these; ' +
        'without the extension in the primary both do',
    );
  }
  return warnings;
}
