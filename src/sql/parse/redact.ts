import type { ScanToken } from 'libpg-query';
import { byteString, redactIfConninfo } from '../../dblink/conninfo/index.js';

/**
 * SQL texts without what may be a secret in them. A text is its tokens here: comments are left out, blanks become one. What is masked is more
 * than what is secret: nobody can tell from a text which of its values are.
 */

const MASK = "'***'";

/** Words in names by which a value beside them may be a secret. */
const SECRET_NAME =
  /passw|pwd|secret|token|credential|api_?key|private|scram|mapping|crypt|hmac|digest|pgp_/i;
/** What a literal has in it that is a secret itself, or SQL or a connection string with one. */
const SECRET_CONTENT =
  /passw|pwd|secret|token|credential|api_?key|private|scram|mapping|crypt|hmac|digest|pgp_|^md5[0-9a-f]{32}/i;

/** Whether a token is a literal in quotation marks or dollar signs. */
export const isStringLiteral = ({ text, tokenName }: ScanToken): boolean =>
  tokenName !== 'PARAM' && /^(?:[bex]|u&)?'|^\$/i.test(text);

const isNumber = ({ tokenName }: ScanToken): boolean => tokenName === 'ICONST' || tokenName === 'FCONST';
const isComment = ({ tokenName }: ScanToken): boolean =>
  tokenName === 'SQL_COMMENT' || tokenName === 'C_COMMENT';

/** Whether a server with standard_conforming_strings off would see another end of a literal, so that what is outside of literals is not certain. */
export const isAmbiguousLiteral = ({ text }: ScanToken): boolean =>
  text.startsWith("'") && text.includes("\\'");

/** The tokens with other texts, and a blank where there was anything between them. @param show undefined leaves a token out */
function joined(
  tokens: readonly ScanToken[],
  show: (token: ScanToken, i: number) => string | undefined,
): string {
  const pieces: string[] = [];
  let end = 0;
  for (const [i, token] of tokens.entries()) {
    const shown = isComment(token) ? undefined : show(token, i);
    if (shown === undefined) continue;
    if (token.start > end && pieces.length > 0) pieces.push(' ');
    pieces.push(shown);
    end = token.end;
  }
  return pieces.join('');
}

/** The text with '' in the place of every string, and 1 in that of every number. It is SQL, too. */
export function withoutLiterals(tokens: readonly ScanToken[]): string {
  let escapes = false;
  return joined(tokens, (token) => {
    // The character that UESCAPE names has nothing left to escape.
    const isEscape = token.text.toLowerCase() === 'uescape';
    const dropped = isEscape || (escapes && isStringLiteral(token));
    escapes = isEscape;
    if (dropped) return undefined;
    if (isStringLiteral(token)) return /^[bx]/i.test(token.text) ? `${token.text[0]!}'1'` : "''";
    return isNumber(token) ? '1' : token.text;
  });
}

/**
 * The text with secrets masked. Masked are
 * - all literals of a statement in which a name speaks of secrets, such as ALTER ROLE … PASSWORD, or a column `token`,
 * - the same of one in which a literal speaks of secrets: they may stand in the next literal, as where a text is put together from parts,
 * - what a SET or ALTER of that kind sets, also where that is no literal,
 * - whatever looks like an address, or hides its characters.
 * A connection string that is the only literal of its statement is shown without its password.
 */
export function redactTokens(tokens: readonly ScanToken[]): string {
  const secretive = secretiveStatements(tokens);
  let statement = 0;
  let sets = false;
  let behindSign = false;
  let first = true;
  return joined(tokens, (token) => {
    const { text } = token;
    if (text === ';') {
      statement++;
      first = true;
      behindSign = false;
      return text;
    }
    if (first) sets = /^(?:set|alter|create)$/i.test(text);
    first = false;
    if (secretive[statement] !== true) return isStringLiteral(token) ? shownLiteral(text) : text;
    const value = isStringLiteral(token) || isNumber(token);
    if (value) return MASK;
    if (text === ',') behindSign = false;
    const masked = sets && behindSign;
    if (text === '=' || /^to$/i.test(text)) behindSign = true;
    return masked ? MASK : text;
  });
}

/** Whether a token is a name, or may be one that a function gets, as set_config() does. */
const isName = (token: ScanToken): boolean => !isStringLiteral(token) || /^'[\w.]*'$/.test(token.text);

/** Of each statement whether a name or a literal in it speaks of secrets. */
function secretiveStatements(tokens: readonly ScanToken[]): readonly boolean[] {
  const found = [false];
  /** The literals of the present statement. */
  let literals: string[] = [];
  const end = (): void => {
    const alone = literals.length === 1 && shownConninfo(literals[0]!)?.includes('=***') === true;
    if (!alone && literals.some(speaksOfSecrets)) found[found.length - 1] = true;
    literals = [];
  };
  for (const token of tokens) {
    if (token.text === ';') {
      end();
      found.push(false);
    } else if (isComment(token)) continue;
    else if (isName(token) && SECRET_NAME.test(token.text)) found[found.length - 1] = true;
    if (isStringLiteral(token)) literals.push(token.text);
  }
  end();
  return found;
}

/** What a literal has in it without its quotation marks. */
const contentOf = (literal: string): string => literal.replace(/^(?:[bex]|u&)?'|^\$[^$]*\$/i, '');

/** Whether the characters of a literal stand in it as they are. */
const isPlain = (literal: string): boolean =>
  !(/^(?:e|u&)'/i.test(literal) && literal.includes('\\')) && !/'[ \t\f\v]*[\r\n]\s*'/.test(literal);

/** A literal that is a connection string, without its secrets; undefined if it is none. */
function shownConninfo(literal: string): string | undefined {
  if (!literal.startsWith("'")) return undefined;
  const shown = redactIfConninfo(Buffer.from(literal.slice(1, -1).replaceAll("''", "'"), 'latin1'));
  // It is text, and is put among bytes.
  return shown && byteString(shown);
}

const speaksOfSecrets = (literal: string): boolean => SECRET_CONTENT.test(contentOf(literal));

function shownLiteral(literal: string): string {
  if (!isPlain(literal)) return MASK;
  if (!literal.includes('://') && !speaksOfSecrets(literal)) return literal;
  const shown = shownConninfo(literal);
  return shown === undefined ? MASK : `'${shown.replaceAll("'", "''")}'`;
}
