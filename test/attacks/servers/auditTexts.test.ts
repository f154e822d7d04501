import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { FaultClient } from '../../faults/world/client.js';
import { type ProxyProcess, startProxyProcess } from '../../faults/world/proxyProcess.js';
import { eventually } from '../../support/eventually.js';
import { costsNoMoreThan } from '../support/delay.js';

/** Rule: what the audit makes of one session's texts for a remote holds up nobody else. */

const BYTES = 100_000;
const filled = (unit: string): string => unit.repeat(Math.floor(BYTES / unit.length));

describe('reading texts for the audit', { timeout: 600_000 }, () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let proxy: ProxyProcess;
  let client: FaultClient;
  let directory: string;

  before(async () => {
    [primary, remote] = await Promise.all([
      prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
      prepareBinaries({ major: 18, dblink: true }).then((installation) => startPostgres({ installation })),
    ]);
    directory = mkdtempSync(join(tmpdir(), 'audit-texts-'));
    proxy = await startProxyProcess({
      primary,
      env: {
        DBLINK_PROXY_AUDIT_FILE: join(directory, 'audit.json'),
        DBLINK_PROXY_AUDIT_STATEMENTS: 'full',
        DBLINK_PROXY_LIMITS_STATEMENT_BYTES: '8MiB',
      },
    });
    const other = await FaultClient.open(primary.port);
    await other.rows('CREATE ROLE other LOGIN');
    await other.end();
    client = await FaultClient.open(proxy.port);
    await client.rows(
      `SELECT dblink_connect('c', 'host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres')`,
    );
  });
  after(async () => {
    await client?.end();
    await proxy?.assertClean();
    await proxy?.stop();
    rmSync(directory, { recursive: true });
    await Promise.all([primary?.stop('immediate'), remote?.stop('immediate')]);
  });

  // It does not matter what the remote says.
  const sending = (text: string) => () => client.query(`SELECT dblink_exec('c', $q$${text}$q$, false)`);

  const texts: Readonly<Record<string, string>> = {
    'many values': `SELECT ${filled('1,')}1`,
    'many literals': `SELECT ${filled("'a',")}1`,
    'many comments': `SELECT ${filled('/**/')}1`,
    'deep nesting': `SELECT ${filled('(')}`,
    'many signs': `SELECT ${filled('- ')}1`,
    'one literal that speaks of secrets': `SELECT '${filled('password=x ')}'`,
    'one literal that is a connection string': `SELECT '${filled("application_name='x y' ")} password=z'`,
    'many names that speak of secrets': `SELECT ${filled('password,')}1`,
    'a literal without an end': `SELECT '${filled('x')}`,
    blanks: `${filled(' ')}SELECT 1`,
  };
  for (const [name, text] of Object.entries(texts))
    it(name, () => costsNoMoreThan({ proxy }, sending(`SELECT length('${filled('x')}')`), sending(text)));

  it('has told of each of them', async () => {
    const events = (): string => readFileSync(join(directory, 'audit.json'), 'utf8');
    await eventually('they are told', () =>
      assert.ok(events().split('"event":"statement"').length > 2 * Object.keys(texts).length),
    );
    for (const line of events().trimEnd().split('\n')) JSON.parse(line);
  });
});
