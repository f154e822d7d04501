/** The tables and functions that the benchmarks use. */

/**
 * How many accounts the small queries of the relay benchmarks choose from. They fill few pages: a server process faults in each page
 * when it first reads it, and PgBouncer alone goes on with processes that have done so.
 */
export const ACCOUNTS = 500;
/** Rows of the local tables of the dblink benchmarks. */
export const LOCAL_ROWS = 100_000;

/** How long the remote's slow view takes. */
export const SLOW_MS = 50;

export const ACCOUNTS_TABLE = `
  CREATE TABLE accounts (aid int PRIMARY KEY, abalance int NOT NULL, filler char(84) NOT NULL);
  INSERT INTO accounts SELECT i, 0, '' FROM generate_series(1, ${ACCOUNTS}) i`;

/** A row is some 115 bytes on the wire: 7 of the message, two lengths, the number and 94 characters. */
export const bulkTable = (rows: number): string => `
  CREATE UNLOGGED TABLE bulk (id int PRIMARY KEY, filler text);
  INSERT INTO bulk SELECT i, rpad(md5(i::text), 94, 'x') FROM generate_series(1, ${rows}) i;
  CREATE UNLOGGED TABLE bulk_copy (id int, filler text)`;

export const LOCAL_TABLES = `
  CREATE UNLOGGED TABLE local (id int PRIMARY KEY, v int NOT NULL);
  INSERT INTO local SELECT i, i % 10 FROM generate_series(1, ${LOCAL_ROWS}) i;
  CREATE UNLOGGED TABLE target (id int, filler text);
  CREATE UNLOGGED TABLE servers (n int PRIMARY KEY, conn text NOT NULL)`;

/** Local functions and views with dblink calls in them, which only the primary's executor sees. */
export const BRIDGE_OBJECTS = `
  CREATE FUNCTION bridged_call(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE found int;
    BEGIN
      SELECT t.n INTO found FROM dblink('c', 'SELECT ' || n) AS t(n int);
      RETURN found;
    END $$;
  CREATE FUNCTION bridged_calls(calls int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      FOR n IN 1 .. calls LOOP
        IF bridged_call(n) IS DISTINCT FROM n THEN RAISE 'not the answer'; END IF;
      END LOOP;
      RETURN calls;
    END $$;
  CREATE FUNCTION bridged_execs(calls int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      FOR n IN 1 .. calls LOOP
        IF dblink_exec('c', 'INSERT INTO sink VALUES (' || n || ')') <> 'INSERT 0 1' THEN RAISE 'not the answer'; END IF;
      END LOOP;
      RETURN calls;
    END $$;
  CREATE UNLOGGED TABLE audited (run int, n int);
  CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM dblink_exec('c', 'INSERT INTO sink VALUES (' || NEW.n || ')');
      RETURN NEW;
    END $$;
  CREATE TRIGGER audit AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit();
  CREATE VIEW bridged_bulk AS SELECT * FROM dblink('c', 'SELECT id, filler FROM bulk') AS t(id int, filler text)`;
