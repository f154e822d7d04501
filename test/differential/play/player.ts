import { type Frame, frontend, isBroken, type WireConnection } from '../../support/wire.js';
import type { Exchange } from '../compare/compare.js';
import { encode, SAMPLE_TEXT } from '../compare/encoding.js';
import { ANSWER_ENDS, encodeFlowItem, encodeParameter, expectedAnswers } from '../compare/messages.js';
import { fillIn, type Side } from './environment.js';
import type { FlowItem, OutsideStep, StatementStep, Step, Variant } from './types.js';
import { type PlannedStep, SESSIONS } from './variants.js';

/** Thrown when a case has a character that the session's encoding lacks: the variant is skipped. */
export class NotInEncoding extends Error {}

/** After each step: the connection answers, and these are the dblink connections that the session has. */
const PROBE = ['SELECT 1', 'SELECT dblink_get_connections()'];

/** One client session on one side, and the record of what it received. */
export class Player {
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
    const bytes = encode(fillIn(sql, this.side).replaceAll('{text}', SAMPLE_TEXT[encoding]), encoding);
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
      ? this.connection.collect(until)
      : this.connection.until(until));
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
    await this.exchange(
      'probe',
      PROBE.map((sql) => frontend.query(sql)),
      PROBE.length,
    );
  }

  async simple(sql: string): Promise<void> {
    await this.exchange(sql, [frontend.query(this.text(sql))], 1);
  }

  /** All steps in one flight: one Query with several statements, or a pipeline. */
  async joined(steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return;
    const { transport } = this.variant;
    const label = steps
      .map((step) => (typeof step === 'string' ? step : (step as StatementStep).sql))
      .join('; ');
    if (transport === 'multi' && steps.every((step) => typeof step === 'string')) {
      await this.simple(steps.join('\n;\n'));
    } else {
      const each = transport === 'pipeline-syncs';
      const flights = steps.map((step) =>
        this.once(typeof step === 'string' ? { sql: step, params: [] } : (step as StatementStep)),
      );
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
    const start = [
      frontend.parse('', this.text(step.sql), step.types),
      this.bind(step, '', false),
      frontend.describe('P', ''),
    ];
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
      const answers = (frame: Frame): boolean =>
        frame.type === 'E' || (ANSWER_ENDS.has(frame.type) && --left === 0);
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

async function runOutside(side: Side, { session }: Variant, step: OutsideStep): Promise<void> {
  const database = step.on === 'remote' ? 'remote' : SESSIONS[session].database;
  await side.direct[database].rows(fillIn(step.run, side));
}
