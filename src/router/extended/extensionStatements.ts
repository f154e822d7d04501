import { type Preparable, runExtensionCommand } from '../../bridge/extension/extensionCommand.js';
import { MessageSink } from '../../primary/answerSink.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { SessionContext } from '../../session/context.js';
import type { ExtensionCommand } from '../../sql/index.js';
import { commandComplete, readBind, readExecute, readParse } from '../../wire/messages.js';
import { Backend, Frontend } from '../../wire/protocol.js';
import { tell } from '../tell.js';
import { PreparedObjects } from './preparedObjects.js';

/**
 * CREATE EXTENSION dblink and the like, with the extended protocol. The primary parses, binds and describes the client's
 * statement as it is, which needs no extension. Only Execute is carried out here.
 */
export class ExtendedCommands {
  /** The command of each statement and portal. A portal has that of its statement. */
  readonly #objects: PreparedObjects<ExtensionCommand, ExtensionCommand>;

  /** @param bridge the session's, if it has one */
  constructor(
    private readonly context: SessionContext,
    private readonly bridge: Preparable | undefined,
  ) {
    this.#objects = new PreparedObjects(context.primary);
  }

  /** See Interceptor. */
  get tracking(): boolean {
    return this.#objects.hasStatements;
  }

  /** Called when a Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#objects.forgetUnnamed();
  }

  /** Called when the client has been sent a ReadyForQuery. */
  ready(): void {
    this.#objects.ready();
  }

  /** Handles the Parse of such a command. @param message the whole message, which may be kept */
  async parse(message: Buffer, command: ExtensionCommand): Promise<void> {
    const { primary } = this.context;
    const { name } = readParse(message);
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
    if (parsed) this.#objects.prepare(name, command);
  }

  /** Handles Bind, Execute or Close while `tracking`. @returns undefined when the message is to be forwarded */
  message(type: number, message: Buffer): Promise<void> | undefined {
    if (this.#objects.isEmpty) return undefined;
    switch (type) {
      case Frontend.bind: {
        const { portal, statement } = readBind(message);
        this.#objects.bind(portal, this.#objects.statement(statement));
        return undefined;
      }
      case Frontend.execute: {
        const command = this.#objects.portal(readExecute(message).portal);
        return command && this.#execute(Buffer.from(message), command);
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

  #relay(message: Buffer): void {
    this.context.primary.expect(FORWARD.execute);
    this.context.primary.write(message);
  }
}
