export {
  type Config,
  type DatabaseConfig,
  primaryFor,
  type TlsFiles,
  withPrimary,
} from './config.js';
export { documentSettings } from './document.js';
export { ConfigError, type ConfigIssue, ValueError } from './errors.js';
export { type ListenAddress, parseListenAddress } from './listen.js';
export { type ConfigSources, loadConfig } from './load.js';
export {
  type PrimaryAddress,
  type PrimaryHost,
  parsePrimaryUrl,
  type SessionAttributes,
} from './primary.js';
export { type Reloaded, reloaded } from './reload.js';
export type { LogLevel } from './schema.js';
export { type Setting, settings } from './settings.js';
