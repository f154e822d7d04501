import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.sql.SQLException;

/**
 * JDBC: the flows in each of pgjdbc's ways to run a statement, then what only it does. Reads test/drivers' input from
 * standard input and prints the transcript as JSON lines.
 */
public final class JdbcClient {
  private JdbcClient() {}

  public static void main(String[] arguments) throws Exception {
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8"));
    Input.read();
    sharedFlows("prepared", "", true, true);
    sharedFlows("binary at once", "prepareThreshold=-1", true, true);
    sharedFlows("preferQueryMode=simple", "preferQueryMode=simple", true, true);
    sharedFlows("Statement", "", true, false);
    sharedFlows("extendedForPrepared", "preferQueryMode=extendedForPrepared", true, false);
    sharedFlows("autosave=always", "autosave=always", false, true);
    sharedFlows("no autocommit", "prepareThreshold=1", false, true);
    if (Input.bridged()) {
      Bridged.bridged();
      return;
    }
    Prepared.repeated();
    Prepared.metadata();
    Pages.fetchSize();
    Batches.batches();
    Transactions.transactions();
    Various.various();
    Various.timeouts();
  }

  private static void sharedFlows(String mode, String options, boolean autocommit, boolean prepared) throws SQLException {
    try (var cleaning = new Session("clean up [" + mode + "]")) {
      for (Input.Flow flow : Input.flows) {
        if (flow.simpleOnly() && prepared) continue;
        sharedFlow(flow, mode, options, autocommit, prepared);
        cleaning.run("DELETE FROM log");
        cleaning.run("DELETE FROM archive");
      }
    }
  }

  private static void sharedFlow(Input.Flow flow, String mode, String options, boolean autocommit, boolean prepared) throws SQLException {
    try (var session = new Session(flow.name() + " [" + mode + "]", options)) {
      session.connection.setAutoCommit(autocommit);
      for (Input.Step step : flow.steps()) {
        String sql = step.sql().replaceAll("\\$\\d+", "?");
        boolean good = prepared || !step.values().isEmpty()
            ? session.run(sql, step.values().toArray())
            : session.runStatement(sql);
        // With autosave the driver has gone back to a savepoint of its own.
        if (!good && !autocommit && !mode.startsWith("autosave")) session.attempt("rollback", () -> {
          session.connection.rollback();
          return null;
        });
      }
      if (!autocommit) session.attempt("commit", () -> {
        session.connection.commit();
        return null;
      });
    }
  }
}
