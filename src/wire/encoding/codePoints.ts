/** A set of code points. */
export interface CodePointSet {
  has(codePoint: number): boolean;
}

/** A set of ranges. @param ranges in ascending order, in hexadecimal, the end of each included: `41-5a 61` */
export function codePointSet(ranges: string): CodePointSet {
  const bounds = ranges.split(' ').map((range): readonly [first: number, last: number] => {
    const [first = '', last = first] = range.split('-');
    return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  });
  return {
    has(codePoint) {
      let low = 0;
      let high = bounds.length - 1;
      while (low <= high) {
        const middle = (low + high) >> 1;
        const [first, last] = bounds[middle]!;
        if (codePoint > last) low = middle + 1;
        else if (codePoint < first) high = middle - 1;
        else return true;
      }
      return false;
    },
  };
}
