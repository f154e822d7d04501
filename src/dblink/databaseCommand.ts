/** Blanks and comments, then a command for which PostgreSQL wants nobody else to be connected to a database. */
const COMMAND = /^(?:\s|--[^\n]*\n|\/\*(?:[^*]|\*(?!\/))*\*\/)*(?:create|alter|drop)\s+database\b/i;
/** So much of a text is looked at. */
const HEAD_BYTES = 1024;

/** What such a text can begin with: most texts are not looked at any further. */
const BEGINNINGS = new Set(Buffer.from('cCaAdD-/ \t\r\n', 'latin1'));

/** Whether SQL text is CREATE DATABASE, ALTER DATABASE or DROP DATABASE. @param start where in the bytes it begins */
export const isDatabaseCommand = (bytes: Buffer, start = 0): boolean =>
  BEGINNINGS.has(bytes[start] ?? 0) && COMMAND.test(bytes.toString('latin1', start, start + HEAD_BYTES));
