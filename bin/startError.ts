/** The proxy could not be started; the message is for the person who tried. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
