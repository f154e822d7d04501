/** The proxy could not be started, or a command failed. The message is for the person who tried. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
