import { MessageSink } from '../../primary/answerSink.js';
import type { SessionContext } from '../../session/context.js';
import type { ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { errorResponse } from '../../wire/errors.js';
import { type ParseFields, parse, readTarget } from '../../wire/messages.js';
import { Backend, EMPTY, Frontend } from '../../wire/protocol.js';
import type { PreparedLimits } from './preparedLimits.js';
import { bindForwarded, PreparedObjects } from './preparedObjects.js';

type MapDescription = (message: Buffer) => Buffer;

/** Prepared statements in whose place the primary has others, with another RowDescription. */
export class DescribedStatements {
  /** A portal has what its statement has. */
  readonly #objects: PreparedObjects<MapDescription, MapDescription>;

  constructor(
    private readonly context: SessionContext,
    private readonly limits: PreparedLimits,
  ) {
    this.#objects = new PreparedObjects(context.primary, limits);
  }

  /** See Interceptor. */
  get tracking(): boolean {
    return !this.#objects.isEmpty;
  }

  /** See PreparedObjects. */
  forgetUnnamed(): void {
    this.#objects.forgetUnnamed();
  }

  /** See PreparedObjects. */
  get hasUnnamed(): boolean {
    return this.#objects.statement(EMPTY) !== undefined;
  }

  /** See PreparedObjects. */
  unseen(type: number, head: Buffer): void {
    this.#objects.unseen(type, head);
  }

  /** Called for every Parse while `tracking`: whatever had the name has been deallocated, or keeps it in vain. */
  forget(name: Buffer): void {
    this.#objects.forget(name);
  }

  /** Called when the client has been sent a ReadyForQuery. */
  ready(): void {
    this.#objects.ready();
  }

  /** Has the primary prepare a statement in the place of the client's. @throws PgError 53400 */
  async parse(fields: ParseFields, changed: ReplacedText, map: MapDescription): Promise<void> {
    const { primary, session } = this.context;
    const bytes = changed.sql.length;
    await this.limits.room(this.context, () => this.#objects.checkStatement(fields.name, bytes));
    const sink = new MessageSink({
      message: (type, message) => {
        if (type !== Backend.errorResponse) return true;
        session.toClient(errorResponse(changed.mapError(MessageSink.errorOf(message))));
        return false;
      },
    });
    primary.send(parse(fields.name, changed.sql, fields.types), { kind: 'parse', sink });
    primary.flush();
    const { error, skipped } = await sink.answered;
    primary.assertOpen();
    if (error === undefined && !skipped) this.#objects.prepare(fields.name, map, bytes);
  }

  /** Handles Bind, Describe or Close while `tracking`. @returns undefined when the message is to be forwarded */
  message(type: number, message: Buffer): Promise<void> | undefined {
    if (this.#objects.isEmpty) return undefined;
    switch (type) {
      case Frontend.bind:
        return bindForwarded(this.context, this.limits, this.#objects, message);
      case Frontend.describe: {
        const { target, name } = readTarget(message);
        const map = target === 'S' ? this.#objects.statement(name) : this.#objects.portal(name);
        return map && this.#describe(Buffer.from(message), map);
      }
      case Frontend.close:
        return this.#objects.close(message);
      default:
        return undefined;
    }
  }

  async #describe(message: Buffer, map: MapDescription): Promise<void> {
    const { primary, session } = this.context;
    const sink = new MessageSink({
      message: (type, answer) => {
        if (type !== Backend.rowDescription) return true;
        session.toClient(map(answer));
        return false;
      },
    });
    primary.send(message, { kind: 'describe', sink });
  }
}
