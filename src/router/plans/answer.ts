import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import { FUNCTION_FACTS, returnsRows, type Statement, TYPE_OIDS } from '../../sql/index.js';
import { commandComplete, dataRow, rowDescription } from '../../wire/messages.js';
import { CallRunner } from '../calls/callRunner.js';
import { unbound } from '../calls/evaluateArguments.js';

/**
 * Carries out the plan `answer` for a statement of a Query. No transaction is open, and nothing is left for the primary.
 * @param text of the whole Query
 * @throws PgError what a call raised; NoSuchSignature; NeedsBridge, before anything remote has happened
 */
export async function answer(
  context: SessionContext,
  text: Buffer,
  statement: Statement,
  facts: SessionFacts,
): Promise<void> {
  const { session } = context;
  const runner = new CallRunner(context, unbound(text), facts);
  for (const call of statement.calls) if (returnsRows(call)) await runner.refuseNullRows(call);
  const names = statement.shape.kind === 'answer' ? statement.shape.columns : [];
  session.client.writeLater(
    rowDescription(
      statement.calls.map((call, i) => {
        const { returns } = FUNCTION_FACTS[call.name];
        return {
          name: names[i] ?? call.name,
          typeOid: TYPE_OIDS[returns],
          typeLength: returns === 'integer' ? 4 : -1,
        };
      }),
    ),
  );
  const values: (Buffer | null)[] = [];
  for (const call of statement.calls) {
    const result = await runner.scalar(call);
    if (result.kind === 'failed') throw result.error;
    values.push(returnsRows(call) ? asRecord(result.value) : result.value);
  }
  session.toClient(dataRow(values));
  session.toClient(commandComplete('SELECT 1'));
}

/** A record of one text field, as record_out writes it. */
function asRecord(value: Buffer | null): Buffer {
  const text = value?.toString('latin1') ?? '';
  const quoted = text === '' || /[(),"\\\s]/.test(text) ? `"${text.replace(/["\\]/g, (c) => c + c)}"` : text;
  return Buffer.from(`(${value === null ? '' : quoted})`, 'latin1');
}
