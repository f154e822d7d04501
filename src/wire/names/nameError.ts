/** Why no address was found for a name, in the codes of getaddrinfo(). */
export type NameFailure = 'EAI_AGAIN' | 'EAI_NODATA' | 'ENOTFOUND';

const WORDS: Readonly<Record<NameFailure, string>> = {
  EAI_AGAIN: 'Temporary failure in name resolution',
  EAI_NODATA: 'No address associated with hostname',
  ENOTFOUND: 'Name or service not known',
};

/** No address was found for a name. The message is that of gai_strerror(). */
export class NameError extends Error {
  override readonly name = 'NameError';

  constructor(readonly code: NameFailure) {
    super(WORDS[code]);
  }
}

/** The message of a failed look-up, in the words of gai_strerror(), or undefined if the error is of another kind. */
export const nameFailure = (error: unknown): string | undefined =>
  error instanceof NameError ? error.message : undefined;
