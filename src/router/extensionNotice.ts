import type { Policy } from '../policy/index.js';
import type { RouterLog } from '../session/settings.js';

/** So many databases are told of. */
const MOST = 1000;

/**
 * Warns, once for each database, that the primary has the extension itself: what that carries out, as inside of functions, neither the policy nor
 * the audit knows of. Whoever has configured neither is not told.
 */
export class ExtensionNotice {
  readonly #told = new Set<string>();

  /** @param policy as it is now @param audited whether there is an audit */
  constructor(
    private readonly policy: () => Policy,
    private readonly audited: boolean,
  ) {}

  get #matters(): boolean {
    const { rules, fallback, connectionStrings } = this.policy();
    return this.audited || rules.length > 0 || fallback === 'deny' || !connectionStrings;
  }

  /** @param database a byte string */
  found(database: string, log: RouterLog): void {
    if (this.#told.has(database) || this.#told.size >= MOST || !this.#matters) return;
    this.#told.add(database);
    log.warn(
      { database },
      'the primary has the extension dblink itself: neither the policy nor the audit holds for calls that it carries out',
    );
  }
}
