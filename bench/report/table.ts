/** Lines in columns, the first of them the heading. Lines of fewer cells than the first are remarks and do not widen the columns. */
export function table(lines: readonly (readonly string[])[]): string {
  const full = lines.filter((line) => line.length === lines[0]!.length);
  const widths = lines[0]!.map((_, column) => Math.max(...full.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Three digits that count, or so: small ratios need more places than large ones. */
export function brief(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value >= 0.1 ? value.toFixed(2) : value.toFixed(3);
}
