import { GUARDS } from './guards.js';
import { CONNECTION_STRINGS, FALLBACK, type Policy } from './rules.js';

/** How often each rule of a policy, setting and guard has refused a connection. There are as many counters as there are of these. */
export class RefusalCounts {
  #counts = new Map<string, number>();

  constructor(policy: Pick<Policy, 'rules'>) {
    this.follow(policy);
  }

  /** From now on it is about this policy. What is at the same place goes on being counted. */
  follow({ rules }: Pick<Policy, 'rules'>): void {
    const denying = rules.filter(({ action }) => action === 'deny').map(({ place }) => place);
    const all = [...denying, FALLBACK, CONNECTION_STRINGS, ...GUARDS];
    this.#counts = new Map(all.map((by) => [by, this.#counts.get(by) ?? 0]));
  }

  /** Counts a refusal. @param by what decided, as a Ruling has it @returns how often it has by now; 0 for what can refuse nothing */
  count(by: string): number {
    const before = this.#counts.get(by);
    if (before === undefined) return 0;
    this.#counts.set(by, before + 1);
    return before + 1;
  }

  /** By what decided, those that have refused nothing included. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
