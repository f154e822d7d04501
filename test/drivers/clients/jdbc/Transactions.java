import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.util.List;

/** Transactions, savepoints of the application's and of the driver's own. */
final class Transactions {
  private Transactions() {}

  static void transactions() throws SQLException {
    for (String options : List.of("", "autosave=conservative", "autosave=always&cleanupSavepoints=true", "preferQueryMode=simple")) {
      for (int isolation : List.of(Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE)) {
        try (var session = new Session("transactions [" + options + ", isolation " + isolation + "]", options)) {
          Connection connection = session.connection;
          connection.setAutoCommit(false);
          connection.setTransactionIsolation(isolation);
          session.run(Statements.CONNECT, Input.remote());
          session.run("INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)", Statements.ORDERS);
          session.attempt("savepoint", () -> {
            Savepoint savepoint = connection.setSavepoint();
            session.run("INSERT INTO log (line) VALUES ('lost')");
            session.run(Statements.FIVE, "SELECT 1/0, 'x'");
            session.run("SELECT count(*) FROM log");
            connection.rollback(savepoint);
            session.run(Statements.FIVE, Statements.ORDERS);
            return null;
          });
          session.run("SELECT dblink_exec('c', ?)", "SELEC");
          session.run("SELECT count(*) FROM log");
          session.attempt("commit", () -> {
            connection.commit();
            return null;
          });
          connection.rollback();
          session.run("SELECT line FROM log ORDER BY id");
          session.run("DELETE FROM log");
          connection.commit();
        }
      }
    }
    try (var session = new Session("a read-only connection")) {
      session.connection.setReadOnly(true);
      session.connection.setAutoCommit(false);
      session.run(Statements.CONNECT, Input.remote());
      session.run(Statements.FIVE, Statements.ORDERS);
      session.run("SELECT c.name FROM customers c JOIN dblink('c', ?) AS t(id int, item text) ON t.id = c.id ORDER BY 1", Statements.ORDERS);
      session.run("INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)", Statements.ORDERS);
      session.connection.rollback();
    }
  }
}
