import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Memory of a process during a benchmark: resident set size in bytes. */
export interface MemoryUse {
  readonly before: number;
  readonly peak: number;
  readonly after: number;
}

const SAMPLE_MS = process.platform === 'linux' ? 20 : 250;

/** Observes another process from outside. */
export class ProcessMeter {
  constructor(readonly pid: number) {}

  /** Resident set size in bytes; 0 when the process is gone. */
  memory(): number {
    try {
      if (process.platform !== 'linux') {
        return (
          Number(execFileSync('ps', ['-o', 'rss=', '-p', String(this.pid)], { encoding: 'utf8' })) * 1024
        );
      }
      const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
    } catch {
      return 0;
    }
  }

  /** Processor time used so far by all threads that it has, in seconds; undefined where it cannot be told. */
  processorSeconds(): number | undefined {
    if (process.platform !== 'linux') return undefined;
    try {
      const threads = readdirSync(`/proc/${this.pid}/task`);
      // The first field is in nanoseconds; /proc/PID/stat counts in hundredths of a second.
      const times = threads.map((thread) =>
        Number(readFileSync(`/proc/${this.pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0]),
      );
      return times.reduce((sum, time) => sum + time, 0) / 1e9;
    } catch {
      return undefined;
    }
  }

  /** Watches the memory until the returned function is called. */
  watch(): () => MemoryUse {
    const before = this.memory();
    let peak = before;
    const timer = setInterval(() => {
      peak = Math.max(peak, this.memory());
    }, SAMPLE_MS);
    return () => {
      clearInterval(timer);
      const after = this.memory();
      return { before, peak: Math.max(peak, after), after };
    };
  }
}
