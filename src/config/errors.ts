/** One thing that is wrong with the configuration. */
export interface ConfigIssue {
  /** Where the value came from: `proxy.yaml`, `environment variable DBLINK_PROXY_AUTH`, `--listen`. */
  readonly source: string;
  /** 1-based; only in a file. */
  readonly line?: number;
  /** 1-based; only in a file. */
  readonly column?: number;
  /** Path of the key in the file's terms, for example `log.level`; empty for the document as a whole. */
  readonly key: string;
  /** What is wrong and, where it can be told, what was probably meant. */
  readonly problem: string;
}

/**
 * The configuration cannot be used. The message has a line per issue, in the form that editors understand:
 * `proxy.yaml:4:3: log.levle: unknown key; did you mean "level"?`. Never contains a password.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly issues: readonly ConfigIssue[]) {
    super(issues.map(formatIssue).join('\n'));
  }
}

function formatIssue({ source, line, column, key, problem }: ConfigIssue): string {
  const place = line === undefined ? source : `${source}:${line}:${column ?? 1}`;
  return `${place}: ${key === '' ? '' : `${key}: `}${problem}`;
}

/** A value that its setting does not accept; the message completes "the key …". */
export class ValueError extends Error {
  override readonly name = 'ValueError';
}
