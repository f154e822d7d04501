/**
 * An answer is an array of texts. Its first part is its kind; which others there are, and where, depends on that. The functions
 * in SQL and the proxy both know the parts by these names.
 */

/** Of each kind of answer the parts, and the element of the array that each is. What is not listed is NULL or ''. */
export const PARTS = {
  /** The result of a function of one value. */
  value: { value: 3 },
  /** To raise; the context is in hexadecimal. */
  error: { context: 2, sqlstate: 3, message: 4, detail: 5, hint: 6 },
  notice: { context: 2, sqlstate: 3, message: 4, detail: 5, hint: 6 },
  /**
   * All rows: the OIDs of the remote's types, the rows as JSON, and DateStyle and IntervalStyle to read them in. From `earlier`
   * on the rows of the string's earlier statements, each as JSON or the name of a relation, which are converted though not
   * returned (behaviour reference, section 4.4).
   */
  rows: { oids: 3, rows: 4, dateStyle: 5, intervalStyle: 6, earlier: 7 },
  /** Earlier rows only; what comes behind them is asked for when they have been converted. */
  checked: { oids: 3, dateStyle: 5, intervalStyle: 6, earlier: 7 },
  /** The rows are in a relation. */
  table: { relation: 3, dateStyle: 5, intervalStyle: 6, earlier: 7 },
  /** The one row of a command; the OIDs are those of earlier rows, if there are any. */
  status: { tag: 3, oids: 4, dateStyle: 5, intervalStyle: 6, earlier: 7 },
  /** There are more rows than an answer holds: which types are wanted? */
  more: { oids: 3 },
  /** Which foreign server does the function find under the name? */
  server: {},
  /** Can the function show what only its role can get? */
  prove: { question: 3 },
  /** No result at all: the remote refused, and that was to be no error. */
  nothing: {},
  /** Will the function wait without a lock? ask() does, whoever called it. */
  wait: {},
} as const satisfies Record<string, Record<string, number>>;

export type AnswerKind = keyof typeof PARTS;

/** The name of one of a kind's parts. */
export type PartOf<Kind extends AnswerKind> = keyof (typeof PARTS)[Kind];

/** In SQL: the kind of the answer in the variable `answer`. */
export const KIND = 'answer[1]';

/** In SQL: a part of the answer in the variable `answer`, which is of this kind. */
export const part = <Kind extends AnswerKind>(kind: Kind, name: PartOf<Kind>): string =>
  `answer[${(PARTS[kind] as Record<PropertyKey, number>)[name]}]`;

/** In SQL: the number of the element where earlier rows begin, and how many elements there are without any. */
export const FIRST_EARLIER = PARTS.rows.earlier;
export const WITHOUT_EARLIER = FIRST_EARLIER - 1;

/** In SQL, under whatever search_path: an error for the function to raise. Each argument is an expression. */
export const errorParts = (sqlstate: string, message: string, detail = 'NULL', hint = 'NULL'): string =>
  `ARRAY['error', '', '${sqlstate}', ${message}, ${detail}, ${hint}]`;

/** In SQL: the error of a function of rows where no column definition list says which types are wanted. */
export const NO_RECORD = errorParts(
  '0A000',
  `'function returning record called in context that cannot accept type record'`,
);

/** What a function asks with when it is asked for types: one for each column, then these settings. */
export const WANTED_SETTINGS = ['timeZone', 'dateStyle', 'intervalStyle'] as const;
