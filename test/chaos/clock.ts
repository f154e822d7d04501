/** Preloaded into a proxy: the time of day jumps when it is told so. Timers and performance.now() go on, as in a process whose clock is set. */

let shiftMs = 0;
const RealDate = Date;

class ShiftedDate extends RealDate {
  constructor(...given: readonly [] | readonly [number | string | Date]) {
    super(given[0] ?? RealDate.now() + shiftMs);
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
}

globalThis.Date = ShiftedDate as DateConstructor;

/** What the process is told. */
export interface ClockJump {
  readonly jumpMs: number;
}

process.on('message', (message: Partial<ClockJump>) => {
  shiftMs += message.jumpMs ?? 0;
});
