import { randomBytes } from 'node:crypto';
import type { Bridge } from '../../bridge/bridge.js';
import { isEvidence } from '../../bridge/evidence.js';
import { IS_KEPT_QUERY, MAKE_PROOF_QUERY } from '../../bridge/installed/roleProof.js';
import type { CountingRole, EvidenceSource } from '../../bridge/roles.js';
import { SERVICE_SCHEMA } from '../../primary/marks.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import type { ProvenRole } from '../../primary/provenRole.js';

const TEXT_OID = 25;
const BYTEA_OID = 17;

const CURRENT_ROLE_BYTES =
  'SELECT pg_catalog.convert_to(current_user::pg_catalog.text, pg_catalog.getdatabaseencoding())';
const GIVEN_ROLE = 'pg_catalog.convert_from($2, pg_catalog.getdatabaseencoding())';

/** The evidence cannot be had. */
const LACKING: readonly string[] = ['42501', '42883', '3F000'];

type End = 'flush' | 'sync';

/**
 * The current role of a nested session. Whoever answers on its connection may claim any role. So it counts only when it shows the
 * evidence that a function of the bridge would have to show (docs/decisions/010-evidence.md).
 */
export class LinkRole implements ProvenRole {
  constructor(
    private readonly primary: PrimaryLink,
    private readonly getBridge: () => Bridge,
    private readonly pid: () => number,
  ) {}

  private get bridge(): Bridge {
    return this.getBridge();
  }

  async name(end: End): Promise<string | undefined> {
    return (await this.#counting(await this.#claimed(end), end)).name;
  }

  async isSuperuser(end: End): Promise<boolean> {
    const claimed = await this.#claimed(end);
    if (!(await this.bridge.roles.mayBeSuperuser(claimed))) return false;
    return (await this.#counting(claimed, end)).superuser;
  }

  async isMember(roles: string, end: End): Promise<boolean> {
    const claimed = await this.#claimed(end);
    if (!(await this.bridge.roles.isMember(claimed, roles))) return false;
    return (await this.#counting(claimed, end)).name === claimed;
  }

  async #claimed(end: End): Promise<string> {
    const { error, rows } = await this.primary.run({ sql: CURRENT_ROLE_BYTES, resultFormats: [1] }, end);
    if (error !== undefined) throw error;
    return rows[0]?.[0]?.toString('latin1') ?? '';
  }

  #counting(name: string, end: End): Promise<CountingRole> {
    return this.bridge.roles.counting({ name, prove: (source) => this.#prove(name, source, end) });
  }

  async #prove(role: string, source: EvidenceSource, end: End): Promise<boolean> {
    const { bridge } = this;
    const [kept] = await bridge.locks.query(IS_KEPT_QUERY, []);
    if (kept?.[0]?.toString() !== 't') return false;
    const nonce = randomBytes(16).toString('hex');
    const maker = source === 'made' ? bridge.nameObject('proof', this.pid()) : undefined;
    try {
      if (maker !== undefined) await bridge.locks.query(MAKE_PROOF_QUERY, [maker, role]);
      const evidence = await this.#evidence(maker, nonce, role, end);
      return evidence !== undefined && (await isEvidence(bridge.locks, { nonce, role, evidence }));
    } finally {
      if (maker !== undefined) bridge.made(maker);
    }
  }

  async #evidence(
    maker: string | undefined,
    nonce: string,
    role: string,
    end: End,
  ): Promise<string | undefined> {
    const question = { types: [TEXT_OID], formats: [0], values: [Buffer.from(nonce)] };
    const { error, rows } = await this.primary.run(
      maker === undefined
        ? {
            sql: `SELECT ${SERVICE_SCHEMA}.evidence($1, ${GIVEN_ROLE})`,
            types: [TEXT_OID, BYTEA_OID],
            formats: [0, 1],
            values: [Buffer.from(nonce), Buffer.from(role, 'latin1')],
          }
        : { sql: `SELECT ${SERVICE_SCHEMA}.${maker}($1)`, ...question },
      end,
    );
    if (error !== undefined && !LACKING.includes(error.sqlstate)) throw error;
    return rows[0]?.[0]?.toString('latin1');
  }
}
