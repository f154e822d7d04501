import type { AuditTarget, ConnectionAudit, SessionAudit } from '../../audit/index.js';
import type { SocketAddress } from '../../wire/address.js';
import { ConnectError } from '../../wire/connectErrors.js';
import { PgError } from '../../wire/errors.js';
import type { ConnectionLost, WireClient } from '../../wire/outbound/index.js';
import type { ConninfoHost } from '../conninfo/index.js';
import { RefusedByPolicy } from '../errors.js';

/** Names of a connection that may be told. */
export type PlainNames = Pick<AuditTarget, 'server' | 'database' | 'user'> & {
  /** A name as it may be told; undefined if it may have a part of a secret in it. */
  readonly host: (name: string) => string | undefined;
};

/** The audit of connections, for as long as they are there. */
const AUDITS = new WeakMap<WireClient, ConnectionAudit>();

/** The audit of a connection; undefined for one that is not told of. */
export const auditOf = (client: WireClient): ConnectionAudit | undefined => AUDITS.get(client);

/** Tells the audit what becomes of one call's attempts to connect. */
export class Attempts {
  /** What is known of where the connection leads. */
  names: PlainNames | undefined;
  #host: ConninfoHost | undefined;
  #address: SocketAddress | undefined;
  #began = performance.now();
  #stage: 'before' | 'auth' = 'before';
  /** The last attempt has been told of. */
  #told = false;

  constructor(private readonly audit: SessionAudit) {}

  /** From now on it is about this place. @param address undefined before the host has been looked up */
  at(host: ConninfoHost, address?: SocketAddress): void {
    this.#host = host;
    this.#address = address;
    this.#began = performance.now();
    this.#told = false;
  }

  /** Watches a connection that is about to be made. */
  watch(): {
    readonly onEnd: (reason: ConnectionLost, lost: boolean) => void;
    opened(client: WireClient, how: Opened): void;
  } {
    let made: ConnectionAudit | undefined;
    return {
      onEnd: ({ fields }, lost) => made?.ended(lost, fields?.sqlstate),
      opened: (client, { rule, readOnly }) => {
        made = this.audit.connected(
          { to: this.#to, rule },
          { tls: client.encrypted, readOnly, began: this.#began },
        );
        AUDITS.set(client, made);
        this.#stage = 'auth';
      },
    };
  }

  /** The present attempt has failed, and there may be others. */
  failed(error: unknown, rule?: string): void {
    this.#told = true;
    if (error instanceof RefusedByPolicy) {
      const { by, count } = error.refusal;
      this.audit.refused({ kind: 'policy', by, count, sqlstate: error.sqlstate, to: this.#to });
      return;
    }
    this.audit.notConnected({ to: this.#to, rule }, failureOf(error, this.#stage), this.#began);
  }

  /** The present host cannot be connected to at all. */
  unusable(stage: 'before' | 'name'): void {
    this.#told = true;
    this.audit.notConnected({ to: this.#to }, { stage, sqlstate: '08001' }, this.#began);
  }

  /** The call has failed. */
  gaveUp(error: unknown): void {
    if (!this.#told) this.failed(error);
  }

  get #to(): AuditTarget {
    const { host, ...names } = this.names ?? {};
    const at = this.#host;
    if (at === undefined) return names;
    const written = at.socketDirectory ?? (at.host || at.hostaddr);
    return {
      ...names,
      host: written && host?.(written),
      address: this.#address && ('path' in this.#address ? this.#address.path : this.#address.host),
      port: at.port,
    };
  }
}

interface Opened {
  readonly rule: string | undefined;
  readonly readOnly: boolean;
}

/** No text of the error: it may have parts of a connection string in it. */
function failureOf(error: unknown, stage: 'before' | 'auth'): Parameters<SessionAudit['notConnected']>[1] {
  if (error instanceof PgError) return { stage, sqlstate: error.sqlstate };
  if (!(error instanceof ConnectError)) return { stage, sqlstate: '08001' };
  const told = error.sqlstate ?? '';
  return { stage: error.stage, sqlstate: /^[0-9A-Z]{5}$/.test(told) ? told : '08001', code: error.code };
}
