import { Backend } from '../wire/protocol.js';

/**
 * The kinds of frontend messages, as far as the server's answer depends on them. `copyEnd` stands for CopyDone and CopyFail.
 * They get no answer themselves, but they tell which Sync messages a COPY has swallowed. `flush` stands for a Flush with a body.
 * It is an error of the extended protocol, unless a COPY swallows it.
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

/** Takes the answer to a request that the proxy made itself, or an answer that the proxy must change on its way to the client. */
export interface ResponseSink {
  /** Whether rows and COPY data of the answer go to the client without being handed to `message`. */
  readonly passRows: boolean;
  /** Whether notices that come during this answer are kept from the client. */
  readonly muted?: boolean;
  /**
   * Called for a NoticeResponse that comes during this answer.
   * @param message valid during the call only
   * @returns whether the notice has been dealt with: nobody else sees it then
   */
  notice?(message: Buffer): boolean;
  /**
   * Called for each message of the answer.
   * @param message the whole message, valid during the call only
   * @param last whether the answer is complete with this message
   * @returns whether the message goes on to the client as it is
   */
  message(type: number, message: Buffer, last: boolean): boolean;
  /** The server skips this request, because an earlier one of the same batch failed, or the connection is gone. */
  skipped(): void;
}

/** One request that was sent to the server, and whose answer is outstanding. */
export interface Expected {
  readonly kind: RequestKind;
  /** Takes the answer. Without a sink the answer is forwarded. */
  readonly sink: ResponseSink | undefined;
  /** The request runs something, but nothing that could make wrong what is known of the session (see PrimaryLink.changes). */
  readonly harmless?: boolean;
}

/** Entries for forwarded requests. They are shared, so that relaying allocates nothing. */
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
 * The queue of expected responses. It tells which request the next message of the server belongs to. This is bookkeeping only,
 * without sockets (protocol documentation, "Message Flow": Extended Query, Pipelining, COPY Operations).
 */
export class ResponseQueue {
  /** Its length only grows while the queue is in use: an array that is emptied is allocated anew with the next entry. */
  #entries: Expected[] = [];
  #head = 0;
  #tail = 0;
  /** A request of the extended protocol failed, and the server ignores whatever is sent from now on until a Sync. */
  #skipping = false;
  /** The server reads COPY data and ignores Sync and Flush until CopyDone or CopyFail. */
  #copyIn = false;
  #boundaries = 0;

  /** Number of requests whose answer is outstanding. */
  get length(): number {
    return this.#tail - this.#head;
  }

  /** Whether the server ignores whatever is sent now until the next Sync. */
  get skipping(): boolean {
    return this.#skipping;
  }

  /** Whether the server reads COPY data. */
  get copyIn(): boolean {
    return this.#copyIn;
  }

  /** Number of outstanding requests that end with a ReadyForQuery. */
  get boundaries(): number {
    return this.#boundaries;
  }

  /** The request whose answer comes next. */
  get next(): Expected | undefined {
    return this.#head === this.#tail ? undefined : this.#entries[this.#head];
  }

  /** Whether the request that was sent last needs a Flush behind it, because it does not end a batch. */
  get unsynced(): boolean {
    return this.length > 0 && !isBoundary(this.#entries[this.#tail - 1]!);
  }

  /** Notes a request that is being sent to the server. */
  push(expected: Expected): void {
    const { kind } = expected;
    if (this.#copyIn) {
      // The server ignores these while it reads COPY data. Anything else makes the COPY fail and is answered.
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
    this.#entries[this.#tail++] = expected;
  }

  #shift(): void {
    if (isBoundary(this.#entries[this.#head]!)) this.#boundaries--;
    // A shared entry takes the place, so that the queue does not keep the sink.
    this.#entries[this.#head++] = FORWARD.sync;
    while (this.next?.kind === 'copyEnd') this.#head++;
    if (this.#head === this.#tail) this.#clear();
    else if (this.#head > KEPT_ENTRIES && this.#head * 2 > this.#tail) {
      // Only when at least half of the entries are done. So on average no entry is moved more than once.
      this.#entries.splice(0, this.#head);
      this.#tail -= this.#head;
      this.#head = 0;
    }
  }

  #clear(): void {
    if (this.#entries.length > KEPT_ENTRIES) this.#entries = [];
    this.#head = this.#tail = 0;
  }

  /**
   * Notes a message from the server and tells which request it answers. It must not be called for messages that may come at any
   * time (NoticeResponse, ParameterStatus, NotificationResponse).
   * @returns the request, and whether its answer is complete with this message; the request may be missing when it has no sink
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

  /** After an error the server skips the requests up to the next Sync. */
  #skipToSync(): void {
    let expected: Expected | undefined;
    while ((expected = this.next) !== undefined && expected.kind !== 'sync') {
      this.#shift();
      expected.sink?.skipped();
    }
    if (expected === undefined) this.#skipping = true;
  }

  /**
   * The server begins to read COPY data. It ignores each Sync and Flush that was sent between the request and the end of the
   * data. Anything else in between makes the COPY fail. So there is no need to look further, however much was sent behind it.
   */
  #enterCopyIn(): void {
    if (this.#copyIn) return;
    const entries = this.#entries;
    const begin = this.#head + 1;
    let end = begin;
    while (end < this.#tail && swallowed(entries[end]!)) end++;
    this.#copyIn = end === this.#tail;
    const ignored = entries.slice(begin, end);
    if (end < this.#tail && entries[end]!.kind === 'copyEnd') end++;
    // The COPY's own entry moves to the place of the last one that is taken out.
    entries[end - 1] = entries[this.#head]!;
    entries.fill(FORWARD.sync, this.#head, end - 1);
    this.#head = end - 1;
    this.#boundaries -= ignored.filter(isBoundary).length;
    for (const { sink } of ignored) sink?.skipped();
  }

  /** The connection is gone, so nobody will answer: every outstanding request counts as skipped. */
  abandon(): void {
    const rest = this.#entries.slice(this.#head, this.#tail);
    this.#entries = [];
    this.#head = this.#tail = 0;
    this.#boundaries = 0;
    for (const expected of rest) expected.sink?.skipped();
  }
}

/** Whether the answer ends with a ReadyForQuery. */
const isBoundary = ({ kind }: Expected): boolean =>
  kind === 'sync' || kind === 'query' || kind === 'functionCall';

/** Whether the server ignores it while it reads COPY data. */
const swallowed = ({ kind }: Expected): boolean => kind === 'sync' || kind === 'flush';

/** The array of a queue that was longer is given back when the queue is empty. */
const KEPT_ENTRIES = 1024;

const UNEXPECTED = { expected: undefined, last: true } as const;
const FORWARDED = { expected: undefined, last: false } as const;
