import { z } from 'zod';
import { parseAccess, parseAddress, parseRules } from './entries/policy.js';
import { parseServers } from './entries/servers.js';
import { DEFAULT_PORT, parseHttpAddress, parseListenAddress } from './listen.js';
import { parsePrimaryUrl } from './primary.js';
import { choice, duration, setting, size, wholeNumber } from './sections/leaf.js';
import { limitsSettings } from './sections/limits.js';
import { timeoutsSettings } from './sections/timeouts.js';
import { parseBoolean, parseFileMode, parseList, parseText, parseWorkers } from './values.js';

/** The levels of the log, beginning with the one that logs most. */
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The configuration file, and the single source of everything said about a setting: its check, default, flag,
 * environment variable and documentation. Every setting is optional here; what must be given is checked once all
 * sources have been put together.
 */
export const schema = z.strictObject({
  listen: setting((value) => parseList(value, parseListenAddress), {
    description:
      'Where clients connect: `HOST:PORT`, `[IPv6]:PORT`, `*:PORT`, or the directory of a Unix socket, optionally ' +
      `with \`:PORT\` for the number in the socket's name (${DEFAULT_PORT} otherwise).`,
    type: 'list of addresses',
    default: [`127.0.0.1:${DEFAULT_PORT}`],
    flag: 'listen',
    help: ['address', 'where clients connect: HOST:PORT or the directory of a Unix socket; repeatable'],
    repeatable: true,
    reload: 'restart',
  }),
  unix_socket_mode: setting(parseFileMode, {
    description:
      'Who may connect to a Unix socket that is listened on: its mode, as for `chmod` (`0700` its owner, `0770` its group ' +
      "as well, `0777` everybody). Not set, the process's umask decides, which mostly means the owner.",
    type: 'file mode',
    reload: 'restart',
  }),
  workers: setting(parseWorkers, {
    description:
      'How many processes serve sessions. With more than one, a further process accepts the connections and hands each to the ' +
      'process that has the fewest. `auto` is one for each processor. The limits for all sessions together are divided among them, ' +
      'and each has service connections of its own. A process that fails takes its own sessions with it, and is replaced.',
    type: 'whole number or `auto`',
    default: 1,
    flag: 'workers',
    help: ['number', 'how many processes serve sessions; auto: one for each processor'],
    reload: 'restart',
  }),
  databases: z
    .strictObject({
      '*': z
        .strictObject({
          primary: setting(parsePrimaryUrl, {
            description:
              'The primary: `postgres://[user[:password]@]host:port[/database][?sslmode=…]`, also with `sslrootcert`, ' +
              "`sslcert` and `sslkey`. A user or password in it is the proxy's own service account, for connections " +
              "of its own, never the clients'. A Unix socket is written `postgres:///?host=/directory&port=5432`. " +
              'Without `sslmode` it is `prefer`, as in libpq. A password that the primary asks for in clear text is ' +
              'sent by TLS only, whether it is of the service account, of a client under `auth: password`, or, unless ' +
              '`sslmode=disable` says that there is no TLS, of one that came by TLS; `sslmode=disable&allow_cleartext=true` (for a Unix socket `allow_cleartext=true`) sends it all ' +
              'the same. Below `sslmode=verify-full` a start with passwords warns. Several hosts, `host1:port1,host2:port2`, are tried in this ' +
              'order for each session (with `load_balance_hosts=random` in another one each time), and all that belongs to the session goes to ' +
              'the one that it is on. `target_session_attrs` (`any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`) means ' +
              'what it does in libpq; it needs a user in the URL, as whom the proxy asks servers what they are, and an answer counts for a second.',
            type: 'URL',
            flag: 'primary',
            help: ['url', 'the primary: postgres://[user[:password]@]host:port[/db][?sslmode=…]'],
            env: 'DBLINK_PROXY_PRIMARY',
            reload: 'new sessions',
          }),
        })
        .optional(),
    })
    .optional(),
  embedded: setting(parseBoolean, {
    description:
      'Start a primary without dblink and a remote with sample data, both in a temporary directory and removed at ' +
      'exit, and serve the former. For trying things out; needs the optional dependencies.',
    type: 'boolean',
    default: false,
    flag: 'embedded',
    help: ['', 'start a primary without dblink and a remote with sample data, to try things out'],
    reload: 'restart',
  }),
  auth: choice(['relay', 'password'], {
    description:
      '`relay` passes the authentication exchange between client and primary, so that the proxy knows no password. ' +
      '`password` asks the client for its password, over TLS only, and authenticates to the primary with it; needed ' +
      'when both hops use TLS, since SCRAM cannot be relayed then. It requires `tls`.',
    default: 'relay',
    flag: 'auth',
    help: ['mode', 'relay: the exchange passes through; password: the proxy asks for it, over TLS'],
    reload: 'new sessions',
  }),
  application_name_add_host: setting(parseBoolean, {
    description:
      "Whether a session's `application_name` on the primary begins as `name - address:port`, with the client's address (behind a balancer without the port), so that pg_stat_activity and " +
      'the log there show where a client is. Without a name it is `app`. What the client sets later stays as it is.',
    type: 'true or false',
    default: false,
    reload: 'new sessions',
  }),
  proxy_protocol: setting((value) => parseList(value, (member) => parseAddress(member, [])), {
    description:
      'Balancers that tell where a connection comes from by a header of the PROXY protocol, version 1 or 2: addresses, networks, and the names ' +
      '`loopback`, `link-local`, `private`. Connections from there have to begin with one, and the client is where it says: in the log, ' +
      'for `access`, `policy` and `limits.clients_per_address`. Others must not begin with one.',
    type: 'list of addresses',
    reload: 'new sessions',
  }),
  access: setting(parseAccess, {
    description:
      'Who may ask for a session at all: rules `allow: { … }` or `deny: { … }`, of which the first that fits decides. The conditions are ' +
      '`client` (addresses, networks, and the names `loopback`, `link-local`, `metadata`, `private`), `user` and `database` (`*` stands for any ' +
      'characters) and `tls` (`true`: the connection is encrypted). Where there are rules and none fits, nobody may. Others end with 28000 ' +
      'before anybody is asked for a password and before the primary hears of them. In the environment variable the list is written as JSON.',
    type: 'list of rules',
    reload: 'new sessions',
  }),
  tls: z
    .strictObject({
      cert: setting(parseText, {
        description:
          'File with the certificate chain, in PEM format, that the proxy shows to clients. Without it clients get ' +
          "no TLS. A relative path in the file counts from the file's directory.",
        type: 'path',
        flag: 'tls-cert',
        help: ['file', 'certificate chain shown to clients, in PEM'],
        reload: 'new sessions',
      }),
      key: setting(parseText, {
        description: 'File with the private key, in PEM format, that belongs to `tls.cert`.',
        type: 'path',
        flag: 'tls-key',
        help: ['file', 'its private key, in PEM'],
        reload: 'new sessions',
      }),
    })
    .optional(),
  log: z
    .strictObject({
      level: choice(LOG_LEVELS, {
        description: 'The least severe level that is logged.',
        default: 'info',
        flag: 'log-level',
        help: ['level', 'trace, debug, info, warn, error, fatal or silent'],
        reload: 'new sessions',
      }),
      pretty: choice(['auto', 'true', 'false'], {
        description: 'Readable lines instead of JSON. `auto`: on a terminal only.',
        default: 'auto',
        reload: 'restart',
      }),
    })
    .optional(),
  audit: z
    .strictObject({
      file: setting(parseText, {
        description:
          'Where the audit is written: a file, or `stderr` for the standard error. Without it there is none. It says who comes and goes, what is ' +
          'connected to by dblink and what is run there, and what is refused, as lines of JSON ([audit.md](audit.md)). The file is made with the mode 0600 and ' +
          "only appended to; upon SIGHUP it is opened anew. A relative path in the configuration file counts from that file's directory.",
        type: 'path or `stderr`',
        reload: 'restart',
      }),
      statements: choice(['none', 'fingerprint', 'full'], {
        description:
          'What is written of each statement that is run on a remote: nothing; a fingerprint that is the same for all that differ only in literals; or the ' +
          'text as well, with secrets masked.',
        default: 'fingerprint',
        reload: 'restart',
      }),
      on_full: choice(['wait', 'drop'], {
        description:
          'What happens when the audit cannot be written as fast as there are events, or not at all, and `audit.buffer` is full: sessions wait before they do ' +
          'what is told, logins included; or events are dropped, and it is told how many.',
        default: 'wait',
        reload: 'restart',
      }),
      buffer: size({
        description: 'How much of the audit may wait to be written.',
        default: '8MiB',
        reload: 'restart',
      }),
    })
    .optional(),
  timeouts: timeoutsSettings.optional(),
  limits: limitsSettings.optional(),
  dblink: z
    .strictObject({
      schemas: setting((value) => parseList(value, parseText), {
        description:
          'Schemas in which the functions of dblink are taken to be: `schema.dblink(…)` is carried out by the proxy ' +
          'for these.',
        type: 'list of names',
        default: ['public', 'extensions', 'dblink'],
        reload: 'new sessions',
      }),
      calls: choice(['proxy', 'primary'], {
        description:
          'Who answers calls of dblink functions in statements of the client, where the primary has the extension ' +
          'itself: the proxy, or the extension, with connections of its own. Calls inside functions, views and ' +
          "triggers of such a primary are always the extension's.",
        default: 'proxy',
        reload: 'new sessions',
      }),
      bridge: choice(['auto', 'always', 'off'], {
        description:
          'Whether functions, views and triggers of the primary can have dblink calls carried out (docs/bridge.md). ' +
          '`always` leaves to it whatever it can serve, also what the proxy could do faster itself: for comparisons. ' +
          '`off` also keeps the setting `dblink_proxy.session` out of the startup packet, for primaries behind a ' +
          'pooler that refuses it.',
        default: 'auto',
        reload: 'new sessions',
      }),
      host_files: choice(['superusers', 'everybody', 'nobody'], {
        description:
          "Whose connection strings may name files of the proxy's host (`passfile`, `sslcert`, `sslkey`, `sslrootcert`, " +
          '`sslcrl`, `sslcrldir`) and its Unix sockets (a `host` that is a directory, other than the one of the primary). ' +
          'Superusers are those of the primary: the role whose rights count for the call. Others get 42501, whether ' +
          "there is such a file or not. `sslrootcert=system`, the runtime's own roots and those that NODE_EXTRA_CA_CERTS names, " +
          "is everybody's. Where nobody is a superuser, as on managed servers, declare `dblink.servers`, or permit it.",
        default: 'superusers',
        reload: 'new sessions',
      }),
      host_environment: choice(['superusers', 'everybody', 'nobody'], {
        description:
          "Whose connection strings are completed from the environment of the proxy's process (`PGHOST`, `PGPASSWORD`, " +
          '`PGSSLMODE` and so on), from `~/.pgpass`, the service files (`service`) and `~/.postgresql`. For others it is ' +
          'as if there were nothing of all that.',
        default: 'superusers',
        reload: 'new sessions',
      }),
      max_scram_iterations: wholeNumber(1, 100_000_000, {
        description:
          'The largest number of iterations that a server may ask for when the proxy logs in with SCRAM, as to remotes. ' +
          "PostgreSQL's default is 4096; each 100,000 take some 50 ms of a processor for every login, and sessions that " +
          'connect to such servers wait for each other.',
        default: 100_000,
        reload: 'new sessions',
      }),
      keep: duration({
        description:
          'How long a connection that a connection string has opened for one call of dblink() or dblink_exec() is kept for the next ' +
          'such call of the same session with the same credentials; 0 to close it at once, as the extension does. Nothing of ' +
          'one call is seen by the next. A changed password and the like take effect when this time has passed.',
        default: '2s',
        reload: 'live',
      }),
      servers: setting(parseServers, {
        description:
          'Servers that dblink finds by name, like foreign servers, where the primary has no foreign server of that name. ' +
          'Each is a map of libpq options (`host`, `port`, `dbname`, `user`, `sslmode` and so on) with the password as ' +
          '`password`, as `password_file` (a path; a relative one counts from the directory of this file) or as ' +
          '`password_env` (the name of an environment variable), and with `roles`: the roles of the primary whose members ' +
          'may use it, or `[public]` for everybody; others get 42501. The credentials are the ' +
          "administrator's and never shown to clients, so the rule that non-superusers give a password of their own does " +
          'not apply. The password is sent in clear text by TLS only, unless the server has `sslmode: disable` and ' +
          '`allow_cleartext: true`. With `read_only: true` no row of an ordinary table can be changed there, although its user may: sessions ' +
          'are read-only, and what could change that ends with 25006. ' +
          'In the environment variable the map is written as JSON.',
        type: 'map of servers',
        reload: 'new sessions',
      }),
    })
    .optional(),
  policy: z
    .strictObject({
      default: choice(['allow', 'deny'], {
        description: 'Whether dblink connections may be made where no rule of `policy.rules` fits.',
        default: 'allow',
        reload: 'live',
      }),
      rules: setting(parseRules, {
        description:
          'Who may connect to what by dblink. Each rule is `allow: { … }` or `deny: { … }`; the first that fits decides. All of its conditions ' +
          'have to hold, and of a list one entry: `address` (of what is connected to, after the look-up: addresses, networks such as ' +
          '`10.0.0.0/8`, and the names `loopback`, `link-local`, `metadata`, `private`, `primary` for the server of the primary that the session is on and `self` for the proxy ' +
          'itself), `host` (as it is written, in any case), `port`, `database`, `user`, `server` (the name of a foreign server or one of ' +
          "`dblink.servers`; a connection string has none), `roles` (the role that calls is a member of one of these), `from` (the client's " +
          "database), `client` (its address). `[public]` is everybody's role. In names `*` stands for any characters. `read_only: true` beside what is allowed keeps sessions there " +
          'read-only. Link-local and metadata addresses and the proxy itself are denied unless a rule allows them by `address`. What is denied ends with ' +
          '42501; superusers are told by which rule. In the environment variable the list is written as JSON.',
        type: 'list of rules',
        reload: 'live',
      }),
      connection_strings: setting(parseBoolean, {
        description:
          'Whether connection strings may be used. If not, only foreign servers and `dblink.servers` can be connected to, by name.',
        type: 'true or false',
        default: true,
        reload: 'live',
      }),
      remote_writes_in_read_only: choice(['allow', 'deny'], {
        description:
          "Whether remotes may be written to while the client's transaction is read-only. If not, remote sessions are read-only for the " +
          'calls of such a transaction, and what could make them others ends with 25006, as does all but a plain query in a remote ' +
          'transaction that has begun before as one that writes.',
        default: 'allow',
        reload: 'live',
      }),
    })
    .optional(),
  http: z
    .strictObject({
      listen: setting(parseHttpAddress, {
        description:
          'Where `/metrics` (Prometheus), `/healthz` (the process turns) and `/readyz` (a login to the primary works; 503 from the first ' +
          'SIGTERM on) are answered by HTTP: `HOST:PORT`. Not set, nowhere.',
        type: 'address',
        flag: 'http-listen',
        help: ['address', 'where metrics and health are told by HTTP: HOST:PORT (default: nowhere)'],
        reload: 'restart',
      }),
      token: setting(parseText, {
        description:
          'Who asks for metrics has to send it (`Authorization: Bearer TOKEN`). Without it only this machine may ask. `/healthz` and ' +
          '`/readyz` are answered to everybody.',
        type: 'text',
        reload: 'restart',
      }),
    })
    .optional(),
  tcp: z
    .strictObject({
      keepalive: duration({
        description:
          'Idle time after which TCP keep-alive probes are sent to clients and primary; 0 sends none. How many follow, and how soon, is for the ' +
          'system to say (Linux: `net.ipv4.tcp_keepalive_intvl` and `tcp_keepalive_probes`, eleven minutes unless they are set).',
        default: '60s',
        reload: 'new sessions',
      }),
    })
    .optional(),
});

/** What the schema makes of one source. */
export type SourceValues = z.output<typeof schema>;
