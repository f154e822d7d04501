import { isUtf8 } from 'node:buffer';
import type { SessionContext } from '../../session/context.js';
import { FUNCTION_FACTS, returnsRows } from '../../sql/index.js';
import { isAscii } from '../../wire/encoding/encoding.js';
import {
  BIND_COMPLETE,
  type BindFields,
  columnsOf,
  describe,
  describedIn,
  execute,
  formatOf,
  PARSE_COMPLETE,
  readyForQuery,
  SYNC,
} from '../../wire/messages.js';
import { EMPTY, Frontend } from '../../wire/protocol.js';
import { evaluateLocally, isLocal, isPlainText } from '../calls/evaluateArguments.js';
import { privileged } from '../decide/privileges.js';
import { NeedsBridge } from '../failures.js';
import type { PreparedDblink } from '../plans/splice/spliceExtended.js';
import { tell } from '../tell.js';
import { boundTextOf, type Portal, PortalExecution } from './executePortal.js';
import { fitting } from './fittingBind.js';

/** What is behind the Bind of the unnamed portal. */
const REST = Buffer.concat([execute(EMPTY), SYNC]);
const DESCRIBED_REST = Buffer.concat([describe('P', EMPTY), REST]);

const HEADER_BYTES = 5;

/** The rest of a batch, behind the message that has been handed on. */
interface WholeBatch {
  readonly bound: BindFields;
  /** The Bind, if it is part of the rest. */
  readonly message: Buffer | undefined;
  /** Whether the portal is described. */
  readonly describes: boolean;
  /** In bytes, with the Sync. */
  readonly length: number;
}

/**
 * Batches of the extended protocol that consist of one execution of one statement: perhaps Parse, then Bind, perhaps Describe, Execute
 * and Sync. When all that has come already, and the primary has nothing to add to what it has said of such a statement, the batch is
 * answered without it, as a Query is. Whatever else a client sends goes the ordinary way.
 */
export class WholeBatches {
  /**
   * @param hasBridge whether the session has a bridge
   * @param seen called for a Bind that is taken from what the client has sent
   */
  constructor(
    private readonly context: SessionContext,
    private readonly hasBridge: boolean,
    private readonly seen: (message: Buffer) => void,
  ) {}

  /**
   * Answers a batch, if that can be done. To be called in an action of the interceptor, before anything is done about the message.
   * @param prepared the statement
   * @param bound the Bind that has come; without it the batch begins with the Parse of the unnamed statement
   * @returns whether the batch is over, but for its Sync where the primary was needed; nothing has been sent otherwise
   * @throws PgError 08006
   */
  async serve(prepared: PreparedDblink, bound?: BindFields): Promise<boolean> {
    const { context } = this;
    const { primary, session } = context;
    if (!this.#isFree(prepared)) return false;
    // From now on what the client has sent behind this message is held. What the primary answers meanwhile may change everything.
    await primary.settled();
    if (!this.#isFree(prepared)) return false;
    const batch = readRest(session.client.ahead, prepared, bound);
    if (batch === undefined || !this.#isReadable(prepared, batch.bound)) return false;
    if (batch.message !== undefined) this.seen(batch.message);
    session.reports.hold();
    if (!(await this.#execute(prepared, batch))) {
      session.reports.release();
      return false;
    }
    // If the primary was needed after all, it ends the batch.
    const ends = !primary.batchOpen && primary.queue.length === 0;
    session.client.drop(ends ? batch.length : batch.length - SYNC.length);
    if (ends) {
      primary.assertOpen();
      session.reports.release();
      session.toClient(readyForQuery(primary.status));
      session.requestDone();
    }
    // A client that sends on without reading must not make answers pile up in the proxy.
    await session.client.drained();
    return true;
  }

  /** Whether nothing is open, nothing is expected but the ends of batches, and nothing about the statement is to be asked. */
  #isFree({ statement, boundAsOf, facts: asOf }: PreparedDblink): boolean {
    const { primary, encodings, probe, inBlock } = this.context;
    const { queue } = primary;
    const { kind } = statement.shape;
    if ((kind !== 'answer' && kind !== 'stream') || boundAsOf !== primary.changes) return false;
    if (inBlock || primary.batchOpen || queue.skipping || queue.copyIn || queue.unsynced) return false;
    const facts = probe.current;
    if (facts === undefined || facts !== asOf || facts.endsIdle || !encodings.same) return false;
    return privileged(statement, facts) === undefined;
  }

  /** Whether the values and formats of a Bind are such that nothing of them is left to the primary. */
  #isReadable(prepared: PreparedDblink, bound: BindFields): boolean {
    const { statement, said } = prepared;
    const { formats, values, resultFormats } = bound;
    const columns = columnsOf(said.description!);
    if (resultFormats.length > 1 && resultFormats.length !== columns) return false;
    if (![...formats, ...resultFormats].every((format) => format === 0 || format === 1)) return false;
    if (!said.parameterTypes.every(isPlainText)) return false;
    if (!values.every((value) => value === null || this.#isText(value))) return false;
    const text = boundTextOf(prepared, bound);
    const isStream = statement.shape.kind === 'stream';
    return statement.calls.every((call, i) => {
      if (!isLocal(call, text, this.context)) return false;
      if (isStream) {
        if (resultFormats.includes(1)) return false;
      } else {
        const { returns } = FUNCTION_FACTS[call.name];
        if (returnsRows(call) || (returns === 'textArray' && formatOf(resultFormats, i) === 1)) return false;
      }
      return isCallable(() => evaluateLocally(call, text.bound).kind === 'call' || !isStream);
    });
  }

  /** Whether a text can be read in the client's encoding. */
  #isText(value: Buffer): boolean {
    const readable = this.context.encodings.client === 'UTF8' ? isUtf8(value) : isAscii(value);
    return readable && !value.includes(0);
  }

  /** Carries out the calls, and answers up to the Sync. @returns false when only the bridge can do that; nothing has happened then */
  async #execute(prepared: PreparedDblink, batch: WholeBatch): Promise<boolean> {
    const { context } = this;
    const { primary, session, statement } = context;
    let begun = false;
    const begin = (): void => {
      begun = true;
      session.client.writeLater(beginning(prepared, batch));
    };
    const portal: Portal = { name: EMPTY, prepared, bound: batch.bound, state: 'dry', isLeft: false };
    statement.begin();
    const execution = new PortalExecution(context, portal, 0, {
      hasBridge: this.hasBridge,
      isPrepared: batch.message === undefined && prepared.sent,
      begin,
    });
    try {
      await execution.run();
    } catch (error) {
      if (primary.closed) throw error;
      if (error instanceof NeedsBridge && !begun) return false;
      if (!begun) begin();
      await tell(context, error, { inTransaction: primary.batchOpen });
    }
    statement.finish();
    return true;
  }
}

/** What a client gets for the messages in front of Execute. */
function beginning({ said }: PreparedDblink, { bound, message, describes }: WholeBatch): Buffer {
  return Buffer.concat([
    message === undefined ? EMPTY : PARSE_COMPLETE,
    BIND_COMPLETE,
    describes ? describedIn(said.description!, bound.resultFormats) : EMPTY,
  ]);
}

/** @returns undefined when something else comes, or not all of it has come */
function readRest(ahead: Buffer, prepared: PreparedDblink, bound?: BindFields): WholeBatch | undefined {
  if (prepared.said.description === undefined) return undefined;
  const message = bound === undefined ? bindAt(ahead) : undefined;
  if (bound === undefined && message === undefined) return undefined;
  const fields = bound ?? fitting(message!, prepared);
  // A Bind behind the Parse of the unnamed statement is about that.
  if (fields === undefined || fields.portal.length > 0) return undefined;
  if (message !== undefined && fields.statement.length > 0) return undefined;
  const start = message?.length ?? 0;
  const isNext = (rest: Buffer): boolean => ahead.subarray(start, start + rest.length).equals(rest);
  const rest = [DESCRIBED_REST, REST].find(isNext);
  if (rest === undefined) return undefined;
  return {
    bound: fields,
    message,
    describes: rest === DESCRIBED_REST,
    length: start + rest.length,
  };
}

/** The whole Bind message with which the bytes begin. */
function bindAt(bytes: Buffer): Buffer | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] !== Frontend.bind) return undefined;
  const length = bytes.readInt32BE(1) + 1;
  return length >= HEADER_BYTES && length <= bytes.length ? bytes.subarray(0, length) : undefined;
}

/** Whether a call has a signature and arguments that can be read. */
function isCallable(read: () => boolean): boolean {
  try {
    return read();
  } catch {
    return false;
  }
}
