/** Names and marks by which the bridge is known: in the primary, in its messages, and to the proxy. */

export const SERVICE_SCHEMA = 'dblink_proxy';

/** Grows with every change of what is installed; objects of an older version are replaced. */
export const BRIDGE_VERSION = 5;

/** The comment by which objects of the bridge are known, of a version or (a regular expression) of any. */
export const bridgeComment = (version: number | '([0-9]+)' = BRIDGE_VERSION): string =>
  `dblink-proxy bridge ${version}`;

/** Matches such a comment, in JavaScript and in PostgreSQL; the group is the version. */
export const BRIDGE_COMMENT = `^${bridgeComment('([0-9]+)')}$`;

/** The version that a comment tells of; 0 if it is none of the bridge's. */
export const bridgeVersion = (comment: string): number =>
  Number(new RegExp(BRIDGE_COMMENT).exec(comment)?.[1] ?? 0);

/** The setting by which a session's functions know the proxy: token, two advisory lock keys, OID of a large object. Set at login. */
export const SESSION_SETTING = 'dblink_proxy.session';

/** What the setting holds is not longer than this; a caller could make it so, and every message of the functions with it. */
export const SESSION_SETTING_LENGTH = 100;

/** Begins the message of every request; nothing that begins with it and the session's token reaches the client. */
export const REQUEST_PREFIX = 'dblink-proxy';

/** Mark SQL text of the bridge's in the CONTEXT of errors (contextFrames.ts). */
export const MARK = 'dblink-proxy';

/** SQLSTATE by which a subtransaction of the bridge's functions rolls itself back; never seen outside of them. */
export const ROLL_BACK = 'DBPRX';

/**
 * Settings of the bridge's functions: what a session can switch on for the values of statements must not show those of a remote's
 * rows, which the extension has in no statement.
 */
export const QUIET = 'SET debug_print_parse = off SET debug_print_rewritten = off SET debug_print_plan = off';

/** The bridge's large objects have OIDs from here on, by which a dump knows them, and the schema's owner. */
export const FIRST_OBJECT = 0xf0000000;
