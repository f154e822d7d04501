/** What a remote's NOTIFY says. Text is byte strings. */
export interface Notification {
  readonly name: string;
  /** Process ID of the server process that sent it. */
  readonly pid: number;
  /** Empty when there is none. */
  readonly payload: string;
}

/** How many bytes may wait for dblink_get_notify. Each notification counts 100 bytes more than its text. */
export const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
const OVERHEAD_BYTES = 100;

/** The notifications of one connection that dblink_get_notify has not returned yet. */
export class NotificationQueue {
  #waiting: Notification[] = [];
  #bytes = 0;

  /** @throws Error when too many wait. Dropping some would go unnoticed, so the connection is to end. */
  add(pid: number, channel: Buffer, payload: Buffer): void {
    this.#bytes += channel.length + payload.length + OVERHEAD_BYTES;
    if (this.#bytes > MAX_QUEUED_BYTES) throw new Error(TOO_MANY);
    this.#waiting.push({ name: channel.toString('latin1'), pid, payload: payload.toString('latin1') });
  }

  /** Takes all of them, in the order in which they came. */
  take(): readonly Notification[] {
    const taken = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return taken;
  }
}

const TOO_MANY = `more than ${MAX_QUEUED_BYTES} bytes of notifications were waiting for dblink_get_notify()`;
