import { Backend } from '../wire/protocol.js';

/**
 * What a frontend message makes the server answer. `copyEnd` stands for CopyDone and CopyFail, which are not answered
 * themselves but say which Sync messages a COPY has swallowed; `flush` for a Flush with something in it, an error of the
 * extended protocol unless a COPY swallows it.
 */
export type RequestKind =
  | 'query'
  | 'functionCall'
  | 'parse'
  | 'bind'
  | 'describe'
  | 'execute'
  | 'close'
  | 'sync'
  | 'flush'
  | 'copyEnd';

/** Takes the answers to a request that the proxy made itself, or that it must change on their way to the client. */
export interface ResponseSink {
  /** Rows and COPY data of the answer go to the client without being handed to `message`. */
  readonly passRows: boolean;
  /** Notices that come while this answer does are not the client's. */
  readonly muted?: boolean;
  /** A NoticeResponse that comes while this answer does, valid during the call only. @returns whether it is dealt with */
  notice?(message: Buffer): boolean;
  /**
   * One whole message of the answer, valid during the call only; `last` when the answer is complete.
   * @returns whether the message goes on to the client as it is
   */
  message(type: number, message: Buffer, last: boolean): boolean;
  /** The server skips this request because an earlier one of the same batch failed. */
  skipped(): void;
}

/** One request that was sent to the server and whose answer is outstanding; without a sink the answer is forwarded. */
export interface Expected {
  readonly kind: RequestKind;
  readonly sink: ResponseSink | undefined;
  /** It runs something, but nothing by which what is known of the session could become wrong. */
  readonly harmless?: boolean;
}

/** Entries for forwarded requests: shared, so that relaying allocates nothing. */
export const FORWARD: { readonly [K in RequestKind]: Expected } = {
  query: { kind: 'query', sink: undefined },
  functionCall: { kind: 'functionCall', sink: undefined },
  parse: { kind: 'parse', sink: undefined },
  bind: { kind: 'bind', sink: undefined },
  describe: { kind: 'describe', sink: undefined },
  execute: { kind: 'execute', sink: undefined },
  close: { kind: 'close', sink: undefined },
  sync: { kind: 'sync', sink: undefined },
  flush: { kind: 'flush', sink: undefined },
  copyEnd: { kind: 'copyEnd', sink: undefined },
};

/**
 * The queue of expected responses: which request the next message of the server belongs to. Pure bookkeeping, no
 * sockets (protocol documentation, "Message Flow": Extended Query, Pipelining, COPY Operations).
 */
export class ResponseQueue {
  #entries: Expected[] = [];
  #head = 0;
  /** An extended-protocol request failed and the server ignores what comes until a Sync. */
  #skipping = false;
  /** The server reads COPY data and ignores Sync and Flush until CopyDone or CopyFail. */
  #copyIn = false;
  #boundaries = 0;

  /** Number of requests whose answer is outstanding. */
  get length(): number {
    return this.#entries.length - this.#head;
  }

  get skipping(): boolean {
    return this.#skipping;
  }

  get copyIn(): boolean {
    return this.#copyIn;
  }

  /** Number of outstanding requests that end with a ReadyForQuery. */
  get boundaries(): number {
    return this.#boundaries;
  }

  /** The request whose answer comes next. */
  get next(): Expected | undefined {
    return this.#entries[this.#head];
  }

  /** Whether something other than the end of a batch is outstanding behind which a Flush is needed. */
  get unsynced(): boolean {
    return this.length > 0 && !isBoundary(this.#entries[this.#entries.length - 1]!);
  }

  /** Notes a request that is being sent to the server. */
  push(expected: Expected): void {
    const { kind } = expected;
    if (this.#copyIn) {
      // Ignored by the server while it reads COPY data; anything else makes the COPY fail and is answered.
      if (swallowed(expected)) {
        expected.sink?.skipped();
        return;
      }
      if (kind === 'copyEnd') {
        this.#copyIn = false;
        return;
      }
    }
    if (this.#skipping) {
      if (kind !== 'sync') {
        expected.sink?.skipped();
        return;
      }
      this.#skipping = false;
    }
    if (kind === 'copyEnd' && this.length === 0) return;
    if (isBoundary(expected)) this.#boundaries++;
    this.#entries.push(expected);
  }

  #shift(): void {
    if (isBoundary(this.#entries[this.#head]!)) this.#boundaries--;
    this.#entries[this.#head++] = FORWARD.sync;
    while (this.next?.kind === 'copyEnd') this.#head++;
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      // Not before half of it is over, so that moving the rest costs no more than each entry once.
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /**
   * Notes a message from the server and tells whose answer it belongs to. Not to be called for messages that may come at
   * any time (NoticeResponse, ParameterStatus, NotificationResponse).
   * @returns the request, and whether its answer is complete with this message
   */
  take(type: number): { readonly expected: Expected | undefined; readonly last: boolean } {
    const expected = this.next;
    if (expected === undefined) return UNEXPECTED;
    const { kind } = expected;
    let last = false;
    switch (type) {
      case Backend.parseComplete:
      case Backend.bindComplete:
      case Backend.closeComplete:
      case Backend.noData:
        last = true;
        break;
      case Backend.rowDescription:
        last = kind === 'describe';
        break;
      case Backend.commandComplete:
      case Backend.emptyQueryResponse:
      case Backend.portalSuspended:
        last = kind === 'execute';
        this.#copyIn = false;
        break;
      case Backend.copyInResponse:
        this.#enterCopyIn();
        break;
      case Backend.errorResponse:
        this.#copyIn = false;
        if (kind !== 'query' && kind !== 'functionCall' && kind !== 'sync') {
          this.#shift();
          this.#skipToSync();
          return { expected, last: true };
        }
        break;
      case Backend.readyForQuery:
        this.#copyIn = false;
        last = true;
        break;
    }
    if (last) this.#shift();
    return last ? { expected, last } : expected.sink === undefined ? FORWARDED : { expected, last };
  }

  #skipToSync(): void {
    let expected: Expected | undefined;
    while ((expected = this.next) !== undefined && expected.kind !== 'sync') {
      this.#shift();
      expected.sink?.skipped();
    }
    if (expected === undefined) this.#skipping = true;
  }

  /**
   * The server reads COPY data now: it ignores each Sync and Flush that was sent between the request and the end of the data. Anything
   * else in between makes the COPY fail, so there is no need to look further, however much was sent behind it.
   */
  #enterCopyIn(): void {
    if (this.#copyIn) return;
    const entries = this.#entries;
    const begin = this.#head + 1;
    let end = begin;
    while (end < entries.length && swallowed(entries[end]!)) end++;
    this.#copyIn = end === entries.length;
    const ignored = entries.slice(begin, end);
    if (entries[end]?.kind === 'copyEnd') end++;
    entries[end - 1] = entries[this.#head]!;
    this.#head = end - 1;
    this.#boundaries -= ignored.filter(isBoundary).length;
    for (const { sink } of ignored) sink?.skipped();
  }

  /** The connection is gone: nobody will answer. */
  abandon(): void {
    const rest = this.#entries.slice(this.#head);
    this.#entries = [];
    this.#head = 0;
    this.#boundaries = 0;
    for (const expected of rest) expected.sink?.skipped();
  }
}

/** Whether the answer ends with a ReadyForQuery. */
const isBoundary = ({ kind }: Expected): boolean =>
  kind === 'sync' || kind === 'query' || kind === 'functionCall';

/** Whether the server ignores it while it reads COPY data. */
const swallowed = ({ kind }: Expected): boolean => kind === 'sync' || kind === 'flush';

const UNEXPECTED = { expected: undefined, last: true } as const;
const FORWARDED = { expected: undefined, last: false } as const;
