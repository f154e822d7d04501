/**
 * A model of how a backtracking matcher, such as V8's, works through an expression: it counts steps, which is the same on
 * every machine, however busy. Reads what the sources use of regular expressions, and says what it does not know.
 */

type Part =
  | { readonly kind: 'char'; readonly matches: Uint8Array; readonly samples: readonly string[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Part[] }
  | { readonly kind: 'choice'; readonly parts: readonly Part[] }
  | {
      readonly kind: 'repeat';
      readonly part: Part;
      readonly min: number;
      readonly max: number;
      readonly lazy: boolean;
    }
  | { readonly kind: 'look'; readonly part: Part; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: 'place'; readonly at: '^' | '$' | 'b' | 'B' };

/** Characters that stand for a class, the first of them that it has: one of a word, or one between words. */
const SAMPLES = ['a1_ "\'-.,:/()A\n\\\0\u00e9', ' -,.:/()"\'a1_A\n\\\0\u00e9'].map((text) => [...text]);

const charPart = (source: string, flags: string): Part => {
  const one = new RegExp(`^(?:${source})$`, flags.replace(/[gym]/g, ''));
  const matches = new Uint8Array(256);
  for (let code = 0; code < 256; code++) if (one.test(String.fromCharCode(code))) matches[code] = 1;
  const has = (text: string): boolean => matches[text.charCodeAt(0)] === 1;
  const any = String.fromCharCode(Math.max(0, matches.indexOf(1)));
  return { kind: 'char', matches, samples: SAMPLES.map((order) => order.find(has) ?? any) };
};

class Reader {
  #at = 0;

  constructor(
    private readonly source: string,
    private readonly flags: string,
  ) {}

  read(): Part {
    const part = this.#choice();
    if (this.#at < this.source.length) throw this.#unknown();
    return part;
  }

  #unknown(): Error {
    return new Error(`not known to this test: ${this.source.slice(this.#at)} in /${this.source}/`);
  }

  #take(text: string): boolean {
    if (!this.source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #choice(): Part {
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts };
  }

  #sequence(): Part {
    const parts: Part[] = [];
    while (this.#at < this.source.length && !'|)'.includes(this.source[this.#at]!)) {
      parts.push(this.#quantified(this.#atom()));
    }
    return { kind: 'sequence', parts };
  }

  #quantified(part: Part): Part {
    let min: number;
    let max = Number.POSITIVE_INFINITY;
    if (this.#take('*')) min = 0;
    else if (this.#take('+')) min = 1;
    else if (this.#take('?')) [min, max] = [0, 1];
    else {
      const found = /^\{(\d+)(,?)(\d*)\}/.exec(this.source.slice(this.#at));
      if (found === null) return part;
      this.#at += found[0].length;
      min = Number(found[1]);
      if (found[2] === '') max = min;
      else if (found[3] !== '') max = Number(found[3]);
    }
    return { kind: 'repeat', part, min, max, lazy: this.#take('?') };
  }

  #atom(): Part {
    for (const [opening, behind, negative] of [
      ['(?=', false, false],
      ['(?!', false, true],
      ['(?<=', true, false],
      ['(?<!', true, true],
    ] as const) {
      if (!this.#take(opening)) continue;
      const part = this.#choice();
      if (!this.#take(')')) throw this.#unknown();
      return { kind: 'look', part, behind, negative };
    }
    if (this.#take('(?:') || this.#take('(')) {
      const name = /^\?<[A-Za-z]\w*>/.exec(this.source.slice(this.#at));
      this.#at += name?.[0].length ?? 0;
      const part = this.#choice();
      if (!this.#take(')')) throw this.#unknown();
      return part;
    }
    if (this.#take('^')) return { kind: 'place', at: '^' };
    if (this.#take('$')) return { kind: 'place', at: '$' };
    if (this.#take('\\b')) return { kind: 'place', at: 'b' };
    if (this.#take('\\B')) return { kind: 'place', at: 'B' };
    const found =
      /^(?:\[\^?(?:\\[\s\S]|[^\]\\])*\]|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^1-9kpP]|[^\\*+?{])/u.exec(
        this.source.slice(this.#at),
      )?.[0];
    if (found === undefined) throw this.#unknown();
    this.#at += found.length;
    return charPart(found, this.flags);
  }
}

export const readExpression = ({ source, flags }: RegExp): Part => new Reader(source, flags).read();

/** Text that a part matches. @param kind which of the characters of a class are taken */
export function sampleOf(part: Part, kind: number): string {
  switch (part.kind) {
    case 'char':
      return part.samples[kind]!;
    case 'sequence':
      return part.parts.map((one) => sampleOf(one, kind)).join('');
    case 'choice':
      return sampleOf(part.parts[0]!, kind);
    case 'repeat':
      return sampleOf(part.part, kind).repeat(Math.max(1, part.min));
    case 'look':
    case 'place':
      return '';
  }
}

/** Of more alternatives the first ones: those of the sources are alike. */
const MAX_ALTERNATIVES = 6;
/** So many neighbouring parts are repeated together. */
const MAX_TOGETHER = 8;

const isLetter = (part: Part): boolean =>
  part.kind === 'char' && part.matches.reduce((sum, one) => sum + one, 0) <= 2;

/** Samples of a sequence's parts, a word's letters together: to repeat a part of a word is no slower than to repeat another. */
function samplesOf(parts: readonly Part[], kind: number): string[] {
  const samples: string[] = [];
  let inWord = false;
  for (const part of parts) {
    const letter = isLetter(part);
    if (letter && inWord) samples.push(`${samples.pop()!}${sampleOf(part, kind)}`);
    else samples.push(sampleOf(part, kind));
    inWord = letter;
  }
  return samples;
}

/** Texts that may be repeated in what is fed to an expression: what each part of it matches, and neighbouring parts together. */
export function pumpsOf(part: Part, kind: number, found = new Set<string>()): Set<string> {
  const add = (text: string): void => {
    if (text !== '' && text.length <= 200) found.add(text);
  };
  add(sampleOf(part, kind));
  switch (part.kind) {
    case 'sequence': {
      const samples = samplesOf(part.parts, kind);
      samples.forEach((_, from) => {
        for (let to = from + 1; to <= Math.min(samples.length, from + MAX_TOGETHER); to++)
          add(samples.slice(from, to).join(''));
      });
      for (const inner of part.parts) if (inner.kind !== 'char') pumpsOf(inner, kind, found);
      break;
    }
    case 'choice':
      for (const inner of part.parts.slice(0, MAX_ALTERNATIVES)) pumpsOf(inner, kind, found);
      break;
    case 'repeat':
    case 'look':
      pumpsOf(part.part, kind, found);
      break;
  }
  return found;
}

function widthOf(part: Part): number {
  switch (part.kind) {
    case 'char':
      return 1;
    case 'sequence':
      return part.parts.reduce((sum, one) => sum + widthOf(one), 0);
    case 'choice': {
      const [first, ...others] = part.parts.map(widthOf);
      if (others.some((width) => width !== first)) throw new Error('a look behind of several lengths');
      return first!;
    }
    case 'repeat':
      if (part.min !== part.max) throw new Error('a look behind of any length');
      return part.min * widthOf(part.part);
    default:
      return 0;
  }
}

/** More steps are not counted. */
const MAX_STEPS = 10_000_000;

class Matcher {
  steps = 0;
  #end = -1;

  constructor(
    private readonly text: string,
    private readonly multiline: boolean,
  ) {}

  /** Where a match that begins here ends, or -1. */
  from(part: Part, at: number): number {
    this.#end = -1;
    this.#match(part, at, (end) => {
      this.#end = end;
      return true;
    });
    return this.#end;
  }

  #match(part: Part, at: number, then: (at: number) => boolean): boolean {
    if (++this.steps > MAX_STEPS) return true;
    const { text } = this;
    switch (part.kind) {
      case 'char':
        return at < text.length && this.#has(part.matches, at) && then(at + 1);
      case 'sequence':
        return this.#sequence(part.parts, 0, at, then);
      case 'choice':
        return part.parts.some((one) => this.#match(one, at, then));
      case 'repeat':
        return this.#repeat(part, at, then);
      case 'place':
        return this.#isAt(part.at, at) && then(at);
      case 'look': {
        const from = part.behind ? at - widthOf(part.part) : at;
        const found = from >= 0 && this.#match(part.part, from, () => true);
        return found !== part.negative && then(at);
      }
    }
  }

  #has(matches: Uint8Array, at: number): boolean {
    return matches[Math.min(255, this.text.charCodeAt(at))] === 1;
  }

  #isAt(place: '^' | '$' | 'b' | 'B', at: number): boolean {
    const { text } = this;
    const word = (i: number): boolean => i >= 0 && i < text.length && /\w/.test(text[i]!);
    switch (place) {
      case '^':
        return at === 0 || (this.multiline && text[at - 1] === '\n');
      case '$':
        return at === text.length || (this.multiline && text[at] === '\n');
      case 'b':
        return word(at - 1) !== word(at);
      case 'B':
        return word(at - 1) === word(at);
    }
  }

  #sequence(parts: readonly Part[], from: number, at: number, then: (at: number) => boolean): boolean {
    const part = parts[from];
    if (part === undefined) return then(at);
    return this.#match(part, at, (end) => this.#sequence(parts, from + 1, end, then));
  }

  #repeat(
    { part, min, max, lazy }: Part & { kind: 'repeat' },
    at: number,
    then: (at: number) => boolean,
  ): boolean {
    if (part.kind === 'char') {
      let most = 0;
      if (!lazy) {
        while (most < max && at + most < this.text.length && this.#has(part.matches, at + most)) most++;
        this.steps += most;
        for (let count = most; count >= min; count--) {
          if (++this.steps > MAX_STEPS || then(at + count)) return true;
        }
        return false;
      }
      for (let count = 0; count <= max; count++) {
        if (++this.steps > MAX_STEPS || (count >= min && then(at + count))) return true;
        if (at + count >= this.text.length || !this.#has(part.matches, at + count)) return false;
      }
      return false;
    }
    const again = (count: number, from: number): boolean => {
      const more = (): boolean =>
        count < max && this.#match(part, from, (end) => end > from && again(count + 1, end));
      const enough = (): boolean => count >= min && then(from);
      return lazy ? enough() || more() : more() || enough();
    };
    return again(0, at);
  }
}

/** How many steps all searches take that are made with an expression on a text: one, or all that a global one makes. */
export function stepsOf(part: Part, flags: string, text: string): number {
  const matcher = new Matcher(text, flags.includes('m'));
  for (let at = 0; at <= text.length && matcher.steps <= MAX_STEPS; ) {
    const end = matcher.from(part, at);
    if (end < 0 && flags.includes('y')) break;
    if (end >= 0 && !flags.includes('g')) break;
    at = end < 0 ? at + 1 : Math.max(end, at + 1);
  }
  return matcher.steps;
}

/** What may be around what is repeated: something that goes on, something that stops it. */
const ENDS = ['', '!', '\n', '\0'];

const MAX_PREFIXES = 5;

/** Times as many steps for twice as long a text. */
const LINEAR = 2.6;

/**
 * A text on which an expression takes more than linear time, as far as repeating what its own parts match finds one.
 * @returns undefined for none
 */
export function slowInput(
  expression: RegExp,
): { readonly text: string; readonly growth: number } | undefined {
  const part = readExpression(expression);
  const { flags } = expression;
  for (const kind of SAMPLES.keys()) {
    const whole = sampleOf(part, kind);
    for (const pump of pumpsOf(part, kind)) {
      for (const prefix of prefixesOf(whole, pump)) {
        for (const end of ENDS) {
          const growth = growthOf(part, flags, prefix, pump, end);
          if (growth > LINEAR) return { text: `${prefix}(${pump})*${end}`, growth };
        }
      }
    }
  }
  return undefined;
}

/** What stands in front of a text in another one, at its first places there. */
function prefixesOf(whole: string, text: string): ReadonlySet<string> {
  const found = new Set(['']);
  for (let at = whole.indexOf(text); at >= 0 && found.size < MAX_PREFIXES; at = whole.indexOf(text, at + 1)) {
    found.add(whole.slice(0, at));
  }
  return found;
}

function growthOf(part: Part, flags: string, prefix: string, pump: string, end: string): number {
  // As many characters, whatever is repeated; the more units the clearer.
  const count = Math.max(10, Math.ceil(200 / pump.length));
  const steps = (times: number): number =>
    stepsOf(part, flags, `${prefix}${pump.repeat(count * times)}${end}`);
  const first = steps(1);
  if (first > MAX_STEPS) return Number.POSITIVE_INFINITY;
  const second = steps(2);
  if (second / first <= LINEAR) return second / first;
  // A text that matches needs fewer steps than one that almost does: what grows goes on growing.
  return Math.min(second / first, steps(4) / second);
}
