import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clipName } from '../../../src/dblink/clipName.js';
import { ConnectionRegistry } from '../../../src/dblink/connections/registry.js';
import { chooseSignature, kindOfType, resolutionOf } from '../../../src/dblink/functions.js';
import type { RemoteConnection } from '../../../src/dblink/remote/remote.js';

test('two literals choose the connection, not fail_on_error', () => {
  assert.deepEqual(chooseSignature('dblink', ['unknown', 'unknown']), ['connection', 'sql']);
  assert.deepEqual(chooseSignature('dblink', ['unknown', 'boolean']), ['sql', 'failOnError']);
  assert.deepEqual(chooseSignature('dblink_exec', ['text', 'unknown', 'unknown']), [
    'connection',
    'sql',
    'failOnError',
  ]);
});

test('arguments of other types fit nothing', () => {
  assert.equal(chooseSignature('dblink', ['other']), undefined);
  assert.equal(chooseSignature('dblink_connect', []), undefined);
  assert.equal(chooseSignature('dblink', ['text', 'other']), undefined);
  assert.deepEqual(chooseSignature('dblink_get_connections', []), []);
});

test('types that convert to text by themselves count as text', () => {
  assert.deepEqual([25, 1043, 1042, 19].map(kindOfType), ['text', 'text', 'text', 'text']);
  assert.deepEqual([16, 17, 0, 705].map(kindOfType), ['boolean', 'other', 'unknown', 'unknown']);
});

test('types that convert to integer by themselves count as integer', () => {
  assert.deepEqual([23, 21, 20, 1700].map(kindOfType), ['integer', 'integer', 'other', 'other']);
});

test('arguments of unknown type prefer text, and are ambiguous where text is not among the candidates', () => {
  assert.deepEqual(chooseSignature('dblink', ['unknown', 'unknown']), ['connection', 'sql']);
  assert.deepEqual(chooseSignature('dblink_fetch', ['unknown', 'unknown']), ['cursor', 'howMany']);
  assert.deepEqual(chooseSignature('dblink_fetch', ['unknown', 'integer', 'unknown']), [
    'cursor',
    'howMany',
    'failOnError',
  ]);
  assert.equal(chooseSignature('dblink_fetch', ['unknown', 'unknown', 'unknown']), undefined);
  assert.equal(chooseSignature('dblink_fetch', ['unknown', 'other']), undefined);
});

test('a call is ambiguous when it fits several signatures, whatever is still open turns out to be', () => {
  const fetching = (...kinds: Parameters<typeof resolutionOf>[1]) => resolutionOf('dblink_fetch', kinds);
  assert.equal(fetching('unknown', 'unknown', 'unknown'), 'ambiguous');
  assert.equal(fetching('open', 'unknown', 'unknown'), 'ambiguous');
  assert.equal(fetching('unknown', 'unknown', 'open'), 'chosen');
  assert.equal(fetching('unknown', 'unknown', 'other'), 'none');
  assert.equal(fetching('open', 'other'), 'none');
  assert.equal(fetching('open', 'open', 'open', 'open', 'open'), 'none');
});

test('names are cut to 63 bytes at a character boundary', () => {
  assert.equal(clipName('n'.repeat(70), 'UTF8'), 'n'.repeat(63));
  const forty = Buffer.from('é'.repeat(40)).toString('latin1');
  assert.equal(clipName(forty, 'UTF8').length, 62);
  assert.equal(clipName(forty, 'LATIN1').length, 63);
  assert.equal(clipName('n'.repeat(63), 'UTF8'), 'n'.repeat(63));
});

test('a connection string is not captured by a name that shares its beginning', () => {
  const registry = new ConnectionRegistry();
  const connection = {} as RemoteConnection;
  const name = 'host=127.0.0.1 port=5502 user=postgres password=postgres dbname=postgres';
  registry.add(name, 'UTF8', connection);
  const always = () => true;
  assert.equal(registry.find(name, 'UTF8', always), connection);
  assert.equal(registry.find(`${name} options=x`, 'UTF8', always), undefined);
  assert.equal(
    registry.find(`${name} options=x`, 'UTF8', () => false),
    connection,
  );
  assert.equal(registry.find(name.slice(0, 63), 'UTF8', always), connection);
});
