import { owned } from './channel/index.js';
import { appendChunk } from './chunks.js';
import { EMPTY } from './protocol.js';

/**
 * How a message is to be delivered. It is decided at the header, before anything is allocated for the message.
 * `pass`: its bytes are handed on as they come. `whole`: it is collected and handed on complete. `head`: only its first
 * HEAD_BYTES are collected and handed on like a whole message. What the handler decides about them goes for the rest, too.
 * `end`: its header passes, and nothing behind it is looked at any more, because where a next message would begin is not known.
 */
export type Delivery = 'pass' | 'whole' | 'head' | 'end';

/** Bytes, header included, that are collected of a message whose delivery is `head`. */
export const HEAD_BYTES = 16_384;

/** So much of what is held can be looked at in one piece. */
const AHEAD_BYTES = 4096;

/** Takes the messages of one direction of one connection. */
export interface FrameHandler {
  /**
   * Called with the first byte of a message whose header has not come completely.
   * @returns whether this is the end of what is looked at, as with the delivery `end`
   */
  begins?(type: number): boolean;
  /**
   * Called once per message at its header. Throws for a type or length that is not acceptable.
   * @param length of the whole message in bytes, type byte and length field included (5 or more)
   */
  head(type: number, length: number): Delivery;
  /**
   * A message that was asked for whole, or its head, header included. The bytes are only valid during the call, so a handler
   * that keeps them copies them.
   * @returns true to hand the message on to `pass` as well, false if it is dealt with
   */
  whole(type: number, message: Buffer): boolean;
  /** Bytes that pass: any number of messages, or parts of them. The calls come in order with those of `whole`. */
  pass(bytes: Buffer): void;
  /** Called when the length field of a header is below 4. Throws, or ends the stream. @param length the length field */
  badLength(type: number, length: number): 'end';
}

const HEADER_BYTES = 5;

/**
 * Splits a byte stream into messages: chunks in, messages out. It knows no message's content. Messages that pass are not
 * copied, and neighbouring ones in a chunk are handed on as one piece. `stop` holds back what follows the present message
 * until `resume`, for a session that must finish one request before it looks at the next.
 */
export class Framer {
  readonly #handler: FrameHandler;
  /** What has arrived of a header, or of a message that is collected (`whole` or `head`). */
  #partial: Buffer = EMPTY;
  #partialLength = 0;
  /** How many bytes are to be collected in #partial; 0 while the header is incomplete. */
  #wanted = 0;
  /** Bytes of the present message that are still to come and are not collected. */
  #passing = 0;
  /** The bytes that #passing counts are dropped, not handed on. */
  #dropped = false;
  /** Becomes #passing when the head that is being collected is complete: the bytes of the message behind its head. */
  #rest = 0;
  #stopped = false;
  /** Nothing is looked at any more. */
  #ended = false;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /** Whether messages are held back (`stop`). */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether a message is unfinished, or bytes are held back. */
  get pending(): boolean {
    return this.#partialLength > 0 || this.#passing > 0 || this.#held.length > 0;
  }

  /** Whether a part of a message has been handed on and the rest of that message is still to come. */
  get midMessage(): boolean {
    return this.#passing > 0 && !this.#dropped;
  }

  /** Type of the message that is being collected, if there is one. */
  get collecting(): number | undefined {
    return this.#partialLength > 0 ? this.#partial[0] : undefined;
  }

  /** How many bytes wait for `resume`. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The last bytes of what waits for `resume`, as many of these as there are. */
  heldEnd(length: number): Buffer {
    return Buffer.concat(this.#held.slice(-length).map((chunk) => chunk.subarray(-length))).subarray(-length);
  }

  /** The beginning of what waits for `resume`: all of it, or AHEAD_BYTES at least. */
  get ahead(): Buffer {
    const held = this.#held;
    while (held.length > 1 && held[0]!.length < AHEAD_BYTES)
      held.splice(0, 2, Buffer.concat(held.slice(0, 2)));
    return held[0] ?? EMPTY;
  }

  /** Drops whole messages from the beginning of `ahead`. @param length of them, in bytes */
  drop(length: number): void {
    const first = this.#held.shift() ?? EMPTY;
    this.#heldBytes -= first.length;
    this.#putBack(first.subarray(length));
  }

  /** Holds back everything behind the message that is being handled, until `resume`. */
  stop(): void {
    this.#stopped = true;
  }

  /** Goes on with what was held back. A handler may stop it again. */
  resume(): void {
    this.#stopped = false;
    while (!this.#stopped && this.#held.length > 0) {
      const chunk = this.#held.shift()!;
      this.#heldBytes -= chunk.length;
      this.#feed(chunk);
    }
  }

  /** Takes the next bytes of the stream, which may be those of a channel. @throws what the handler throws */
  push(chunk: Buffer): void {
    if (this.#stopped || this.#held.length > 0) {
      appendChunk(this.#held, owned(chunk));
      this.#heldBytes += chunk.length;
    } else this.#feed(chunk);
  }

  /** Puts what follows the present message back in front of what is held. */
  #putBack(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#held.unshift(owned(rest));
    this.#heldBytes += rest.length;
  }

  #feed(chunk: Buffer): void {
    let offset = 0;
    let passFrom = 0;
    const handler = this.#handler;
    if (this.#ended) return;

    if (this.#passing > 0) {
      offset = Math.min(this.#passing, chunk.length);
      this.#passing -= offset;
      if (this.#dropped) passFrom = offset;
    } else if (this.#partialLength > 0) {
      offset = this.#complete(chunk);
      passFrom = offset;
      if (this.#ended) return;
      if (this.#partialLength > 0 || this.#stopped) {
        this.#putBack(chunk.subarray(offset));
        return;
      }
      if (this.#passing > 0) {
        const part = Math.min(this.#passing, chunk.length - offset);
        this.#passing -= part;
        offset += part;
        if (this.#dropped) passFrom = offset;
      }
    }

    while (offset < chunk.length) {
      const left = chunk.length - offset;
      if (left < HEADER_BYTES) break;
      const type = chunk[offset]!;
      const length = chunk.readInt32BE(offset + 1) + 1;
      const delivery = this.#delivery(type, length);
      if (delivery === 'end') {
        this.#ended = true;
        handler.pass(chunk.subarray(passFrom, offset + HEADER_BYTES));
        return;
      }
      if (delivery === 'pass') {
        const part = Math.min(length, left);
        this.#passing = length - part;
        this.#dropped = false;
        offset += part;
        if (!this.#stopped) continue;
        handler.pass(chunk.subarray(passFrom, offset));
        this.#putBack(chunk.subarray(offset));
        return;
      }
      const wanted = delivery === 'head' ? Math.min(length, HEAD_BYTES) : length;
      if (left < wanted) {
        if (offset > passFrom) handler.pass(chunk.subarray(passFrom, offset));
        this.#collect(chunk.subarray(offset), wanted);
        this.#rest = length - wanted;
        return;
      }
      const next = offset + wanted;
      const message = chunk.subarray(offset, next);
      // The bytes that pass in front of this message must be handed on before the handler sees it.
      if (offset > passFrom) handler.pass(chunk.subarray(passFrom, offset));
      passFrom = handler.whole(type, message) ? offset : next;
      offset = next;
      if (wanted < length) {
        const part = Math.min(length - wanted, chunk.length - offset);
        this.#passing = length - wanted - part;
        this.#dropped = passFrom === next;
        offset += part;
        if (this.#dropped) passFrom = offset;
      }
      if (this.#stopped) {
        if (offset > passFrom) handler.pass(chunk.subarray(passFrom, offset));
        this.#putBack(chunk.subarray(offset));
        return;
      }
    }
    if (offset > passFrom) handler.pass(chunk.subarray(passFrom, offset));
    if (offset < chunk.length) this.#collect(chunk.subarray(offset), 0);
  }

  #delivery(type: number, length: number): Delivery {
    return length < HEADER_BYTES
      ? this.#handler.badLength(type, length - 1)
      : this.#handler.head(type, length);
  }

  #collect(bytes: Buffer, wanted: number): void {
    if (wanted === 0 && this.#handler.begins?.(bytes[0]!) === true) {
      this.#ended = true;
      this.#handler.pass(bytes);
      return;
    }
    // The buffer grows with what arrives. A header that only claims a great length must not cost memory.
    this.#partial = Buffer.allocUnsafe(
      Math.min(Math.max(wanted, HEADER_BYTES), Math.max(65536, bytes.length)),
    );
    this.#partialLength = bytes.copy(this.#partial);
    this.#wanted = wanted;
  }

  #append(bytes: Buffer): void {
    const needed = this.#partialLength + bytes.length;
    if (needed > this.#partial.length) {
      const limit = Math.max(this.#wanted, HEADER_BYTES);
      const grown = Buffer.allocUnsafe(Math.min(limit, Math.max(needed, this.#partial.length * 2)));
      this.#partial.copy(grown, 0, 0, this.#partialLength);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#partialLength);
    this.#partialLength = needed;
  }

  /** Continues a partial header or message with a new chunk. @returns how many bytes of the chunk were used */
  #complete(chunk: Buffer): number {
    const handler = this.#handler;
    let offset = 0;
    if (this.#wanted === 0) {
      offset = Math.min(HEADER_BYTES - this.#partialLength, chunk.length);
      this.#append(chunk.subarray(0, offset));
      if (this.#partialLength < HEADER_BYTES) return offset;
      const type = this.#partial[0]!;
      const length = this.#partial.readInt32BE(1) + 1;
      const delivery = this.#delivery(type, length);
      if (delivery === 'pass' || delivery === 'end') {
        this.#ended = delivery === 'end';
        this.#dropped = false;
        const header = this.#partial.subarray(0, HEADER_BYTES);
        this.#partial = EMPTY;
        this.#partialLength = 0;
        this.#passing = this.#ended ? 0 : length - HEADER_BYTES;
        handler.pass(header);
        return offset;
      }
      this.#wanted = delivery === 'head' ? Math.min(length, HEAD_BYTES) : length;
      this.#rest = length - this.#wanted;
    }
    const part = Math.min(this.#wanted - this.#partialLength, chunk.length - offset);
    this.#append(chunk.subarray(offset, offset + part));
    offset += part;
    if (this.#partialLength < this.#wanted) return offset;
    const message = this.#partial.subarray(0, this.#wanted);
    this.#partial = EMPTY;
    this.#partialLength = 0;
    this.#wanted = 0;
    this.#passing = this.#rest;
    this.#rest = 0;
    this.#dropped = !handler.whole(message[0]!, message);
    if (!this.#dropped) handler.pass(message);
    return offset;
  }
}
