/** Reads a value that comes in pieces. It makes nothing of it, and takes linear time. */
export interface PieceCheck {
  /** A value begins. */
  begin(): void;
  /** @returns false when it is no value of the type, whatever comes */
  feed(bytes: Buffer, start: number, end: number): boolean;
  /** @returns whether what has come is a value of the type */
  end(): boolean;
}

/** Whether a text is a value of a type, as a server writes it. For one column of one result. */
export interface ValueCheck {
  /** A longer text is none, and is not looked at. */
  readonly maxBytes: number;
  /** The bytes from `start` to `end`. In linear time. */
  whole(bytes: Buffer, start: number, end: number): boolean;
  /** For types whose values may be long. */
  readonly pieces: PieceCheck | undefined;
}
