import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** Statements that are prepared: run again and again, and described before they run. */
final class Prepared {
  private Prepared() {}

  /** From the fifth execution on the statement has a name in the server and transfers binary values. */
  static void repeated() throws SQLException {
    try (var session = new Session("seven executions of a prepared statement")) {
      session.run(Statements.CONNECT, Input.remote());
      String kinds = "i4 int, i8 bigint, num numeric, b bool, tsz timestamptz, d date, u uuid, jb jsonb, ba bytea, ia int[], t text, vc varchar(12), f8 float8";
      String names = kinds.replaceAll("(\\w+) [^,]+", "$1");
      for (String sql : List.of(
          "SELECT * FROM dblink(?, ?) AS t(" + kinds + ")",
          "SELECT * FROM dblink(?, ?) AS t(" + kinds + ") WHERE i4 = i4")) {
        session.attempt(sql, () -> {
          try (PreparedStatement statement = session.connection.prepareStatement(sql)) {
            List<Object> all = new ArrayList<>();
            for (int n = 1; n <= 7; n += 1) {
              all.add(Session.execute(statement, "c", "SELECT " + names + " FROM kinds WHERE n = " + (n % 3 == 0 ? 3 : 1)));
            }
            return all;
          }
        });
      }
      for (String sql : List.of(
          "SELECT c.name, t.item FROM customers c JOIN dblink('c', 'SELECT customer_id, item FROM orders') AS t(id int, item text) ON t.id = c.id WHERE c.id = ? ORDER BY 2",
          "SELECT c.name, t.item FROM customers c JOIN dblink('c', ?) AS t(id int, item text) ON t.id = c.id ORDER BY 1, 2",
          "SELECT dblink_exec('c', ?)",
          "INSERT INTO log (line) SELECT item || ? FROM dblink('c', ?) AS t(id int, item text) RETURNING line")) {
        session.attempt(sql, () -> {
          try (PreparedStatement statement = session.connection.prepareStatement(sql)) {
            List<Object> all = new ArrayList<>();
            for (int n = 1; n <= 7; n += 1) {
              if (sql.contains("c.id = ?")) all.add(Session.execute(statement, n % 4 + 1));
              else if (sql.contains("dblink_exec")) all.add(Session.execute(statement, "SET application_name = 'n" + n + "'"));
              else if (sql.startsWith("INSERT")) all.add(Session.execute(statement, "!", "SELECT " + n + ", 'line'"));
              else all.add(Session.execute(statement, "SELECT id, item FROM orders WHERE id <> " + n));
            }
            return all;
          }
        });
      }
      session.attempt("errors between", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement(Statements.FIVE)) {
          List<Object> all = new ArrayList<>();
          for (int n = 1; n <= 9; n += 1) {
            try {
              all.add(Session.execute(statement, n % 3 == 0 ? "SELECT 1/0, 'x'" : n % 4 == 0 ? "SELECT 1" : Statements.ORDERS));
            } catch (SQLException error) {
              all.add(Transcript.show(error));
            }
          }
          return all;
        }
      });
      session.run("DELETE FROM log");
    }
  }

  static void metadata() throws SQLException {
    try (var session = new Session("getMetaData before execute")) {
      session.run(Statements.CONNECT, Input.remote());
      for (String sql : List.of(
          "SELECT * FROM dblink(?, ?) AS t(id int, item varchar(20), amount numeric(10,2), \"At\" timestamptz, l int[])",
          "SELECT dblink_exec(?, ?, ?)",
          "SELECT c.*, t.a FROM customers c, dblink('c', 'SELECT 1/0') AS t(a int) WHERE c.id = ? AND t.a > ?",
          "INSERT INTO archive SELECT a, ? FROM dblink(?, 'SELECT 1') AS t(a int) WHERE a = ? RETURNING *",
          "SELECT * FROM dblink('c', 'SELECT 1')",
          "SELECT dblink_connect(?, ?), dblink_get_connections()")) {
        session.attempt(sql, () -> {
          try (PreparedStatement statement = session.connection.prepareStatement(sql)) {
            ParameterMetaData parameters = statement.getParameterMetaData();
            List<Object> types = new ArrayList<>();
            for (int index = 1; index <= parameters.getParameterCount(); index += 1) {
              types.add(parameters.getParameterTypeName(index));
            }
            return Transcript.object("parameters", types, "columns", Session.columns(statement.getMetaData()));
          }
        });
      }
      session.run("SELECT dblink_get_connections()");
    }
  }
}
