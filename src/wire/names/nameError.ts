/** Why a name has no address, by the codes of getaddrinfo(). */
export type NameFailure = 'EAI_AGAIN' | 'EAI_NODATA' | 'ENOTFOUND';

const WORDS: Readonly<Record<NameFailure, string>> = {
  EAI_AGAIN: 'Temporary failure in name resolution',
  EAI_NODATA: 'No address associated with hostname',
  ENOTFOUND: 'Name or service not known',
};

/** A name that has no address; the message is that of gai_strerror(). */
export class NameError extends Error {
  override readonly name = 'NameError';

  constructor(readonly code: NameFailure) {
    super(WORDS[code]);
  }
}

/** getaddrinfo()'s words for an error of a look-up, or undefined for another one. */
export const nameFailure = (error: unknown): string | undefined =>
  error instanceof NameError ? error.message : undefined;
