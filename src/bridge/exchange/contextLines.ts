/**
 * Reads texts of several lines, such as the CONTEXT of an error. Whoever raises the error decides how long the text is and what
 * is in it. So nothing here looks at a character more than a few times: only lines that hold a searched word are looked at.
 */

/** The place of a line in a text, with the line feed behind it. */
export interface Line {
  readonly start: number;
  /** Where the next one begins. */
  readonly end: number;
}

/** The line that the character at `at` belongs to. */
export function lineAt(text: string, at: number): Line {
  const start = at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1;
  const feed = text.indexOf('\n', at);
  return { start, end: feed < 0 ? text.length : feed + 1 };
}

/** The line that begins at `start`; an empty one behind the last line feed. */
export function lineFrom(text: string, start: number): Line {
  const feed = text.indexOf('\n', start);
  return { start, end: feed < 0 ? text.length : feed + 1 };
}

/** The text of a line, with its line feed. */
export const contentOf = (text: string, { start, end }: Line): string => text.slice(start, end);

/** Whether another line follows, even an empty one. */
export const isFollowed = (text: string, { start, end }: Line): boolean =>
  end > start && text[end - 1] === '\n';

/** The first line that holds the word and meets the condition. @param start where to begin, the beginning of a line */
export function findLine(
  text: string,
  word: string,
  start: number,
  condition: (content: string, line: Line) => boolean,
): Line | undefined {
  for (let from = start; ; ) {
    const at = text.indexOf(word, from);
    if (at < 0) return undefined;
    const line = lineAt(text, at);
    if (condition(contentOf(text, line), line)) return line;
    from = line.end;
  }
}

/**
 * Takes lines out of a text.
 * @param next finds the next lines to be taken, whole ones, from the beginning of a line on
 */
export function withoutLines(text: string, next: (start: number) => Line | undefined): string {
  let left = '';
  let from = 0;
  for (let taken = next(0); taken !== undefined; taken = next(from)) {
    left += text.slice(from, taken.start);
    if (taken.end <= from) throw new Error('no line was taken');
    from = taken.end;
  }
  return from === 0 ? text : left + text.slice(from);
}
