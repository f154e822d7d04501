/** SQL that removes large objects. @param condition which of dblink_proxy.object */
export const removeObjects = (condition: string): string =>
  `WITH gone AS (DELETE FROM dblink_proxy.object AS o WHERE ${condition} RETURNING o.id)
    SELECT pg_catalog.lo_unlink(id) FROM gone WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata AS m WHERE m.oid = gone.id)`;
