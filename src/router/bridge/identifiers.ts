/** Names and marks by which the bridge is known: in the primary, in its messages, and to the proxy. */

export const SERVICE_SCHEMA = 'dblink_proxy';

/** Grows with every change of what is installed; objects of an older version are replaced. */
export const BRIDGE_VERSION = 5;

/** The comment by which objects of the bridge are known. */
export const bridgeComment = (version: number | '%' = BRIDGE_VERSION): string =>
  `dblink-proxy bridge ${version}`;

/** The setting by which a session's functions know the proxy: token, two advisory lock keys, OID of a large object. Set at login. */
export const SESSION_SETTING = 'dblink_proxy.session';

/** Begins the message of every request; nothing that begins with it and the session's token reaches the client. */
export const REQUEST_PREFIX = 'dblink-proxy';

/** Mark SQL text of the bridge's in the CONTEXT of errors (contextFrames.ts). */
export const MARK = 'dblink-proxy';

/** SQLSTATE by which a subtransaction of the bridge's functions rolls itself back; never seen outside of them. */
export const ROLL_BACK = 'DBPRX';

/** The bridge's large objects have OIDs from here on, by which a dump knows them, and the schema's owner. */
export const FIRST_OBJECT = 0xf0000000;
