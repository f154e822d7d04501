import { Duplex } from 'node:stream';

/** One end of a connection inside of this process. What is written to it comes out of the other one. */
class PipeEnd extends Duplex {
  #other: PipeEnd | undefined;
  /** Lets the other end go on writing, once what came from it has been read. */
  #readOn: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  join(other: PipeEnd): void {
    this.#other = other;
  }

  override _read(): void {
    const readOn = this.#readOn;
    this.#readOn = undefined;
    readOn?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    // In a later step: whoever writes must not find itself in the middle of what the reader does about it.
    process.nextTick(() => this.#deliver(chunk, done));
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer' as BufferEncoding, done);
  }

  #deliver(chunk: Buffer, done: () => void): void {
    const other = this.#other;
    if (other === undefined || other.destroyed || other.push(chunk)) done();
    else other.#readOn = done;
  }

  override _final(done: () => void): void {
    process.nextTick(() => {
      this.#other?.push(null);
      done();
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.#other;
    this.#other = undefined;
    const readOn = this.#readOn;
    this.#readOn = undefined;
    process.nextTick(() => {
      readOn?.();
      if (other === undefined || other.destroyed) return;
      if (!other.readableEnded) other.push(null);
      // Whoever does not read now would never see that end.
      if (other.isPaused()) setImmediate(() => other.destroy());
    });
    done(error);
  }
}

/** Makes the two ends of a connection inside of this process. They end as the sockets of a connection do. */
export function makePipe(): readonly [Duplex, Duplex] {
  const ends = [new PipeEnd(), new PipeEnd()] as const;
  ends[0].join(ends[1]);
  ends[1].join(ends[0]);
  return ends;
}
