import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type ForeignServer,
  serverConninfo,
  wantsPassthrough,
} from '../../../src/dblink/connections/foreignServer.js';
import { parseConninfo } from '../../../src/dblink/conninfo/index.js';
import { PgError } from '../../../src/wire/errors.js';

const server = (more: Partial<ForeignServer>): ForeignServer => ({
  name: 's',
  serverOptions: [],
  mappingOptions: [],
  declared: false,
  ...more,
});

describe('the connection string of a foreign server', () => {
  it("has the server's options, then the mapping's, in their order", () => {
    const found = server({
      serverOptions: ['port=5433', 'host=h', 'dbname=d'],
      mappingOptions: ['password=p', 'user=u'],
    });
    assert.equal(
      serverConninfo(found, 18, undefined),
      "port='5433' host='h' dbname='d' password='p' user='u' ",
    );
  });

  it('quotes values so that they come back', () => {
    const values = ['', ' ', "it's", 'back\\slash', "\\'", 'a=b', "x' host='evil", 'caf\xe9'];
    for (const value of values) {
      const found = server({
        serverOptions: [`application_name=${value}`],
        mappingOptions: [`password=${value}`],
      });
      const options = parseConninfo(Buffer.from(serverConninfo(found, 18, undefined), 'latin1'));
      assert.deepEqual(
        [...options],
        [
          ['application_name', value],
          ['password', value],
        ],
      );
    }
  });

  it('leaves out what dblink does not take from a server, or from a mapping', () => {
    const everywhere = [
      ...['user=u', 'password=p', 'sslpassword=x', 'dbname=d', 'fetch_size=1', 'Host=H', 'requiressl=1'],
      ...[
        'client_encoding=LATIN1',
        'replication=1',
        'scram_client_key=k',
        'sslkeylogfile=f',
        'oauth_issuer=o',
      ],
      ...['oauth_client_secret=o', 'use_scram_passthrough=true'],
    ];
    const found = server({ serverOptions: everywhere, mappingOptions: everywhere });
    assert.equal(serverConninfo(found, 18, undefined), "dbname='d' user='u' password='p' sslpassword='x' ");
  });

  it("knows the options of the primary's version", () => {
    const since: readonly (readonly [string, number])[] = [
      ['sslmode', 13],
      ['sslsni', 14],
      ['require_auth', 16],
      ['sslnegotiation', 17],
      ['max_protocol_version', 18],
    ];
    for (const [name, first] of since) {
      const found = server({ serverOptions: [`${name}=x`] });
      for (const major of [13, 14, 15, 16, 17, 18, 19]) {
        assert.equal(
          serverConninfo(found, major, undefined),
          major < first ? '' : `${name}='x' `,
          `${name} ${major}`,
        );
      }
    }
  });

  it('of the configuration has all its options', () => {
    const found = server({ declared: true, serverOptions: ['host=h', 'user=u', 'password=p'] });
    assert.equal(serverConninfo(found, 13, undefined), "host='h' user='u' password='p' ");
  });
});

describe('use_scram_passthrough', () => {
  const keys = { clientKey: Buffer.alloc(32, 1), serverKey: Buffer.alloc(32, 2) };
  const passing = server({
    serverOptions: ['use_scram_passthrough=on', 'require_auth=md5'],
    mappingOptions: ['user=u'],
  });

  it('puts the keys in front, where the options can still override require_auth', () => {
    const options = parseConninfo(serverConninfo(passing, 18, keys));
    assert.equal(options.get('scram_client_key'), keys.clientKey.toString('base64'));
    assert.equal(options.get('scram_server_key'), keys.serverKey.toString('base64'));
    assert.equal(options.get('require_auth'), 'md5');
    assert.equal(options.get('user'), 'u');
  });

  it('does nothing before 18, nor without keys', () => {
    assert.equal(serverConninfo(passing, 17, keys), "require_auth='md5' user='u' ");
    assert.equal(serverConninfo(passing, 18, undefined), "require_auth='md5' user='u' ");
  });

  it('is what the mapping says, then what the server says', () => {
    const cases: readonly (readonly [string[], string[], boolean])[] = [
      [[], [], false],
      [['true'], [], true],
      [[], ['on'], true],
      [['ON'], ['off'], false],
      [['off'], ['TRUE'], true],
    ];
    for (const [ofServer, ofMapping, expected] of cases) {
      const stored = (values: readonly string[]): string[] =>
        values.map((value) => `use_scram_passthrough=${value}`);
      const found = server({ serverOptions: stored(ofServer), mappingOptions: stored(ofMapping) });
      assert.equal(wantsPassthrough(found, 18), expected, JSON.stringify([ofServer, ofMapping]));
    }
  });

  it('has to be a boolean', () => {
    const found = server({ serverOptions: ['use_scram_passthrough=yes'] });
    assert.throws(
      () => wantsPassthrough(found, 18),
      (error) =>
        error instanceof PgError &&
        error.sqlstate === '42601' &&
        error.message === 'use_scram_passthrough requires a Boolean value',
    );
  });
});
