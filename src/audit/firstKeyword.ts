/** Words with which a statement can begin. Nothing else is told of a text that cannot be read. */
const WORDS = new Set(
  `ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DISCARD DO DROP END
  EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE REASSIGN REFRESH REINDEX RELEASE RESET REVOKE
  ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE TRUNCATE UNLISTEN UPDATE VACUUM VALUES WITH`.split(
    /\s+/,
  ),
);

/** So much of a text is looked at. */
const HEAD_BYTES = 1024;

/** The word with which a text begins, in capitals. Undefined if it is none with which a statement can, or stands behind a comment. */
export function firstKeyword(sql: Buffer): string | undefined {
  const word = /^[\s(]*([a-z]+)/i.exec(sql.toString('latin1', 0, HEAD_BYTES))?.[1]?.toUpperCase();
  return word !== undefined && WORDS.has(word) ? word : undefined;
}
