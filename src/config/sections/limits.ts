import { z } from 'zod';
import { parseList, parseMemory, parseMemoryShare, parseText } from '../values.js';
import { count, setting, size, wholeNumber } from './leaf.js';

/** How much there may be of things. */
export const limitsSettings = z.strictObject({
  statement_bytes: size({
    description:
      'The longest text of a Query or Parse message that is searched for calls of dblink. Longer ones go to the ' +
      'primary untouched.',
    default: '1MiB',
    reload: 'new sessions',
  }),
  splice_bytes: size({
    description:
      "The largest remote result, in memory, that is handed to the primary as a statement's row source.",
    default: '256MiB',
    reload: 'new sessions',
  }),
  remote_logins_per_session: wholeNumber(1, 10_000, {
    description:
      'Connections that one session may be opening at a time, from the look-up of the name to the end of the login. ' +
      'More wait for their turn; statement_timeout and cancels end the waiting.',
    default: 8,
    reload: 'live',
  }),
  remote_logins: wholeNumber(0, 100_000, {
    description:
      'Connections that all sessions together may be opening at a time, beside one for each session, which never ' +
      'waits for others: servers that do not answer some sessions delay no other.',
    default: 64,
    reload: 'live',
  }),
  memory: setting(parseMemory, {
    type: 'size',
    unit: 'bytes',
    description:
      'What all sessions together may hold of such results, in memory; 0 for no limit. Who needs more gets 53200. The ' +
      'last tenth is for sessions that hold no more than that themselves.',
    default: '1GiB',
    reload: 'live',
  }),
  memory_high: setting(parseMemoryShare, {
    type: 'size or percentage',
    unit: 'bytes',
    description:
      'Memory of the process (its resident set) above which new sessions are refused with 53200, and results that are held, if they are ' +
      'larger than a megabyte; 0 for no limit. What is there goes on, and below nine tenths of it all is served again. A percentage is that ' +
      'of the memory of the container, or of the machine where that has less. Garbage is collected before anybody is refused. With several ' +
      'workers each has its part, of which some 100 MiB are what a process takes by itself: a small part serves nobody.',
    default: '0',
    reload: 'live',
  }),
  session_memory: setting(parseMemory, {
    type: 'size',
    unit: 'bytes',
    description:
      'What one session, and those that are nested in it, may hold of such results, in memory; 0 for no limit but that of all. More is 53200.',
    default: '0',
    reload: 'live',
  }),
  collected_rows: wholeNumber(0, 1_000_000_000, {
    description:
      'How many rows one statement may collect to hand them to the primary; 0 for no limit but that of their size. More is 54000. Rows that ' +
      'go to the client as they come are not counted.',
    default: 0,
    reload: 'new sessions',
  }),
  prepared_statements: wholeNumber(1, 1_000_000, {
    description:
      'How many prepared statements and portals with calls of dblink a session may have, beside the unnamed ones. One more is 53400, and ' +
      'the session goes on. Others are only in the primary.',
    default: 10_000,
    reload: 'new sessions',
  }),
  prepared_bytes: size({
    description:
      'What their texts and bound values may take in memory. More is 53400, and the session goes on.',
    default: '64MiB',
    reload: 'new sessions',
  }),
  pipelined_bytes: size({
    description:
      'How much is read of what a client sends behind a request that the proxy is carrying out. Then nothing is read from it until that is ' +
      'over, so that the client has to wait.',
    default: '256KiB',
    reload: 'new sessions',
  }),
  clients: count({
    description:
      'Clients that are connected at a time; 0 for no limit. Further ones get 53300. Each has a connection of its own ' +
      'to the primary, whose `max_connections` is a limit as well. Cancel requests are always taken.',
    default: 5000,
    reload: 'live',
  }),
  clients_per_user: count({
    description: 'Clients of one user that are connected at a time; 0 for no limit. Further ones get 53300.',
    default: 0,
    reload: 'live',
  }),
  clients_per_database: count({
    description:
      'Clients of one database that are connected at a time; 0 for no limit. Further ones get 53300.',
    default: 0,
    reload: 'live',
  }),
  clients_per_address: count({
    description:
      'Clients from one address that are connected at a time; 0 for no limit. Those that come by Unix sockets count as one address. ' +
      'Further ones get 53300.',
    default: 0,
    reload: 'live',
  }),
  waiting_clients: count({
    description:
      'So many clients that these limits keep out wait for a place, until `timeouts.login` has passed; 0: they get 53300 at once, as do those ' +
      'beyond. Who came first is first among those for whom there is room.',
    default: 0,
    reload: 'live',
  }),
  reserved_clients: count({
    description:
      'So many of `limits.clients` are for `limits.reserved_users` alone, so that those who operate the database get in when it is full.',
    default: 0,
    reload: 'live',
  }),
  reserved_users: setting((value) => parseList(value, parseText), {
    description:
      'Users for whom `limits.reserved_clients` are kept. The limits by user and database do not hold for them. A client counts by the user that it ' +
      'names, before it has shown that it is that user: `access` rules say from where a user may come.',
    type: 'list of names',
    reload: 'live',
  }),
  remote_connections: count({
    description:
      'dblink connections of all sessions together that are open at a time; 0 for no limit. Who needs one more gets ' +
      '53300. The last tenth is for sessions that have none yet.',
    default: 5000,
    reload: 'live',
  }),
  remote_connections_per_session: count({
    description:
      'dblink connections of one session that are open at a time, the unnamed one and those of connection strings ' +
      'included; 0 for no limit. One more is 53300; a connection for one call waits for others of that kind.',
    default: 100,
    reload: 'live',
  }),
  remote_connections_per_user: count({
    description:
      'dblink connections of all sessions of one user (of the client) that are open at a time; 0 for no limit. Who needs one more waits for ' +
      '`timeouts.remote_wait` at most, then gets 53300. A session that has all of them itself gets it at once.',
    default: 0,
    reload: 'live',
  }),
  remote_connections_per_server: count({
    description:
      'dblink connections to one server, which is an address and a port, that are open at a time; 0 for no limit. Those that are kept ' +
      '(`dblink.keep`) count and give way. Who needs one more waits for `timeouts.remote_wait` at most, then gets 53300. A session that has ' +
      'all of them itself gets it at once.',
    default: 0,
    reload: 'live',
  }),
  reserved_descriptors: count({
    description:
      'File descriptors of the process that dblink connections leave for logins, a quarter of all at most. Who needs ' +
      'one for a dblink connection gets 53300 then. How many there are is the limit of the process (`ulimit -n`).',
    default: 64,
    reload: 'live',
  }),
});
