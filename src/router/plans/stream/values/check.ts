import type { PieceCheck, ValueCheck } from '../../../../dblink/remote/valueCheck.js';

/** A check of a type whose values are short: a longer one is none. */
export const bounded = (
  maxBytes: number,
  whole: (bytes: Buffer, start: number, end: number) => boolean,
): ValueCheck => ({ maxBytes, whole, pieces: undefined });

/** A check of a type whose values may be long. @param make makes what reads the values of one column */
export function unbounded(make: () => PieceCheck): ValueCheck {
  const pieces = make();
  return {
    maxBytes: Number.POSITIVE_INFINITY,
    whole: (bytes, start, end) => {
      pieces.begin();
      return pieces.feed(bytes, start, end) && pieces.end();
    },
    pieces,
  };
}

/** The longest value of a type of fixed size, with room to spare. */
export const SHORT_BYTES = 100;
