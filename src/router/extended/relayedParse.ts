import { blockWithCreation } from '../../bridge/extension/blocks.js';
import type { Preparable } from '../../bridge/extension/extensionCommand.js';
import { lookupCalls } from '../../bridge/extension/lookups.js';
import {
  makeTemporaryFunctions,
  renameCalls,
  renameListedCalls,
} from '../../bridge/extension/temporaryFunctions.js';
import { forwardAnswer } from '../../primary/answerSink.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import type { ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { type ParseFields, parse } from '../../wire/messages.js';
import { withAmbiguousCall } from '../decide/ambiguous.js';
import type { Verdict } from '../decide/verdict.js';
import { NeedsBridge } from '../failures.js';
import type { DescribedStatements } from './describedStatements.js';

/** A Parse that is to be served, and what is known of the session for it. */
export interface ParseRequest {
  /** The whole message, which may be kept. */
  readonly message: Buffer;
  /** The message's fields, with the text as the parser reads it. */
  readonly fields: ParseFields;
  readonly statement: Statement;
  readonly facts: SessionFacts;
}

/** Has the primary parse statements that it also executes, or what takes their place. */
export class RelayedParse {
  /**
   * @param bridge the session's, if it has one
   * @param described keeps those that have another description than what takes their place
   */
  constructor(
    private readonly context: SessionContext,
    private readonly bridge: Preparable | undefined,
    private readonly described: DescribedStatements,
  ) {}

  /** Sends the statement, or what takes its place. */
  async relay(message: Buffer, fields: ParseFields, changed?: ReplacedText): Promise<void> {
    this.context.statement.passed('relay');
    const map = changed?.mapDescription;
    if (changed === undefined) this.#forward(message);
    else if (map === undefined) this.#parseRenamed(fields, changed);
    else await this.described.parse(fields, changed, map);
  }

  /**
   * The text that the primary gets in the place of the statement's.
   * @param end see PrimaryLink.run
   * @returns undefined when it gets that
   */
  changed(
    change: (Verdict & { plan: 'relay' })['change'],
    { fields, statement, facts }: ParseRequest,
    end: 'flush' | 'sync',
  ): Promise<ReplacedText | undefined> | ReplacedText | undefined {
    const { context } = this;
    switch (change) {
      case 'lookup':
        return lookupCalls(fields.sql, statement, context, { facts, end, types: fields.types });
      case 'block':
        return blockWithCreation(fields.sql, statement, context, this.bridge);
      case 'refusal':
        return withAmbiguousCall(fields.sql, statement, facts);
      case 'none':
        return undefined;
    }
  }

  /**
   * For a database without functions of the bridge: the session makes itself temporary ones, outside of transactions.
   * @throws NeedsBridge when it cannot
   */
  async bridgeTemporarily(fields: ParseFields, statement: Statement, reason: string): Promise<void> {
    const { context } = this;
    const renamed = renameCalls(fields.sql, statement, context);
    const made = renamed !== undefined && (await makeTemporaryFunctions(context, this.bridge, statement));
    // A cancel request may have hit the SQL that makes them.
    context.statement.throwIfCancelled();
    if (renamed === undefined || !made) {
      context.statement.passed('refuse');
      throw new NeedsBridge(reason);
    }
    context.statement.passed('bridge');
    this.#parseRenamed(fields, renamed);
  }

  /** The primary runs the statement, and the bridge's functions in it ask for the calls. */
  bridged(message: Buffer, fields: ParseFields, statement: Statement): void {
    const renamed = renameListedCalls(fields.sql, statement, this.context);
    this.context.statement.passed('bridge');
    if (renamed === undefined) this.#forward(message);
    else this.#parseRenamed(fields, renamed);
  }

  #parseRenamed(fields: ParseFields, renamed: ReplacedText): void {
    const { primary, session } = this.context;
    const sink = forwardAnswer(
      (answer) => session.toClient(answer),
      (error) => renamed.mapError(error),
    );
    primary.send(parse(fields.name, renamed.sql, fields.types), { kind: 'parse', sink });
  }

  #forward(message: Buffer): void {
    this.context.primary.expect(FORWARD.parse);
    this.context.primary.write(message);
  }
}
