import { type Preparable, runExtensionCommand } from '../../bridge/extension/extensionCommand.js';
import { MessageSink } from '../../primary/answerSink.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { SessionContext } from '../../session/context.js';
import type { ExtensionCommand } from '../../sql/index.js';
import { commandComplete, readExecute, readParse } from '../../wire/messages.js';
import { Backend, EMPTY, Frontend } from '../../wire/protocol.js';
import type { WayMaker } from '../makeWay.js';
import { tell } from '../tell.js';
import type { PreparedLimits } from './preparedLimits.js';
import { bindForwarded, PreparedObjects } from './preparedObjects.js';

/** A command with which there is something to do when it is executed. */
export type PreparedCommand =
  /** CREATE EXTENSION dblink and the like, which is carried out here. */
  | { readonly extension: ExtensionCommand }
  /** One that wants databases for itself (databaseCommand.ts). */
  | { readonly databases: readonly string[] };

/**
 * Commands that concern the proxy, with the extended protocol. The primary parses, binds and describes the client's statement as
 * it is, which needs no extension. Only Execute waits for what is done here.
 */
export class ExtendedCommands {
  /** The command of each statement and portal. A portal has that of its statement. */
  readonly #objects: PreparedObjects<PreparedCommand, PreparedCommand>;

  /** @param bridge the session's, if it has one */
  constructor(
    private readonly context: SessionContext,
    private readonly bridge: Preparable | undefined,
    private readonly way: WayMaker,
    private readonly limits: PreparedLimits,
  ) {
    this.#objects = new PreparedObjects(context.primary, limits);
  }

  /** See Interceptor. */
  get tracking(): boolean {
    return !this.#objects.isEmpty;
  }

  /** Called when a Query or another Parse replaces the unnamed statement. */
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

  /** Called when the client has been sent a ReadyForQuery. */
  ready(): void {
    this.#objects.ready();
  }

  /** Handles the Parse of such a command. @param message the whole message, which may be kept */
  async parse(message: Buffer, command: PreparedCommand): Promise<void> {
    const { primary } = this.context;
    const { name } = readParse(message);
    const check = () => this.#objects.checkStatement(name, message.length);
    if (!(await this.limits.admits(this.context, check))) return;
    let parsed = false;
    const sink = new MessageSink({
      message: (type) => {
        parsed ||= type === Backend.parseComplete;
        return true;
      },
    });
    primary.send(message, { kind: 'parse', sink });
    primary.flush();
    await sink.answered;
    primary.assertOpen();
    if (parsed) this.#objects.prepare(name, command, message.length);
  }

  /** Handles Bind, Execute or Close while `tracking`. @returns undefined when the message is to be forwarded */
  message(type: number, message: Buffer): Promise<void> | undefined {
    if (this.#objects.isEmpty) return undefined;
    switch (type) {
      case Frontend.bind:
        return bindForwarded(this.context, this.limits, this.#objects, message);
      case Frontend.execute: {
        const command = this.#objects.portal(readExecute(message).portal);
        if (command === undefined) return undefined;
        return 'databases' in command
          ? this.#executeAlone(Buffer.from(message), command.databases)
          : this.#execute(Buffer.from(message), command.extension);
      }
      case Frontend.close:
        return this.#objects.close(message);
      default:
        return undefined;
    }
  }

  async #execute(message: Buffer, command: ExtensionCommand): Promise<void> {
    const { context } = this;
    const { primary, session } = context;
    await primary.settled();
    if (primary.queue.skipping) return this.#relay(message);
    context.statement.begin();
    try {
      context.statement.throwIfStopped();
      context.statement.planned('bridge');
      const tag = await runExtensionCommand(context, this.bridge, command);
      if (tag === undefined) {
        context.statement.planned('relay');
        // A cancel request may have come when the primary had nothing to cancel yet.
        context.statement.throwIfStopped();
        this.#relay(message);
      } else session.toClient(commandComplete(tag));
    } catch (error) {
      await tell(context, error, { inTransaction: true });
    } finally {
      context.statement.finish();
    }
  }

  /** Has the primary execute a command, when it has nothing else to do and the proxy's own connections have made way for it. */
  async #executeAlone(message: Buffer, databases: readonly string[]): Promise<void> {
    const { primary, session, statement } = this.context;
    await primary.settled();
    if (!primary.queue.skipping) await this.way.make(databases);
    this.#relay(message);
    // A cancel request may have come when the primary had nothing to cancel yet.
    if (statement.cancelled) session.cancelPrimary();
  }

  #relay(message: Buffer): void {
    this.context.primary.expect(FORWARD.execute);
    this.context.primary.write(message);
  }
}
