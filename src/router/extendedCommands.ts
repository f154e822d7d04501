import { errorResponse, PgError } from '../wire/errors.js';
import { commandComplete, readBind, readExecute, readParse, readTarget } from '../wire/messages.js';
import { Backend, Frontend, TransactionStatus } from '../wire/protocol.js';
import type { ExtensionCommand } from './analysis/index.js';
import { runExtensionCommand } from './bridge/extensionCommand.js';
import type { Engine } from './engine.js';
import { PrimaryRaised } from './failures.js';
import { FORWARD } from './responses.js';
import { MessageSink } from './sinks.js';

interface CommandPortal {
  readonly command: ExtensionCommand;
  /** Number of ReadyForQuery messages that will have come when the portal's batch begins. */
  readonly after: number;
}

const nameOf = (name: Buffer): string => name.toString('latin1');

/**
 * CREATE EXTENSION dblink and the like by the extended protocol. The primary parses, binds and describes the client's
 * statement as it is, which needs no extension; only Execute is not its own.
 */
export class ExtendedCommands {
  readonly #statements = new Map<string, ExtensionCommand>();
  readonly #portals = new Map<string, CommandPortal>();

  constructor(private readonly engine: Engine) {}

  get tracking(): boolean {
    return this.#statements.size > 0;
  }

  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /** A ReadyForQuery passed: outside of a transaction block no portal is left but those of later requests. */
  ready(): void {
    const { primary } = this.engine;
    if (this.#portals.size === 0 || primary.status !== TransactionStatus.idle) return;
    for (const [name, portal] of this.#portals) {
      if (portal.after < primary.readies) this.#portals.delete(name);
    }
  }

  /** Parse of such a command. @param message whole, to be kept */
  async parse(message: Buffer, command: ExtensionCommand): Promise<void> {
    const { primary } = this.engine;
    const name = nameOf(readParse(message).name);
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
    if (parsed) this.#statements.set(name, command);
  }

  /** Bind, Execute or Close while `tracking`. @returns undefined when it goes to the primary as it is */
  message(type: number, message: Buffer): Promise<void> | undefined {
    if (!this.tracking && this.#portals.size === 0) return undefined;
    switch (type) {
      case Frontend.bind: {
        const { portal, statement } = readBind(message);
        const command = this.#statements.get(nameOf(statement));
        const { readies, queue } = this.engine.primary;
        if (command === undefined) this.#portals.delete(nameOf(portal));
        else this.#portals.set(nameOf(portal), { command, after: readies + queue.boundaries });
        return undefined;
      }
      case Frontend.execute: {
        const portal = this.#portals.get(nameOf(readExecute(message).portal));
        return portal && this.#execute(Buffer.from(message), portal.command);
      }
      case Frontend.close: {
        const { target, name } = readTarget(message);
        (target === 'S' ? this.#statements : this.#portals).delete(nameOf(name));
        return undefined;
      }
      default:
        return undefined;
    }
  }

  async #execute(message: Buffer, command: ExtensionCommand): Promise<void> {
    const { engine } = this;
    const { primary, session } = engine;
    await primary.settled();
    if (primary.queue.skipping) return this.#relay(message);
    engine.begin();
    let tag: string | undefined;
    try {
      engine.throwIfStopped();
      tag = await runExtensionCommand(engine, command);
      if (tag === undefined) this.#relay(message);
      else session.toClient(commandComplete(tag));
    } catch (error) {
      if (primary.closed) throw error;
      const told = error instanceof PrimaryRaised ? error.error : error;
      if (!(told instanceof PgError)) throw error;
      await engine.failTransaction(told);
      const own = !(error instanceof PrimaryRaised);
      session.toClient(errorResponse(own ? engine.inClientEncoding(told) : told));
    } finally {
      engine.finish(tag === undefined ? undefined : 'bridge');
    }
  }

  #relay(message: Buffer): void {
    this.engine.primary.expect(FORWARD.execute);
    this.engine.primary.write(message);
  }
}
