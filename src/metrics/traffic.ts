import type { Traffic } from './metrics.js';

/** What a socket counts by itself. */
interface Counting {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** Adds up what has passed through sockets. They count themselves, so nothing has to be done for a message. */
export class TrafficSum {
  #received = 0;
  #sent = 0;

  /** A socket has been closed. */
  add({ bytesRead, bytesWritten }: Counting): void {
    this.#received += bytesRead;
    this.#sent += bytesWritten;
  }

  /** All of it. @param open the sockets that have not been closed */
  with(open: Iterable<Counting>): Traffic {
    let [received, sent] = [this.#received, this.#sent];
    for (const { bytesRead, bytesWritten } of open) {
      received += bytesRead;
      sent += bytesWritten;
    }
    return { received, sent };
  }
}
