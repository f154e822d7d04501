import { createHash } from 'node:crypto';

/**
 * By which code of the bridge is known for what it is before it is used: whoever owns a function can replace its body, and everybody
 * else goes on calling it.
 */

const BODY =
  /CREATE (?:OR REPLACE )?FUNCTION (?:[\w"]+\.)?(\w+)\((?:(?!CREATE )[^$])*?AS \$bridge\$([\s\S]*?)\$bridge\$/g;

/** Of every function in PL/pgSQL that this SQL makes: its name and its body's MD5, as `md5(prosrc)` is, with a blank between. */
export const fingerprintsOf = (sql: string): readonly string[] =>
  [...sql.matchAll(BODY)].map(
    ([, name, body = '']) => `${name} ${createHash('md5').update(body, 'latin1').digest('hex')}`,
  );
