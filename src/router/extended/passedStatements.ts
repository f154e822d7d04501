import { readExecute, readTarget } from '../../wire/messages.js';
import { Frontend } from '../../wire/protocol.js';
import { MessageReader } from '../../wire/reader.js';

const keyOf = (name: Buffer): string => name.toString('latin1');

/**
 * Prepared statements that were looked at and left to the primary, by name, and how: so that each execution is counted. Nothing
 * of what is done with them is held up or changed.
 */
export class PassedStatements<Plan extends string> {
  readonly #statements = new Map<string, Plan>();
  readonly #portals = new Map<string, Plan>();

  /** @param executed called each time that one is executed */
  constructor(private readonly executed: (plan: Plan) => void) {}

  get isEmpty(): boolean {
    return this.#statements.size === 0 && this.#portals.size === 0;
  }

  parsed(name: Buffer, plan: Plan): void {
    this.#statements.set(keyOf(name), plan);
  }

  /** A Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /** Whatever is done with statements and portals. */
  message(type: number, message: Buffer): void {
    if (this.isEmpty) return;
    switch (type) {
      case Frontend.bind: {
        // Its values can be long, and are nobody's business here.
        const reader = new MessageReader(message);
        const portal = reader.cbytes();
        const statement = reader.cbytes();
        const plan = this.#statements.get(keyOf(statement));
        if (plan === undefined) this.#portals.delete(keyOf(portal));
        else this.#portals.set(keyOf(portal), plan);
        return;
      }
      case Frontend.execute: {
        const plan = this.#portals.get(keyOf(readExecute(message).portal));
        if (plan !== undefined) this.executed(plan);
        return;
      }
      case Frontend.close: {
        const { target, name } = readTarget(message);
        (target === 'S' ? this.#statements : this.#portals).delete(keyOf(name));
      }
    }
  }

  /** No transaction is open: no portal is left. */
  idle(): void {
    this.#portals.clear();
  }
}
