import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Conversation, compare, type Difference } from '../differential/compare/compare.js';
import { type Environment, startEnvironment } from '../differential/play/environment.js';
import type { Frame } from '../support/wire.js';
import { PENDING } from './pending.js';
import { playProgram } from './play.js';
import { programs } from './program.js';

/** Programs that people install and that use dblink must do on the proxy what they do on a server with the extension. */
export function testPrograms(major: number): void {
  describe(`programs on PostgreSQL ${major}`, () => {
    let environment: Environment;
    before(async () => {
      environment = await startEnvironment(major, 'proxy');
    });
    after(() => environment?.stop());

    for (const program of programs()) {
      test(program.name, async (t) => {
        const [extension, proxy] = await Promise.all([
          playProgram(environment.extension, program),
          playProgram(environment.proxy, program),
        ]);
        assert.deepEqual(inFailedTransactions(extension), [], 'these steps of the program can only fail');
        const found = differences(extension, proxy, major);
        const pending = PENDING[program.name] ?? {};
        const faults = [...found].filter(([title]) => !(title in pending));
        assert.ok(
          faults.length === 0,
          faults.map(([title, { report }]) => `\n=== ${title}\n${report}`).join('\n'),
        );
        const passing = Object.keys(pending).filter((title) => !found.has(title));
        assert.deepEqual(passing, [], 'these steps pass, or are gone: remove them from PENDING');
        for (const title of found.keys()) t.diagnostic(`pending: ${title}`);
      });
    }
  });
}

/** By titles of steps. Each is compared by itself, so that a step that is pending says nothing about those behind it. */
function differences(
  extension: Conversation,
  proxy: Conversation,
  major: number,
): ReadonlyMap<string, Difference> {
  const found = new Map<string, Difference>();
  const only = ({ exchanges, facts }: Conversation, index: number): Conversation => ({
    exchanges: exchanges
      .slice(index, index + 1)
      .map((exchange) => ({ ...exchange, frames: exchange.frames.map(withoutLocation) })),
    facts,
  });
  for (const [index, { label }] of extension.exchanges.entries()) {
    const difference = compare(only(extension, index), only(proxy, index), { encoding: 'UTF8', major });
    if (difference !== undefined) found.set(label, difference);
  }
  return found;
}

/** An error or notice without its place in the server's source, which no program looks at. */
function withoutLocation({ type, body }: Frame): Frame {
  if (type !== 'E' && type !== 'N') return { type, body };
  const fields = body.toString('latin1').split('\0');
  return { type, body: Buffer.from(fields.filter((field) => !/^[FLR]/.test(field)).join('\0'), 'latin1') };
}

/** Steps of a program that goes on where it should have rolled back. They would agree on both sides and show nothing. */
function inFailedTransactions({ exchanges }: Conversation): readonly string[] {
  return exchanges
    .filter(({ frames }) => frames.some(({ type, body }) => type === 'E' && body.includes('C25P02\0')))
    .map(({ label }) => label);
}
