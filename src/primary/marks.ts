/** Names and marks by which the bridge is known: in the primary, in its messages, and to the proxy. */

/** The schema in which the bridge's own objects are. */
export const SERVICE_SCHEMA = 'dblink_proxy';

/** The version of what is installed in the primary. Grows with every change of that. Objects of an older version are replaced. */
export const BRIDGE_VERSION = 8;

/** The comment (COMMENT ON) by which objects of the bridge are known. @param version one, or the regular expression for any */
export const bridgeComment = (version: number | '([0-9]+)' = BRIDGE_VERSION): string =>
  `dblink-proxy bridge ${version}`;

/** Regular expression for such a comment, for JavaScript and for PostgreSQL. The group is the version. */
export const BRIDGE_COMMENT = `^${bridgeComment('([0-9]+)')}$`;

const COMMENT_FORM = new RegExp(BRIDGE_COMMENT);

/** The version that a comment names. 0 when the comment is not the bridge's. */
export const bridgeVersion = (comment: string): number => Number(COMMENT_FORM.exec(comment)?.[1] ?? 0);

/**
 * The setting by which a session's functions know the proxy. It holds a token, the keys of two advisory locks and the OID of a
 * large object, and is set at login.
 */
export const SESSION_SETTING = 'dblink_proxy.session';

/** The value of that setting on the proxy's own connections, whose calls are not carried out (eventTriggers.ts). */
export const SERVICE_SESSION = 'service';

/** The message of the error (55000) of a function that does not find that setting. */
export const NOT_THROUGH_PROXY =
  'dblink calls are carried out by dblink-proxy, which this session does not come through';

/**
 * The longest value of that setting that the functions accept, in characters. A caller could set a longer one, which would make
 * every message of the functions longer.
 */
export const SESSION_SETTING_LENGTH = 100;

/** The beginning of every request's message. Nothing that begins with this and the session's token reaches the client. */
export const REQUEST_PREFIX = 'dblink-proxy';

/** What a function asks with that waits for its answer without a lock. */
export const POLL = 'poll';

/** Marks SQL text of the bridge, so that it is known in the CONTEXT of errors (contextFrames.ts). */
export const MARK = 'dblink-proxy';

/** The SQLSTATE with which the bridge's functions roll back a subtransaction of their own. It is never seen outside of them. */
export const ROLL_BACK = 'DBPRX';

/** The SQLSTATE with which the service schema tells the proxy that it could not take the session's next lock. */
export const NOT_TAKEN = 'DBPRN';

/**
 * Settings of the bridge's functions. A session can have the values of statements shown. That must not show the values of a
 * remote's rows, because with the extension they are in no statement.
 */
export const QUIET = 'SET debug_print_parse = off SET debug_print_rewritten = off SET debug_print_plan = off';

/** The bridge's large objects have OIDs from here on. A dump knows them by that, and by their owner, who owns the schema. */
export const FIRST_OBJECT = 0xf0000000;
