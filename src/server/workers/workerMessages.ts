import type { Config } from '../../config/index.js';
import type { CancelKey } from '../../wire/cancelKeys.js';
import type { MetricsJson } from '../observe/metricsJson.js';

/** What the supervisor says to a worker. */
export type ToWorker =
  | { readonly kind: 'start'; readonly config: Config; readonly index: number; readonly count: number }
  /** A client's connection comes with the message. */
  | { readonly kind: 'connection' }
  | { readonly kind: 'cancel'; readonly request: CancelKey }
  | { readonly kind: 'vacate'; readonly id: number; readonly databases: readonly string[] }
  /** The others have done what the worker asked for under this number. */
  | { readonly kind: 'done'; readonly id: number }
  /** To be answered with `reloaded` and the same number. */
  | { readonly kind: 'reload'; readonly id: number; readonly config: Config }
  /** To be answered with `metrics` and the same number. */
  | { readonly kind: 'metrics'; readonly id: number }
  /** The audit's file is to be opened anew. */
  | { readonly kind: 'reopen' }
  | { readonly kind: 'close'; readonly graceMs: number; readonly leaveMs: number };

/** What a worker says to the supervisor. */
export type ToSupervisor =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string }
  /** A connection that the worker was given is closed. */
  | { readonly kind: 'left' }
  | { readonly kind: 'cancel'; readonly id: number; readonly owner: number; readonly request: CancelKey }
  /** A cancel request whose key is none of the worker's that should have made it. */
  | { readonly kind: 'elsewhere'; readonly request: CancelKey }
  | { readonly kind: 'vacate'; readonly id: number; readonly databases: readonly string[] }
  /** Its connections have left the databases of the message with this number. */
  | { readonly kind: 'vacated'; readonly id: number }
  /** It has the configuration of the message with this number, or says why not. */
  | { readonly kind: 'reloaded'; readonly id: number; readonly problem?: string }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: readonly MetricsJson[] };
