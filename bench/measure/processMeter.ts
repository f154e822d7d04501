import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Memory of a process during a benchmark: resident set size in bytes. */
export interface MemoryUse {
  readonly before: number;
  readonly peak: number;
  readonly after: number;
}

const SAMPLE_MS = process.platform === 'linux' ? 20 : 250;
/** Unit of the times in /proc/PID/stat, the same on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

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

  /** Processor time used so far by all of its threads, in seconds; undefined where it cannot be told. */
  processorSeconds(): number | undefined {
    if (process.platform !== 'linux') return undefined;
    try {
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
      // The second field is the program's name in parentheses and may contain anything.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
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
