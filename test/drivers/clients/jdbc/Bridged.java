import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.PGConnection;

/** What JDBC offers, with views, functions and triggers that call dblink. */
final class Bridged {
  private Bridged() {}

  static void bridged() throws SQLException {
    try (var session = new Session("a fetch size of 2 over a view")) {
      session.connection.setAutoCommit(false);
      session.attempt("rows", () -> pages(session.connection, "SELECT id, item FROM far_orders ORDER BY id"));
      session.attempt("an error", () -> pages(session.connection, "SELECT * FROM far_division"));
      session.connection.rollback();
      session.attempt("after the error", () -> pages(session.connection, "SELECT far_item(id) FROM customers ORDER BY id"));
      session.connection.commit();
    }
    try (var session = new Session("CopyManager and a view")) {
      session.attempt("rows", () -> copy(session, "COPY (SELECT * FROM far_orders ORDER BY id) TO STDOUT"));
      session.attempt("an error", () -> copy(session, "COPY (SELECT * FROM far_division) TO STDOUT"));
      session.attempt("into a table whose trigger writes to the remote", () -> {
        var manager = session.connection.unwrap(PGConnection.class).getCopyAPI();
        try {
          return manager.copyIn("COPY watched FROM STDIN", new StringReader("1\tone\n2\ttwo\n"));
        } catch (java.io.IOException error) {
          throw new SQLException(error);
        }
      });
      session.run("SELECT * FROM dblink(?, 'DELETE FROM log RETURNING line') AS t(line text)", Input.remote());
      session.run("DELETE FROM watched");
    }
    try (var session = new Session("a batch of calls")) {
      session.attempt("batch", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement("INSERT INTO watched VALUES (?, ?)")) {
          for (int id = 1; id <= 3; id += 1) {
            statement.setInt(1, id);
            statement.setString(2, "batch " + id);
            statement.addBatch();
          }
          List<Object> counts = new ArrayList<>();
          for (int count : statement.executeBatch()) counts.add(count);
          return counts;
        }
      });
      session.run("SELECT * FROM dblink(?, 'DELETE FROM log RETURNING line') AS t(line text)", Input.remote());
      session.run("DELETE FROM watched");
    }
    for (String sql : List.of("SELECT * FROM far_sleep", "SELECT unguarded('SELECT 1 FROM pg_sleep(" + Input.nap() + ")')")) {
      try (var session = new Session("setQueryTimeout for " + sql)) {
        long started = System.nanoTime();
        session.attempt("sleep", () -> {
          try (PreparedStatement statement = session.connection.prepareStatement(sql)) {
            statement.setQueryTimeout(1);
            return Session.execute(statement);
          }
        });
        session.note("time of the cancel", "elapsedMs", (System.nanoTime() - started) / 1_000_000);
        session.attempt("after the cancel", () -> {
          try (PreparedStatement statement = session.connection.prepareStatement("SELECT far_item(1)")) {
            return Session.execute(statement);
          }
        });
      }
    }
  }

  private static Object pages(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(2);
      try (ResultSet rows = statement.executeQuery(sql)) {
        return Session.rows(rows);
      }
    }
  }

  private static Object copy(Session session, String sql) throws SQLException {
    var out = new StringWriter();
    try {
      session.connection.unwrap(PGConnection.class).getCopyAPI().copyOut(sql, out);
    } catch (java.io.IOException error) {
      throw new SQLException(error);
    }
    return out.toString();
  }
}
