import type { Flow } from '../flows/types.js';
import { abandoned, abandonedInFunctions, cancelled, cancelledInFunctions } from './pgCancel.js';
import { ownFlows } from './pgFlows.js';
import { flows, type Options, type Result, type Session, session, showResult, target } from './pgSession.js';
import { emit, showError } from './support.js';

/** node-postgres: the flows in each of its ways to run a statement, then what only it does. */
const MODES: Readonly<Record<string, Options>> = {
  simple: {},
  extended: { queryMode: 'extended' },
  'binary results': { queryMode: 'extended', binary: true },
  'row limit 2': { queryMode: 'extended', rows: 2 },
};

async function sharedFlows(): Promise<void> {
  for (const [mode, options] of Object.entries(MODES)) {
    for (const { name, steps, simpleOnly } of flows) {
      if (simpleOnly && mode !== 'simple') continue;
      await session(`${name} [${mode}]`, async (opened) => {
        for (const { sql, values } of steps) await opened.run(sql, values, options);
      });
    }
  }
  for (const { name, steps, simpleOnly } of flows) {
    if (simpleOnly) continue;
    await session(`${name} [named]`, async (opened) => {
      // A name can stand for one text only.
      const names = new Map<string, string>();
      for (const { sql, values } of steps) {
        if (!names.has(sql)) names.set(sql, `statement ${names.size}`);
        await opened.run(sql, values, { name: names.get(sql) ?? '' });
      }
    });
    await pipelined(name, steps);
  }
}

/** Everything is written before the first answer is read. */
async function pipelined(name: string, steps: Flow['steps']): Promise<void> {
  const inFlight = async (opened: Session): Promise<void> => {
    const outcomes = steps.map(({ sql, values }) =>
      opened.client.query({ text: sql, values: [...values], rowMode: 'array' }).then(
        (result: unknown) => ({ results: [showResult(result as Result)] }),
        (error: unknown) => ({ error: showError(error) }),
      ),
    );
    // Notices belong to no statement here: all of them come with the last line.
    const all = await Promise.all(outcomes);
    for (const [index, outcome] of all.entries())
      emit(`${name} [pipelined]`, steps[index]?.sql ?? '', outcome);
    opened.note('all notices', {});
  };
  await session(`${name} [pipelined]`, inFlight, { pipeline: true });
}

await sharedFlows();
if (target.bridged) {
  await cancelledInFunctions();
  await abandonedInFunctions();
} else {
  await ownFlows();
  await cancelled();
  await abandoned();
}
process.exit(0);
