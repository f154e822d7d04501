import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { BoundedLabels } from './boundedLabels.js';

const PREFIX = 'dblink_proxy_';

/** Of so many databases sessions are counted by themselves; the rest are `other`. */
const MOST_DATABASES = 100;

/** Upper bounds in seconds: from a call on this machine to one that takes minutes. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** A number of bytes in each direction, seen from the proxy. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** What is read when somebody asks for the metrics. */
export interface Gauged {
  /** Connections to remotes, those that are kept for the next call included. */
  readonly remoteConnections: number;
  readonly keptConnections: number;
  /** How often a call with a connection string found a connection that was kept, and how often not. */
  readonly pool: { readonly hits: number; readonly misses: number };
  /** How often each rule of the policy has refused a connection. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Bytes that results take while they are held. */
  readonly heldBytes: number;
  /** Of all sessions that there are and that have been. */
  readonly clients: Traffic;
  readonly primary: Traffic;
}

/**
 * What a process of the proxy counts, in Prometheus' terms. No label has text of a client's choice in it, but for names of databases
 * that a client has logged in to.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #databases = new BoundedLabels(MOST_DATABASES);
  readonly #sessions = this.#gauge('sessions', 'Sessions of clients that have logged in.', ['database']);
  readonly #opened = this.#counter('sessions_total', 'Sessions of clients that have logged in so far.');
  readonly #refused = this.#counter(
    'clients_refused_total',
    'Clients that got no session, by the class of the SQLSTATE.',
    ['sqlstate_class'],
  );
  readonly #login = this.#histogram('login_seconds', 'From accepting a client to the end of its login.');
  readonly #statements = this.#counter(
    'statements_total',
    'Statements with calls of dblink, by the plan that served them.',
    ['plan'],
  );
  readonly #plans = this.#histogram('plan_seconds', 'How long such statements took.', ['plan']);
  readonly #calls = this.#histogram('remote_call_seconds', 'How long calls of dblink took, by function.', [
    'function',
  ]);
  readonly #bridged = this.#counter('bridge_calls_total', 'Calls that came from functions of the primary.');

  /** @param gauged reads what is known elsewhere @param version of the program */
  constructor(gauged: () => Gauged, version: string) {
    collectDefaultMetrics({ register: this.registry, prefix: PREFIX });
    new Gauge({
      name: `${PREFIX}build_info`,
      help: 'The program that runs; always 1.',
      labelNames: ['version', 'node'],
      // Of several processes it is told once.
      aggregator: 'first',
      registers: [this.registry],
    }).set({ version, node: process.versions.node }, 1);
    this.#read('remote_connections', 'Connections to remotes.', ['state'], (set) => {
      const { remoteConnections, keptConnections } = gauged();
      set({ state: 'used' }, remoteConnections - keptConnections);
      set({ state: 'kept' }, keptConnections);
    });
    this.#read('held_bytes', 'Memory that results of remotes take.', [], (set) =>
      set({}, gauged().heldBytes),
    );
    this.#total('pool_hits_total', 'Calls that found a connection that was kept.', [], (set) =>
      set({}, gauged().pool.hits),
    );
    this.#total('pool_misses_total', 'Calls with a connection string that did not.', [], (set) =>
      set({}, gauged().pool.misses),
    );
    this.#total(
      'policy_refusals_total',
      'Connections that the policy has refused, by rule.',
      ['rule'],
      (set) => {
        for (const [rule, count] of gauged().refusals) set({ rule }, count);
      },
    );
    this.#total('bytes_total', 'Bytes, seen from the proxy.', ['direction', 'hop'], (set) => {
      const { clients, primary } = gauged();
      for (const [hop, { received, sent }] of Object.entries({ client: clients, primary })) {
        set({ hop, direction: 'received' }, received);
        set({ hop, direction: 'sent' }, sent);
      }
    });
  }

  /** A client has logged in. @param database its name as text @param seconds since it was accepted @returns to be called at its end */
  sessionOpened(database: string, seconds: number): () => void {
    const labels = { database: this.#databases.of(database) };
    this.#sessions.inc(labels);
    this.#opened.inc();
    this.#login.observe(seconds);
    return () => this.#sessions.dec(labels);
  }

  /** A client got no session. */
  clientRefused(sqlstate: string): void {
    this.#refused.inc({ sqlstate_class: classOf(sqlstate) });
  }

  /** A statement is over. @param seconds undefined where that is not known */
  served(plan: string, seconds: number | undefined): void {
    this.#statements.inc({ plan });
    if (seconds !== undefined) this.#plans.observe({ plan }, seconds);
  }

  /** A call of a function is over. @param name one of the catalogue */
  called(name: string, seconds: number): void {
    this.#calls.observe({ function: name }, seconds);
  }

  bridged(): void {
    this.#bridged.inc();
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Gauge<Label> {
    return new Gauge({ name: PREFIX + name, help, labelNames, registers: [this.registry] });
  }

  #counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: [this.registry] });
  }

  #histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Histogram<Label> {
    return new Histogram({
      name: PREFIX + name,
      help,
      labelNames,
      buckets: BUCKETS,
      registers: [this.registry],
    });
  }

  /** A gauge that is read when somebody asks. */
  #read<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: (set: (labels: Partial<Record<Label, string>>, value: number) => void) => void,
  ): void {
    const gauge: Gauge<Label> = new Gauge({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => read((labels, value) => gauge.set(labels, value)),
    });
  }

  /** A counter of that kind. */
  #total<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: (set: (labels: Partial<Record<Label, string>>, value: number) => void) => void,
  ): void {
    const counter: Counter<Label> = new Counter({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => {
        counter.reset();
        read((labels, value) => counter.inc(labels, value));
      },
    });
  }
}

/** The class of a SQLSTATE, its first two characters; what is none is the class of internal errors. */
const classOf = (sqlstate: string): string => (/^[0-9A-Z]{5}$/.test(sqlstate) ? sqlstate.slice(0, 2) : 'XX');
