import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { wantedDatabases } from '../../../src/dblink/databaseCommand.js';
import { remote, scriptedRemote } from '../../faults/world/scriptedRemote.js';
import { CollectingSink, callContext, newSession, sql } from './dblink-support.js';

const wanted = (text: string): readonly string[] => wantedDatabases(Buffer.from(`Q0000${text}\0`), 5) ?? [];

describe('databases that a text wants for itself', () => {
  const CASES: readonly (readonly [text: string, wanted: readonly string[]])[] = [
    ['CREATE DATABASE a', ['template1']],
    ['create database a TEMPLATE b', ['b']],
    ["create database a with owner = template2 template = B encoding 'UTF8'", ['b']],
    ["create database a template 'it''s'", ["it's"]],
    ['create database a template default', ['template1']],
    ['create database template template template', ['template']],
    ['drop database a', ['a']],
    ['Drop Database If Exists "A""b" with (force)', ['A"b']],
    ['alter database a rename to b', ['a']],
    ['alter database a set tablespace t', ['a']],
    ['alter database a set search_path = x', []],
    ['alter database a owner to b', []],
    ['create/**/database x template/* /* */ -- */a', ['a']],
    [' \n-- a comment\n /* one /* in */ another */ drop\tdatabase a', ['a']],
    ['; ;drop database a', ['a']],
    ['BEGIN; alter database a rename to b ; COMMIT;drop database c', ['a', 'c']],
    ['select 1;drop database a;', ['a']],
    ['drop database a;', ['a']],
    [`drop database ${'x'.repeat(70)}`, ['x'.repeat(63)]],
    ['select 1 as database', []],
    ['create table database (a int)', []],
    ['drop table a; select 1', []],
    ['drop databases a', []],
    ['drop database', []],
    ['drop database "a', []],
    ['/* drop database a', []],
    ['/*; drop database a; */ select 1', []],
    ['create', []],
    ['', []],
    ['select 1\0; drop database a', []],
    [`${';'.repeat(9000)} drop database a`, []],
    [
      Array.from({ length: 100 }, (_, i) => `drop database d${i}`).join(';'),
      ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7'],
    ],
  ];
  for (const [text, names] of CASES) {
    it(`${JSON.stringify(text.slice(0, 60))} wants ${names.join(', ') || 'none'}`, () => {
      assert.deepEqual(wanted(text), names);
    });
  }

  it('is found only at the beginning of what is one statement', () => {
    assert.deepEqual(wantedDatabases(Buffer.from('drop database a\0'), 0, false), ['a']);
    assert.equal(wantedDatabases(Buffer.from('select 1; drop database a\0'), 0, false), undefined);
  });
});

describe('a command that a remote is about to get', () => {
  it('has connections make way first, however it is sent', async (t) => {
    const events: string[] = [];
    const server = await scriptedRemote({
      query: (text, socket) => {
        events.push(`sent ${text}`);
        socket.write(Buffer.concat([remote.tag('DROP DATABASE'), remote.ready()]));
      },
    });
    const session = newSession({
      makeWay: async (databases) => {
        await new Promise(setImmediate);
        events.push(`left ${databases}`);
      },
    });
    t.after(async () => {
      session.close();
      await server.close();
    });
    const { call } = callContext();
    await session.connect('h', server.conninfo, false, call);
    events.length = 0;
    await session.exec('h', sql('drop database a'), true, call);
    await session.query('h', sql('drop database b'), true, new CollectingSink(), call);
    await session.sendQuery('h', sql('drop database c'), call);
    for (let left = 2; left > 0; left--) await session.getResult('h', true, new CollectingSink(), call);
    await session.exec('h', sql('drop table d'), true, call);
    assert.deepEqual(
      events.filter((event) => event.includes('drop') || event.startsWith('left')),
      [
        'left a',
        'sent drop database a',
        'left b',
        'sent drop database b',
        'left c',
        'sent drop database c',
        'sent drop table d',
      ],
    );
  });
});
