import { readdirSync, readFileSync } from 'node:fs';

/** How many descriptors are taken to be open where the system does not tell. */
const USUALLY_OPEN = 40;

/**
 * How many file descriptors this process may have open; infinity where the system does not tell. Node has raised the limit as
 * far as it may.
 */
export function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    if (soft !== undefined) return Number(soft);
  } catch {
    // Not Linux.
  }
  const report = process.report?.getReport() as
    | { readonly userLimits?: Readonly<Record<string, { readonly soft?: unknown }>> }
    | undefined;
  const soft = Number(report?.userLimits?.['open_files']?.soft);
  return Number.isNaN(soft) ? Number.POSITIVE_INFINITY : soft;
}

/** How many file descriptors this process has open now. */
export function openDescriptors(): number {
  for (const directory of ['/proc/self/fd', '/dev/fd']) {
    try {
      return readdirSync(directory).length;
    } catch {
      // The next directory is tried.
    }
  }
  return USUALLY_OPEN;
}
