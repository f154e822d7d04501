import type { SessionAudit } from '../audit/index.js';
import type { PrimaryServer } from '../dblink/connections/ownCluster.js';
import type { CallContext, DblinkFacts } from '../dblink/context.js';
import type { Memory } from '../dblink/memory.js';
import type { DblinkSession } from '../dblink/session.js';
import type { Metrics } from '../metrics/metrics.js';
import { rolesJson } from '../primary/declaredServers.js';
import type { ForeignServers } from '../primary/foreignServers.js';
import type { PrimaryLink } from '../primary/primaryLink.js';
import type { ProvenRole } from '../primary/provenRole.js';
import type { FactsProbe, SessionFacts } from '../primary/sessionFacts.js';
import { noticeResponse, type PgError } from '../wire/errors.js';
import { abortable } from '../wire/pace/abortable.js';
import { TransactionStatus } from '../wire/protocol.js';
import { CurrentStatement } from './currentStatement.js';
import { Encodings } from './encodings.js';
import type { Session } from './session.js';
import type { RouterSettings } from './settings.js';

/** Levels of client_min_messages that keep a NOTICE from the client. */
const ABOVE_NOTICE: ReadonlySet<string> = new Set(['warning', 'error', 'fatal', 'panic']);

/** What a session has beside its two connections. */
interface SessionParts {
  readonly settings: RouterSettings;
  readonly dblink: DblinkSession;
  readonly foreignServers: ForeignServers;
  /** The session's part of the memory for results. */
  readonly memory: Memory;
  readonly probe: FactsProbe;
  /** Whose work it is, where sessions take turns (FairQueue): first the user, then the session of that user. */
  readonly asker: readonly unknown[];
  /** Undefined without an audit. */
  readonly audit: SessionAudit | undefined;
  /** Called when the primary's database turns out to have the extension itself. */
  readonly extensionFound?: (() => void) | undefined;
  /** How deeply the session is nested in others; 0 for a client's own. */
  readonly depth: number;
  readonly metrics?: Metrics | undefined;
  /** Undefined where the primary is asked itself. */
  readonly provenRole?: ProvenRole | undefined;
}

/** What carrying out dblink statements needs of a session. All plans share it. */
export class SessionContext {
  readonly primary: PrimaryLink;
  readonly settings: RouterSettings;
  readonly dblink: DblinkSession;
  readonly foreignServers: ForeignServers;
  readonly memory: Memory;
  readonly probe: FactsProbe;
  readonly asker: readonly unknown[];
  readonly depth: number;
  readonly #audit: SessionAudit | undefined;
  readonly #extensionFound: (() => void) | undefined;
  readonly provenRole: ProvenRole | undefined;
  readonly encodings: Encodings;
  readonly statement: CurrentStatement;
  /** Undefined where nobody asks for them. */
  readonly metrics: Metrics | undefined;
  #told: { readonly of: SessionFacts; readonly facts: DblinkFacts } | undefined;

  constructor(
    readonly session: Session,
    parts: SessionParts,
  ) {
    this.primary = session.primary;
    this.settings = parts.settings;
    this.dblink = parts.dblink;
    this.foreignServers = parts.foreignServers;
    this.memory = parts.memory;
    this.probe = parts.probe;
    this.asker = parts.asker;
    this.depth = parts.depth;
    this.metrics = parts.metrics;
    this.#audit = parts.audit;
    this.#extensionFound = parts.extensionFound;
    this.provenRole = parts.provenRole;
    this.encodings = new Encodings(session.primary);
    this.statement = new CurrentStatement(session.primary, session.log, parts.metrics);
  }

  get majorVersion(): number {
    return this.primary.majorVersion;
  }

  /** Whether the client is in a transaction block, failed or not. */
  get inBlock(): boolean {
    return this.primary.status !== TransactionStatus.idle;
  }

  /** Once for what is known of the session, not for each of its calls. */
  #dblinkFacts(facts: SessionFacts): DblinkFacts {
    if (this.#told?.of !== facts) this.#told = { of: facts, facts: this.#makeDblinkFacts(facts) };
    return this.#told.facts;
  }

  #makeDblinkFacts(facts: SessionFacts): DblinkFacts {
    if (facts.native.length > 0) this.#extensionFound?.();
    const end = () => (this.inBlock || this.primary.batchOpen ? 'flush' : 'sync');
    const { provenRole } = this;
    return {
      superuser: facts.superuser,
      readOnly: facts.readOnly,
      confirmSuperuser: () => provenRole?.isSuperuser(end()) ?? this.probe.superuserNow(end()),
      findServer: (name, asOwner, signal) =>
        this.foreignServers.find(name, { asOwner, end: end(), signal, provenRole }),
      isMember: async (roles) => {
        if (provenRole === undefined) return this.foreignServers.isMember(roles, end());
        const isMember = await provenRole.isMember(rolesJson({ roles }, this.encodings.database), end());
        return isMember || ((await provenRole.name(end())) === undefined ? undefined : false);
      },
      primaryMajor: this.majorVersion,
      primaryServer: this.primaryServer(() => this.probe.cluster(end())),
      databaseEncoding: this.encodings.database,
    };
  }

  /** The primary, for knowing its cluster again. @param cluster asks it CLUSTER_QUERY */
  primaryServer(cluster: () => Promise<string | undefined>): PrimaryServer {
    return {
      version: this.primary.parameters.get('server_version'),
      cluster: this.provenRole === undefined ? cluster : undefined,
    };
  }

  /** Sends a notice to the client, if client_min_messages lets it pass. @param notice with texts in the database's encoding */
  notify(facts: SessionFacts, notice: PgError): void {
    if (ABOVE_NOTICE.has(facts.clientMinMessages)) return;
    this.session.toClient(noticeResponse(this.encodings.inClient(notice)));
  }

  /** Tells the audit, when that has room, of calls that the primary's extension is going to carry out. @throws PgError 57014 */
  async leftToExtension(
    { calls }: { readonly calls: readonly { readonly name: string }[] },
    times: 'once' | 'each',
  ): Promise<void> {
    const audit = this.#audit;
    if (audit === undefined) return;
    if (audit.makesWait) await this.statement.remotely(0, (signal) => abortable(audit.room(), signal));
    audit.leftToExtension([...new Set(calls.map(({ name }) => name))], times);
  }

  /** Does remote work for the present statement, which its cancel and its clock end. @param act gets the call's circumstances */
  remotely<T>(facts: SessionFacts, act: (call: CallContext) => Promise<T>): Promise<T> {
    return this.statement.remotely(facts.statementTimeoutMs, (signal) =>
      act({
        facts: this.#dblinkFacts(facts),
        signal,
        notice: (notice) => this.notify(facts, notice),
      }),
    );
  }

  /**
   * Fails the primary's transaction, as an error of the client's statement does. To that end the primary is made to raise an
   * error that the client does not see. Its message, in the primary's log, says which SQLSTATE the client was given.
   */
  async failTransaction(error: PgError): Promise<void> {
    if (this.primary.queue.skipping || this.primary.closed) return;
    // It becomes part of SQL text, so it must have the form of a SQLSTATE, whoever made the error.
    const sqlstate = /^[0-9A-Z]{5}$/.test(error.sqlstate) ? error.sqlstate : 'XX000';
    await this.primary.run(
      { sql: `SELECT 'dblink call failed with SQLSTATE ${sqlstate}'::pg_catalog.int4` },
      'flush',
    );
  }
}
