import {
  bytesOf,
  type ConninfoContext,
  parseConninfo,
  resolveConninfo,
} from '../../../../src/dblink/conninfo/index.js';

export type Environment = Readonly<Record<string, string>>;
export type VirtualFile = { readonly content: string; readonly mode: number };

const REGULAR = 0o100000;

/** The files below the home directory when the answers were recorded. */
const PGPASS = [
  '# c',
  '127.0.0.1:1:*:*:p1',
  String.raw`*:5433:d\:b:u\\x:p\:2\\3:rest`,
  'localhost:*:*:root:loc',
  '::1:*:*:*:six\r',
  '127.0.0.1:*:*:alice:al\\',
  '*:*:db:*:anydb',
  '/tmp:*:*:*:sock',
  '*:*:*:\xe9:acc',
  '#*:*:*:*:no',
  '*:7:*:*:',
  '*:*:*:bob',
].join('\n');
const SERVICES = `[s1]
host=127.0.0.1
port=1
user=svc
[s2]
# x
password=sp
sslmode=require
dbname=a b=c
user=first
user=second

[bad]
host =x
[s3]
sslrootcert=system
hostaddr=127.0.0.1
`;
export const HOME_FILES = {
  '/home/user/.pgpass': { content: PGPASS, mode: REGULAR | 0o600 },
  '/home/user/.pg_service.conf': { content: SERVICES, mode: REGULAR | 0o644 },
};

/** Everything outside the string, with the given files and no others; the primary is at /tmp. */
export function context(
  env: Environment = {},
  files: Readonly<Record<string, VirtualFile>> = {},
): ConninfoContext {
  return {
    env: { LC_ALL: 'C', ...env },
    homedir: '/home/user',
    sysconfdir: '/sysconf',
    defaults: { host: '/tmp', port: '5432', user: 'root' },
    readFile: async (path) => (files[path] ? Buffer.from(files[path].content, 'latin1') : undefined),
    statMode: async (path) => files[path]?.mode,
  };
}

/** parse and resolve; the text is a byte string */
export function resolve(text: string, env?: Environment, files?: Readonly<Record<string, VirtualFile>>) {
  return resolveConninfo(parseConninfo(bytesOf(text)), context(env, files));
}
