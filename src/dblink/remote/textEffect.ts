/**
 * What SQL for a remote may do. `reads`: nothing, so that nobody notices whether and when it ran. `calls`: only what the functions do that it
 * calls. `writes`: it may change rows of tables, and nothing of the session. `stays`: anything, but it cannot take a session out of
 * read-only mode. `anything`: that cannot be told.
 */
export type TextEffect = 'reads' | 'calls' | 'writes' | 'stays' | 'anything';

/** Whether SQL leaves the session of the remote as it is. */
export const leavesSession = (effect: TextEffect): boolean => effect === 'reads' || effect === 'writes';
