export { Audit, type AuditReader, type AuditReading } from './audit.js';
export type { ConnectionAudit } from './connectionAudit.js';
export { endReason, loginFailure } from './endReason.js';
export type { AuditEvents, AuditedStatements, AuditTarget, AuditWho, EndReason } from './events.js';
export { type Attempt, SessionAudit } from './sessionAudit.js';
export type { StatementAudit } from './statementAudit.js';
export { AuditWriter, STANDARD_ERROR } from './writer.js';
