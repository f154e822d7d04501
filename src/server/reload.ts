import { type Config, ConfigError, reloaded } from '../config/index.js';
import type { Logger } from './log.js';
import type { RunningProxy } from './server.js';

/** Reads the configuration again when it is asked to, and has the proxy use it. */
export class Reloader {
  /** Settled when the reload that was asked for last is over. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param load reads the configuration, as at the start @param config the one in use */
  constructor(
    private readonly proxy: RunningProxy,
    private readonly load: () => Config,
    private config: Config,
    private readonly log: Logger,
  ) {}

  /** The configuration in use. */
  get inUse(): Config {
    return this.config;
  }

  /**
   * Reads the configuration again. If anything is wrong with it everything stays as it was.
   * @returns keys of the settings that have changed
   * @throws ConfigError with all that is wrong; Error a certificate or key that cannot be used
   */
  reload(): Promise<readonly string[]> {
    const next = this.#last.then(() => this.#reload());
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** `reload`, with its outcome in the log. Never rejects. */
  async reloadAndTell(): Promise<void> {
    try {
      await this.reload();
    } catch (error) {
      const issues = error instanceof ConfigError ? error.message.split('\n') : [(error as Error).message];
      for (const err of issues) this.log.error({ err }, 'the configuration was not changed');
    }
  }

  async #reload(): Promise<readonly string[]> {
    const { config, changed, pending } = reloaded(this.config, this.load());
    await this.proxy.reload(config);
    this.config = config;
    for (const warning of config.warnings) this.log.warn(warning);
    if (pending.length > 0) this.log.warn({ settings: pending }, 'settings have changed that need a restart');
    this.log.info({ changed }, 'the configuration was read again');
    return changed;
  }
}
