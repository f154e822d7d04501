import { z } from 'zod';
import { duration } from './leaf.js';

/** How long things may take. */
export const timeoutsSettings = z.strictObject({
  login: duration({
    description: 'From accepting a client to the end of its authentication; 0 waits for ever.',
    default: '60s',
    reload: 'new sessions',
  }),
  tls_handshake: duration({
    description: 'The TLS handshake with a client, beside `timeouts.login`; 0 for no limit of its own.',
    default: '0',
    reload: 'new sessions',
  }),
  connect: duration({
    description: 'Opening a connection to the primary, TLS included; 0 waits for ever.',
    default: '15s',
    reload: 'new sessions',
  }),
  lookup: duration({
    description:
      'Finding the addresses of a host that a dblink connection leads to; 0 for no limit but `connect_timeout` of the connection string, which ' +
      'holds as well. Then the name cannot be translated (08001).',
    default: '0',
    reload: 'new sessions',
  }),
  remote_connect: duration({
    description:
      'Opening a dblink connection to one address, the login included; 0 for no limit but `connect_timeout` of the connection string, which holds ' +
      'as well. Then it is 08001.',
    default: '0',
    reload: 'new sessions',
  }),
  remote_statement: duration({
    description:
      'How long a query string may run on a remote, from its sending to the end of its results; 0 for no limit. Then the remote is made to cancel ' +
      "it, and the call ends with 57014. For dblink_send_query that is the remote's own error. `statement_timeout` of the client holds as well.",
    default: '0',
    reload: 'new sessions',
  }),
  idle_dblink: duration({
    description:
      'How long a dblink connection that stays open may be unused, outside of a transaction on the remote and with no results to be taken; 0 for no ' +
      'limit. Then it is closed, as by `idle_session_timeout` of the remote: the next call that uses it fails as on a lost connection (08006), and ' +
      'dblink_disconnect() ends it. What it listens for, and what else its session had, is gone.',
    default: '0',
    reload: 'new sessions',
  }),
  remote_wait: duration({
    description:
      'How long a call waits where `limits.remote_connections_per_user` or `limits.remote_connections_per_server` is reached; 0: until it is ' +
      'cancelled. Sessions have their turns. After five seconds the client is told by a NOTICE.',
    default: '30s',
    reload: 'live',
  }),
  idle: duration({
    description:
      'How long a session may be idle outside of a transaction; 0 for no limit. Then it ends with 57P05. The primary has such a limit, ' +
      'too (`idle_session_timeout`).',
    default: '0',
    reload: 'live',
  }),
  idle_in_transaction: duration({
    description: 'How long a session may be idle in a transaction; 0 for no limit. Then it ends with 25P03.',
    default: '0',
    reload: 'live',
  }),
  transaction: duration({
    description:
      'How long a transaction may take, a statement outside of a block included; 0 for no limit. Then its session ends with 25P04, and what it does ' +
      'on the primary and on remotes is cancelled. Transactions that follow one another without an end between requests, as with COMMIT AND CHAIN, ' +
      'count as one. None of these limits holds for sessions that replicate.',
    default: '0',
    reload: 'live',
  }),
  shutdown: duration({
    description: 'How long running transactions may take to finish after SIGTERM or SIGINT.',
    default: '30s',
    reload: 'live',
  }),
  handover: duration({
    description:
      'How long clients may go on in a process that another one has replaced (SIGUSR2), if they do not leave themselves. Then it ends as ' +
      'after SIGTERM: idle sessions are told 57P01, running transactions have `timeouts.shutdown` to finish.',
    default: '60s',
    reload: 'live',
  }),
});
