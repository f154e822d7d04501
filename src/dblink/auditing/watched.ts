import type { StatementAudit } from '../../audit/index.js';
import type { ErrorFields } from '../../wire/errors.js';

/** Those of a query's events that the audit adds up. */
interface Counted {
  rows(bytes: Buffer): void;
  result(outcome: never, tag: string): void;
  error(fields: ErrorFields): void;
}

/** The same events, which the audit of the statement sees, too. */
export function watched<Events extends Counted>(events: Events, audit: StatementAudit | undefined): Events {
  if (audit === undefined) return events;
  return {
    ...events,
    rows(bytes) {
      audit.came(bytes.length);
      events.rows(bytes);
    },
    result(outcome, tag) {
      audit.completed(tag);
      events.result(outcome, tag);
    },
    error(fields) {
      audit.failed(fields.sqlstate);
      events.error(fields);
    },
  };
}
