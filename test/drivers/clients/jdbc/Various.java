import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** What else JDBC offers. */
final class Various {
  private Various() {}

  static void various() throws SQLException {
    try (var session = new Session("generated keys, scrolling, several results")) {
      Connection connection = session.connection;
      session.run(Statements.CONNECT, Input.remote());
      session.attempt("generated keys", () -> {
        String sql = "INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)";
        try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"line"})) {
          statement.setString(1, Statements.ORDERS);
          int count = statement.executeUpdate();
          return List.of(count, Session.rows(statement.getGeneratedKeys()));
        }
      });
      session.attempt("scrolling", () -> {
        try (PreparedStatement statement = connection.prepareStatement(Statements.FIVE, ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
          statement.setString(1, Statements.ORDERS);
          try (ResultSet rows = statement.executeQuery()) {
            rows.absolute(4);
            List<Object> all = new ArrayList<>(Session.row(rows));
            rows.previous();
            all.addAll(Session.row(rows));
            return all;
          }
        }
      });
      session.runStatement("SELECT 1; INSERT INTO log (line) VALUES ('x'); SELECT * FROM dblink('c', 'SELECT 2') AS t(a int); SELECT dblink_exec('c', 'SET application_name = y'); DELETE FROM log");
      session.runStatement("INSERT INTO log (line) VALUES ('lost'); SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int); SELECT 3");
      session.runStatement("SELECT count(*) FROM log");
      session.run("SELECT * FROM dblink('c', 'SELECT ? - operators', false) AS t(a int)".replace("?", "??"));
      session.run("{ ? = call dblink_exec('c', 'SELECT 1', false) }".replace("? = ", ""));
    }
  }

  static void timeouts() throws SQLException {
    try (var session = new Session("setQueryTimeout")) {
      session.run(Statements.CONNECT, Input.remote());
      long started = System.nanoTime();
      session.attempt("sleep", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement("SELECT * FROM dblink('c', ?) AS t(a text)")) {
          statement.setQueryTimeout(1);
          return Session.execute(statement, "SELECT pg_sleep(" + Input.nap() + ")");
        }
      });
      session.note("time of the cancel", "elapsedMs", (System.nanoTime() - started) / 1_000_000);
      session.attempt("after the cancel", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement(Statements.FIVE)) {
          return Session.execute(statement, Statements.ORDERS);
        }
      });
    }
    try (var session = new Session("statement_timeout")) {
      session.run(Statements.CONNECT, Input.remote());
      session.run("SET statement_timeout = 300");
      session.connection.setAutoCommit(false);
      long started = System.nanoTime();
      session.run("SELECT * FROM dblink('c', ?) AS t(a text)", "SELECT pg_sleep(" + Input.nap() + ")");
      session.note("time of the timeout", "elapsedMs", (System.nanoTime() - started) / 1_000_000);
      session.run("SELECT 1");
      session.connection.rollback();
      session.run(Statements.FIVE, Statements.ORDERS);
    }
  }
}
