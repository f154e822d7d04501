import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectTextBefore14 } from '../../../src/dblink/remote/connectText.js';

const HINT = '\n\tIs the server running on that host and accepting TCP/IP connections?';

test('before 14 libpq names a server that does not answer in words of its own', () => {
  assert.equal(
    connectTextBefore14(
      `connection to server at "127.0.0.1", port 1 failed: Connection refused${HINT}\n` +
        `connection to server at "db" (10.0.0.1), port 2 failed: No route to host${HINT}\n` +
        'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory\n' +
        '\tIs the server running locally and accepting connections on that socket?',
    ),
    'could not connect to server: Connection refused\n' +
      '\tIs the server running on host "127.0.0.1" and accepting\n\tTCP/IP connections on port 1?\n' +
      'could not connect to server: No route to host\n' +
      '\tIs the server running on host "db" (10.0.0.1) and accepting\n\tTCP/IP connections on port 2?\n' +
      'could not connect to server: No such file or directory\n' +
      '\tIs the server running locally and accepting\n\tconnections on Unix domain socket "/run/.s.PGSQL.5432"?',
  );
});

test('before 14 libpq does not name a server that refuses', () => {
  const refused = 'FATAL:  no\nDETAIL:  two lines';
  assert.equal(
    connectTextBefore14(`connection to server at "127.0.0.1", port 5432 failed: ${refused}`),
    refused,
  );
  for (const text of ['invalid connection option "x"', 'could not translate host name "a" to address: b']) {
    assert.equal(connectTextBefore14(text), text);
  }
});
