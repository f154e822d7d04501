/** Whether a name is one that a rule means. */
export type NamePattern = (name: string) => boolean;

/**
 * A pattern of names in which `*` stands for any characters. One of several patterns is enough.
 * @param folded whether case makes no difference, nor a dot behind the name, as for host names
 */
export function namePattern(patterns: readonly string[], folded = false): NamePattern {
  const fold = (name: string): string => (folded ? name.toLowerCase().replace(/(?<=[^.])\.$/, '') : name);
  const parts = patterns.map((pattern) => fold(pattern).split('*'));
  return (name) => parts.some((pieces) => matches(fold(name), pieces));
}

/** Whether a name consists of these pieces with anything in between. Each is looked for once, so it takes linear time. */
function matches(name: string, [first = '', ...others]: readonly string[]): boolean {
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const piece of others) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
