import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** Results that are fetched page by page. */
final class Pages {
  private Pages() {}

  static void fetchSize() throws SQLException {
    try (var session = new Session("a fetch size of 2 over 5 rows")) {
      Connection connection = session.connection;
      session.run(Statements.CONNECT, Input.remote());
      connection.setAutoCommit(false);
      session.attempt("five rows", () -> pages(connection, Statements.FIVE, Statements.ORDERS, 5));
      session.attempt("with a local table", () -> pages(connection,
          "SELECT c.name, t.item FROM customers c JOIN dblink('c', ?) AS t(id int, item text) ON true ORDER BY 1, 2", Statements.ORDERS, 99));
      session.attempt("an error in mid-fetch", () -> pages(connection, Statements.FIVE, Statements.DIVISION, 5));
      session.attempt("in the failed transaction", () -> pages(connection, Statements.FIVE, Statements.ORDERS, 5));
      connection.rollback();
      session.attempt("after the rollback", () -> pages(connection, Statements.FIVE, Statements.ORDERS, 5));
      session.attempt("closed after three rows", () -> pages(connection, Statements.FIVE, Statements.ORDERS, 3));
      session.attempt("another after that", () -> pages(connection, Statements.FIVE, "SELECT 7, 'seven'", 5));
      for (int n = 1; n <= 7; n += 1) session.attempt("again", () -> pages(connection, Statements.FIVE, Statements.ORDERS, 5));
      session.attempt("two at once on one connection", () -> {
        try (PreparedStatement one = connection.prepareStatement(Statements.FIVE); PreparedStatement two = connection.prepareStatement(Statements.FIVE)) {
          one.setFetchSize(2);
          two.setFetchSize(2);
          one.setString(1, Statements.ORDERS);
          two.setString(1, "SELECT id, upper(item) FROM orders ORDER BY id DESC");
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery(); ResultSet right = two.executeQuery()) {
            while (left.next() && right.next()) {
              all.add(Session.row(left));
              all.add(Session.row(right));
            }
          }
          return all;
        }
      });
      session.attempt("dblink_exec between two pages", () -> {
        try (PreparedStatement one = connection.prepareStatement(Statements.FIVE); Statement other = connection.createStatement()) {
          one.setFetchSize(2);
          one.setString(1, Statements.ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            while (left.next()) {
              all.add(Session.row(left));
              all.add(Session.results(other, other.execute("SELECT dblink_exec('c', 'SET application_name = x')")));
            }
          }
          return all;
        }
      });
      session.attempt("disconnected between two pages", () -> {
        try (PreparedStatement one = connection.prepareStatement(Statements.FIVE); Statement other = connection.createStatement()) {
          one.setFetchSize(2);
          one.setString(1, Statements.ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            left.next();
            all.add(Session.results(other, other.execute("SELECT dblink_disconnect('c')")));
            while (left.next()) all.add(Session.row(left));
          }
          return all;
        }
      });
      connection.commit();
      session.run(Statements.CONNECT, Input.remote());
      session.attempt("many rows", () -> {
        try (PreparedStatement statement = connection.prepareStatement(Statements.FIVE)) {
          statement.setFetchSize(500);
          statement.setString(1, Statements.MANY);
          long count = 0;
          int hash = 0;
          try (ResultSet rows = statement.executeQuery()) {
            for (; rows.next(); count += 1) hash = 31 * hash + rows.getInt(1) + rows.getString(2).hashCode();
          }
          return List.of(count, hash);
        }
      });
      session.attempt("setMaxRows", () -> {
        try (PreparedStatement statement = connection.prepareStatement(Statements.FIVE)) {
          statement.setMaxRows(3);
          return Session.execute(statement, Statements.ORDERS);
        }
      });
      session.attempt("committed with a page left", () -> {
        try (PreparedStatement one = connection.prepareStatement(Statements.FIVE)) {
          one.setFetchSize(2);
          one.setString(1, Statements.ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            left.next();
            connection.commit();
            while (left.next()) all.add(Session.row(left));
          }
          return all;
        }
      });
      connection.rollback();
      session.run(Statements.FIVE, Statements.ORDERS);
      connection.commit();
    }
  }

  private static Object pages(Connection connection, String sql, String query, int limit) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setFetchSize(2);
      statement.setString(1, query);
      List<Object> all = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (all.size() < limit && rows.next()) all.add(Session.row(rows));
      } catch (SQLException error) {
        all.add(Transcript.show(error));
      }
      return all;
    }
  }
}
