import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.List;

/** Batches, which pgjdbc sends as a pipeline. */
final class Batches {
  private Batches() {}

  static void batches() throws SQLException {
    for (String options : List.of("", "reWriteBatchedInserts=true", "preferQueryMode=simple")) {
      try (var session = new Session("batches [" + options + "]", options)) {
        Connection connection = session.connection;
        session.run(Statements.CONNECT, Input.remote());
        String insert = "INSERT INTO archive SELECT t.id + ?, t.item FROM dblink('c', ?) AS t(id int, item text)";
        session.attempt("a prepared statement's", () -> batch(connection, insert,
            List.of(List.of(100, Statements.ORDERS), List.of(200, Statements.ORDERS), List.of(300, "SELECT 1, 'one'"))));
        session.attempt("with an error in the middle", () -> batch(connection, insert,
            List.of(List.of(400, Statements.ORDERS), List.of(500, "SELECT 1/0, 'x'"), List.of(600, Statements.ORDERS))));
        session.run("SELECT id FROM archive ORDER BY id");
        session.attempt("of statements", () -> {
          try (Statement statement = connection.createStatement()) {
            statement.addBatch("INSERT INTO log (line) VALUES ('first')");
            statement.addBatch("INSERT INTO log (line) SELECT a FROM dblink('c', 'SELECT ''second''') AS t(a text)");
            statement.addBatch("UPDATE log SET line = line || '!'");
            statement.addBatch("DELETE FROM archive USING dblink('c', 'SELECT 101') AS t(a int) WHERE t.a = archive.id");
            return Arrays.toString(statement.executeBatch());
          }
        });
        session.attempt("with a call that returns a row", () -> {
          try (Statement statement = connection.createStatement()) {
            statement.addBatch("INSERT INTO log (line) VALUES ('third')");
            statement.addBatch("SELECT dblink_exec('c', 'SET application_name = batch')");
            statement.addBatch("INSERT INTO log (line) VALUES ('fourth')");
            return Arrays.toString(statement.executeBatch());
          }
        });
        connection.setAutoCommit(false);
        session.attempt("in a transaction", () -> batch(connection, insert,
            List.of(List.of(700, Statements.ORDERS), List.of(800, "SELECT 1"), List.of(900, Statements.ORDERS))));
        session.run("SELECT 1");
        connection.rollback();
        connection.setAutoCommit(true);
        session.run("SELECT line FROM log ORDER BY id");
        session.run("SELECT id FROM archive ORDER BY id");
        session.run("DELETE FROM log");
        session.run("DELETE FROM archive");
      }
    }
  }

  private static Object batch(Connection connection, String sql, List<List<Object>> values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (List<Object> row : values) {
        for (int index = 0; index < row.size(); index += 1) statement.setObject(index + 1, row.get(index));
        statement.addBatch();
      }
      return Arrays.toString(statement.executeBatch());
    }
  }
}
