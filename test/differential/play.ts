import { setTimeout as delay } from 'node:timers/promises';
import { type Frame, WireConnection, frontend, isBroken } from '../support/wire.js';
import type { Conversation, Exchange } from './compare.js';
import { SAMPLE_TEXT, encode } from './encoding.js';
import { type DatabaseName, type Side, connectionString } from './environment.js';
import { ANSWER_ENDS, encodeFlowItem, encodeParameter, expectedAnswers } from './messages.js';
import type { SideFacts } from './normalise.js';
import type { Case, FlowItem, OutsideStep, StatementStep, Step, Variant } from './types.js';
import { type PlannedStep, SESSIONS, inContext } from './variants.js';

/** Thrown when a case has a character that the session's encoding lacks: the variant is skipped. */
export class NotInEncoding extends Error {}

/** A statement that fails as the proxy's refusal should: it stands in for that step on the extension's side. */
function failingStatement(sqlstate: string): string {
  return `DO $$ BEGIN RAISE EXCEPTION SQLSTATE '${sqlstate}' USING HINT = 'stands in for a refusal'; END $$`;
}

const STEP_LIMIT_MS = 8_000;
/** After each step: the connection answers, and these are the dblink connections that the session has. */
const PROBE = ['SELECT 1', 'SELECT dblink_get_connections()'];

/** One client session on one side, and the record of what it received. */
class Player {
  readonly exchanges: Exchange[] = [];
  #index: number | undefined;

  constructor(
    readonly side: Side,
    readonly variant: Variant,
    readonly connection: WireConnection,
  ) {}

  get broken(): boolean {
    const last = this.exchanges.at(-1)?.frames.at(-1);
    return last === undefined || isBroken(last);
  }

  get failed(): boolean {
    const last = this.exchanges.at(-1)?.frames.at(-1);
    return last?.type === 'Z' && last.body.toString('latin1') === 'E';
  }

  /** Puts the placeholders in and encodes for the session. */
  text(sql: string): Buffer {
    const { encoding } = SESSIONS[this.variant.session];
    const bytes = encode(placeholders(sql, this.side).replaceAll('{text}', SAMPLE_TEXT[encoding]), encoding);
    if (bytes === undefined) throw new NotInEncoding(sql);
    return bytes;
  }

  /** `until` is a number of ReadyForQuery, or tells the last frame to wait for. Nothing is sent once all went silent. */
  async exchange(
    label: string,
    messages: readonly Buffer[],
    until: number | ((frame: Frame) => boolean),
  ): Promise<readonly Frame[]> {
    if (this.broken) return [];
    this.connection.send(...messages);
    const frames = await (typeof until === 'number'
      ? this.connection.collect(until, STEP_LIMIT_MS)
      : this.connection.until(until, STEP_LIMIT_MS));
    const step = this.#index;
    this.exchanges.push(step === undefined ? { label, frames } : { label, step, frames });
    return frames;
  }

  async play(steps: readonly PlannedStep[]): Promise<void> {
    const { transport } = this.variant;
    const joined = transport === 'multi' || transport === 'pipeline' || transport === 'pipeline-syncs';
    let batch: Step[] = [];
    for (const planned of steps) {
      this.#index = planned.kind === 'step' ? planned.index : undefined;
      if (planned.kind === 'recover') {
        if (!joined && this.failed) await this.simple(planned.sql);
        continue;
      }
      if (joined && isPlain(planned.step)) {
        batch.push(planned.step);
        continue;
      }
      await this.joined(batch);
      batch = [];
      await this.step(planned.step);
    }
    await this.joined(batch);
  }

  /** One step by itself, and the probe. */
  async step(step: Step): Promise<void> {
    if (typeof step !== 'string' && 'run' in step) return runOutside(this.side, this.variant, step);
    if (typeof step !== 'string' && 'flow' in step) await this.flow(step.flow);
    else if (typeof step === 'string' && !isExtended(this.variant)) await this.simple(step);
    else await this.extended(typeof step === 'string' ? { sql: step, params: [] } : step);
    await this.probe();
  }

  async probe(): Promise<void> {
    await this.exchange('probe', PROBE.map((sql) => frontend.query(sql)), PROBE.length);
  }

  async simple(sql: string): Promise<void> {
    await this.exchange(sql, [frontend.query(this.text(sql))], 1);
  }

  /** All steps in one flight: one Query with several statements, or a pipeline. */
  async joined(steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return;
    const { transport } = this.variant;
    const label = steps.map((step) => (typeof step === 'string' ? step : (step as StatementStep).sql)).join('; ');
    if (transport === 'multi' && steps.every((step) => typeof step === 'string')) {
      await this.simple(steps.join('\n;\n'));
    } else {
      const each = transport === 'pipeline-syncs';
      const flights = steps.map((step) => this.once(typeof step === 'string' ? { sql: step, params: [] } : (step as StatementStep)));
      const bytes = flights.flatMap((flight) => (each ? [...flight, frontend.sync()] : flight));
      if (!each) bytes.push(frontend.sync());
      await this.exchange(label, bytes, each ? flights.length : 1);
    }
    await this.probe();
  }

  /** Parse, Bind, Describe, Execute with text results, or binary ones in the variant `binary`. */
  once(step: StatementStep): Buffer[] {
    const binary = this.variant.transport === 'binary';
    return [
      frontend.parse('', this.text(step.sql), step.types),
      this.bind(step, '', binary),
      frontend.describe('P', ''),
      frontend.execute('', 0),
    ];
  }

  bind(step: StatementStep, statement: string, binary: boolean): Buffer {
    const values = step.params.map((value) => encodeParameter(value, binary, (text) => this.text(text)));
    return frontend.bind({
      statement,
      values: values.map(({ bytes }) => bytes),
      valueFormats: values.map(({ format }) => format),
      resultFormats: binary ? [1] : [],
    });
  }

  async extended(step: StatementStep): Promise<void> {
    const { transport } = this.variant;
    if (transport === 'describe-first') return this.describeFirst(step);
    if (transport === 'row-limit') return this.withRowLimit(step);
    await this.exchange(step.sql, [...this.once(step), frontend.sync()], 1);
  }

  /** Describes a named statement and waits for the answer before it binds, then runs it twice. */
  async describeFirst(step: StatementStep): Promise<void> {
    const parse = frontend.parse('s', this.text(step.sql), step.types);
    await this.exchange(
      `${step.sql} (Parse, Describe, Flush)`,
      [parse, frontend.describe('S', 's'), frontend.flush()],
      (frame) => 'TnE'.includes(frame.type),
    );
    const run = [this.bind(step, 's', true), frontend.execute('', 0)];
    await this.exchange(`${step.sql} (Bind, Execute, Sync)`, [...run, frontend.sync()], 1);
    const close = [frontend.close('S', 's'), frontend.sync()];
    await this.exchange(`${step.sql} (again)`, [...run, frontend.sync(), ...close], 2);
  }

  /** Two rows at a time, as JDBC does with a fetch size. */
  async withRowLimit(step: StatementStep): Promise<void> {
    const start = [frontend.parse('', this.text(step.sql), step.types), this.bind(step, '', false), frontend.describe('P', '')];
    let messages = [...start, frontend.execute('', 2), frontend.flush()];
    let last: string | undefined;
    do {
      const rows = (frame: Frame): boolean => 'CsEI'.includes(frame.type);
      last = (await this.exchange(`${step.sql} (two rows)`, messages, rows)).at(-1)?.type;
      messages = [frontend.execute('', 2), frontend.flush()];
    } while (last === 's');
    await this.exchange(`${step.sql} (Sync)`, [frontend.sync()], 1);
  }

  /** Messages as given, in flights that end at a Sync, a Query or a wait. */
  async flow(items: readonly FlowItem[]): Promise<void> {
    let flight: FlowItem[] = [];
    let readies = 0;
    const send = async (wait: boolean): Promise<void> => {
      if (flight.length === 0) return;
      const label = flight.map(describeItem).join(', ');
      const messages = flight.map((item) => encodeFlowItem(item, (text) => this.text(text)));
      let left = expectedAnswers(flight);
      const answers = (frame: Frame): boolean => frame.type === 'E' || (ANSWER_ENDS.has(frame.type) && --left === 0);
      await this.exchange(label, messages, wait ? answers : readies);
      flight = [];
      readies = 0;
    };
    for (const item of items) {
      flight.push(item);
      if (item.op === 'sync' || item.op === 'query') readies += 1;
      if (item.op === 'flush-and-wait') await send(true);
    }
    await send(false);
  }
}

/** For labels. */
function describeItem(item: FlowItem): string {
  if (item.op === 'parse' || item.op === 'query') return `${item.op} "${item.sql}"`;
  if (item.op === 'bind') return `bind(${item.params.map(String).join(', ')})`;
  if (item.op === 'execute') return `execute ${item.maxRows}`;
  return item.op;
}

/** A plain statement can be joined with others in one flight. */
function isPlain(step: Step): boolean {
  return typeof step === 'string' || 'sql' in step;
}

function isExtended({ transport }: Variant): boolean {
  return transport !== 'simple' && transport !== 'multi';
}

function placeholders(sql: string, side: Side): string {
  const { remote, local } = side;
  return sql.replace(/\{(R|URI|host|port|lport)\}/g, (whole, name: string) => {
    switch (name) {
      case 'R':
        return connectionString(remote);
      case 'URI':
        return `postgresql://postgres@127.0.0.1:${remote.port}/remote`;
      case 'host':
        return '127.0.0.1';
      case 'port':
        return String(remote.port);
      case 'lport':
        return String(local.port);
      default:
        return whole;
    }
  });
}

async function runOutside(side: Side, { session }: Variant, step: OutsideStep): Promise<void> {
  const database = step.on === 'remote' ? 'remote' : SESSIONS[session].database;
  await side.direct[database].rows(placeholders(step.run, side));
}

/** Sides whose schema scratch, by database, may hold something. */
const dirty = new WeakMap<Side, boolean>();

async function prepareScratch(side: Side, testCase: Case, variant: Variant): Promise<void> {
  const { database } = SESSIONS[variant.session];
  const wasDirty = dirty.get(side) ?? true;
  const make = async (name: DatabaseName, setup: string | undefined): Promise<void> => {
    if (wasDirty) await resetScratch(side, name);
    if (setup !== undefined) await side.direct[name].rows(placeholders(setup, side));
  };
  await Promise.all([
    make('remote', testCase.remote),
    make('app', database === 'app' ? testCase.local : undefined),
    make('app_latin1', database === 'app_latin1' ? testCase.local : undefined),
  ]);
}

async function resetScratch(side: Side, name: DatabaseName): Promise<void> {
  const reset =
    'DROP SCHEMA IF EXISTS scratch CASCADE; CREATE SCHEMA scratch; GRANT ALL ON SCHEMA scratch TO PUBLIC';
  const connection = side.direct[name];
  await connection.rows(reset).catch(async () => {
    // A prepared transaction, or a session that has not ended yet, holds on to what is in there.
    for (const [gid] of await connection.rows('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()')) {
      await connection.rows(`ROLLBACK PREPARED '${gid}'`);
    }
    await connection.rows(`SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'`);
    await connection.rows(reset);
  });
}

/**
 * Plays one case in one variant on one side.
 *
 * Recorded are the start-up, every flight with its answers, what is left in the schema scratch on both servers when the
 * session has ended, and the number of remote sessions that outlive it (none should).
 */
export async function play(side: Side, testCase: Case, variant: Variant): Promise<Conversation> {
  const session = SESSIONS[variant.session];
  await prepareScratch(side, testCase, variant);
  dirty.set(side, true);
  const { connection, startup } = await WireConnection.open({
    ...side.client,
    parameters: { user: 'postgres', database: session.database, ...session.parameters },
  });
  const player = new Player(side, variant, connection);
  player.exchanges.push({ label: 'start-up', frames: startup });
  let facts: SideFacts;
  try {
    await player.play(inContext(stepsFor(side, testCase), variant.context));
    facts = { ports: side.ports, objectNames: await objectNames(side, session.database, player.exchanges) };
  } finally {
    await connection.end();
  }
  player.exchanges.push(await remoteSessions(side));
  player.exchanges.push(await effects(side, variant));
  return { exchanges: player.exchanges, facts };
}

/** On the side with the extension, the step that the other side must refuse fails as a refusal would. */
function stepsFor(side: Side, testCase: Case): readonly Step[] {
  const { bridge, steps } = testCase;
  if (bridge === undefined || !side.standsInForRefusals) return steps;
  const failing = failingStatement(bridge.sqlstate ?? '0A000');
  return steps.map((step, index) => {
    if (index !== bridge.step) return step;
    return typeof step === 'string' ? failing : { sql: failing, params: [] };
  });
}

/** Waits until the session's remote connections are gone; what is still there after a second is left over. */
async function remoteSessions(side: Side): Promise<Exchange> {
  const others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'harness'";
  const deadline = Date.now() + 1_000;
  let count: string | null | undefined;
  for (;;) {
    count = (await side.direct.remote.rows(`SELECT count(*) ${others}`))[0]?.[0];
    if (count === '0' || Date.now() >= deadline) break;
    await delay(1);
  }
  if (count !== '0') await side.direct.remote.rows(`SELECT pg_terminate_backend(pid, 1000) ${others}`);
  return rowsAsExchange('remote sessions left over', [[count ?? null]]);
}

async function effects(side: Side, { session, context }: Variant): Promise<Exchange> {
  const report = 'SELECT scratch_report()';
  const probes = { autocommit: '', block: '', 'repeatable-read': 'snapshot_probe', savepoint: 'savepoint_probe' };
  const cleanUp = probes[context] === '' ? '' : `DELETE FROM ${probes[context]};`;
  const [remote, local] = await Promise.all([
    side.direct.remote.rows(report),
    side.direct[SESSIONS[session].database].rows(`${cleanUp} ${report}`),
  ]);
  dirty.set(side, remote.length + local.length > 0);
  return rowsAsExchange('schema scratch afterwards', [...remote, ['(local)'], ...local]);
}

/** Puts what the harness itself found out beside what the client received, so that one comparer does. */
function rowsAsExchange(label: string, rows: readonly (readonly (string | null)[])[]): Exchange {
  const frames = rows.map((row): Frame => {
    const header = Buffer.alloc(2);
    header.writeInt16BE(row.length);
    const values = row.map((value) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(value === null ? -1 : Buffer.byteLength(value));
      return Buffer.concat([length, Buffer.from(value ?? '')]);
    });
    return { type: 'D', body: Buffer.concat([header, ...values]) };
  });
  return { label, frames };
}

/** Names of the types and relations, given out at run time, that descriptions mention. */
async function objectNames(
  side: Side,
  database: 'app' | 'app_latin1',
  exchanges: readonly Exchange[],
): Promise<ReadonlyMap<string, string>> {
  const oids = new Set<number>();
  for (const { frames } of exchanges) {
    for (const { type, body } of frames) {
      if (type !== 'T' && type !== 't') continue;
      for (let offset = 0; offset + 4 <= body.length; offset += 1) {
        const value = body.readUInt32BE(offset);
        // Any four bytes in the range are looked up; those that are no OID find nothing and do no harm.
        if (value >= 16384 && value < 10_000_000) oids.add(value);
      }
    }
  }
  if (oids.size === 0) return new Map();
  const list = [...oids].join(',');
  const rows = await side.direct[database].rows(
    `SELECT oid, 'type ' || oid::regtype FROM pg_type WHERE oid IN (${list})
     UNION ALL SELECT oid, 'relation ' || oid::regclass FROM pg_class WHERE oid IN (${list})`,
  );
  return new Map(rows.map(([oid, name]) => [oid ?? '', (name ?? '').replace(/pg_temp_\d+/, 'pg_temp')]));
}
