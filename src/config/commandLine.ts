/*
 * The list of processes shows the command line to every user of the machine. A process can change the text that is shown once it
 * runs. So what must not be seen there is taken out then.
 */

const SCHEMES = ['postgres://', 'postgresql://'];
const HIDDEN = '***';

/** The arguments of a command line with the passwords of URLs in them replaced. */
export const hidePasswords = (args: readonly string[]): readonly string[] => args.map(hidePassword);

function hidePassword(argument: string): string {
  const scheme = SCHEMES.find((text) => argument.includes(text));
  if (scheme === undefined) return argument;
  const start = argument.indexOf(scheme) + scheme.length;
  return argument.slice(0, start) + withoutParameter(withoutUserinfo(argument.slice(start)));
}

/** Hides the password in front of the host. It ends at the last @, since it may contain one that is not escaped. */
function withoutUserinfo(address: string): string {
  const at = address.lastIndexOf('@');
  const colon = address.indexOf(':');
  return at < 0 || colon < 0 || colon > at
    ? address
    : `${address.slice(0, colon + 1)}${HIDDEN}${address.slice(at)}`;
}

/** Hides a password among the URL's parameters. */
function withoutParameter(address: string): string {
  const mark = address.indexOf('?');
  if (mark < 0) return address;
  const parameters = address
    .slice(mark + 1)
    .split('&')
    .map((pair) => (pair.startsWith('password=') ? `password=${HIDDEN}` : pair));
  return `${address.slice(0, mark + 1)}${parameters.join('&')}`;
}
