/**
 * Operators for SQL that runs under somebody else's search_path, where a bare `=` could be an operator of theirs. So each
 * operator is written with PostgreSQL's own schema.
 */

const operator = (symbol: string): string => `OPERATOR(pg_catalog.${symbol})`;

export const EQ = operator('=');
export const NE = operator('<>');
export const LT = operator('<');
export const LE = operator('<=');
export const GT = operator('>');
export const GE = operator('>=');
export const PLUS = operator('+');
export const MINUS = operator('-');
/** Concatenates texts, or arrays. */
export const CAT = operator('||');
export const LIKE = operator('~~');
export const MATCHES = operator('~');
export const MATCHES_NOT = operator('!~');
