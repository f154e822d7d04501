import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BulkRows } from '../../../src/bridge/rows/bulkRows.js';
import type { DatabaseServices } from '../../../src/bridge/service/services.js';
import type { CopyInControl, WireClient } from '../../../src/wire/outbound/index.js';

const TABLE = {
  name: 'rows_1',
  pid: 1,
  types: ['integer'],
  timeZone: 'UTC',
  dateStyle: 'ISO',
  intervalStyle: 'postgres',
};
const ROW = Buffer.from('D\0\0\0\x0b\0\x01\0\0\0\x011', 'latin1');

/** A COPY into a server that takes nothing, so that what is written never goes out. */
async function opened(): Promise<{ bulk: BulkRows; remote: WireClient; stopped: () => boolean }> {
  let stopped = false;
  const remote = {
    pause: () => {
      stopped = true;
    },
    resume: () => {
      stopped = false;
    },
  } as WireClient;
  const connection = {
    closed: false,
    script: (_: string, copyIn: (control: CopyInControl) => void) =>
      new Promise<void>((resolve) => {
        const control: Partial<CopyInControl> = {
          writeMessage: () => false,
          done: resolve,
          fail: () => resolve(),
        };
        copyIn(control as CopyInControl);
      }),
  };
  const services = { bulk: (act: (it: unknown) => unknown) => act(connection) };
  const call = { user: undefined, depth: 0, signal: new AbortController().signal, made: () => undefined };
  const bulk = await BulkRows.open(services as unknown as DatabaseServices, TABLE, call);
  return { bulk, remote, stopped: () => stopped };
}

test('a full pipe stops the remote, and the end of the rows lets it go on though nothing has gone out', async () => {
  const { bulk, remote, stopped } = await opened();
  bulk.write(ROW, remote);
  assert.equal(stopped(), true);
  assert.equal(await bulk.finish(), 'rows_1_v');
  assert.equal(stopped(), false);
});

test('so does giving up', async () => {
  const { bulk, remote, stopped } = await opened();
  bulk.write(ROW, remote);
  bulk.abort();
  assert.equal(stopped(), false);
});
