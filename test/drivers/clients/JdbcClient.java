import java.nio.charset.StandardCharsets;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * JDBC: the flows in each of pgjdbc's ways to run a statement, then what only it does.
 *
 * Reads test/drivers' input as lines of percent-encoded words from standard input (there is no JSON in the JDK) and
 * prints the transcript as JSON lines.
 */
public final class JdbcClient {
  record Step(String sql, List<Object> values) {}

  record Flow(String name, boolean simpleOnly, List<Step> steps) {}

  interface Action {
    Object run() throws SQLException;
  }

  private static final List<Flow> flows = new ArrayList<>();
  private static final Map<String, String> target = new LinkedHashMap<>();

  public static void main(String[] arguments) throws Exception {
    System.setOut(new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8"));
    readInput();
    sharedFlows("prepared", "", true, true);
    sharedFlows("binary at once", "prepareThreshold=-1", true, true);
    sharedFlows("preferQueryMode=simple", "preferQueryMode=simple", true, true);
    sharedFlows("Statement", "", true, false);
    sharedFlows("extendedForPrepared", "preferQueryMode=extendedForPrepared", true, false);
    sharedFlows("autosave=always", "autosave=always", false, true);
    sharedFlows("no autocommit", "prepareThreshold=1", false, true);
    repeated();
    metadata();
    fetchSize();
    batches();
    transactions();
    various();
    timeouts();
  }

  // Input and output -------------------------------------------------------------------------------------------------

  private static String decode(String word) {
    return URLDecoder.decode(word, StandardCharsets.UTF_8);
  }

  private static void readInput() throws Exception {
    var reader = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = reader.readLine()) != null; ) {
      String[] words = line.split(" ", -1);
      switch (words[0]) {
        case "target" -> target.put(words[1], decode(words[2]));
        case "flow" -> flows.add(new Flow(decode(words[1]), words[2].equals("simpleOnly"), new ArrayList<>()));
        case "step" -> {
          List<Object> values = new ArrayList<>();
          for (String word : Arrays.asList(words).subList(2, words.length)) values.add(value(word));
          flows.get(flows.size() - 1).steps().add(new Step(decode(words[1]), values));
        }
        default -> throw new IllegalArgumentException(line);
      }
    }
  }

  private static Object value(String word) {
    String text = decode(word.substring(word.indexOf(':') + 1));
    return switch (word.substring(0, word.indexOf(':'))) {
      case "string" -> text;
      case "number" -> Integer.valueOf(text);
      case "boolean" -> Boolean.valueOf(text);
      default -> null;
    };
  }

  private static String json(Object value) {
    if (value == null) return "null";
    if (value instanceof Number || value instanceof Boolean) return value.toString();
    if (value instanceof Map<?, ?> map) {
      List<String> parts = new ArrayList<>();
      map.forEach((key, item) -> parts.add(json(key) + ":" + json(item)));
      return "{" + String.join(",", parts) + "}";
    }
    if (value instanceof List<?> list) return "[" + String.join(",", list.stream().map(JdbcClient::json).toList()) + "]";
    var text = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c == '"' || c == '\\') text.append('\\').append(c);
      else if (c < ' ') text.append(String.format("\\u%04x", (int) c));
      else text.append(c);
    }
    return text.append('"').toString();
  }

  private static Map<String, Object> object(Object... pairs) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int index = 0; index < pairs.length; index += 2) {
      if (pairs[index + 1] != null) map.put((String) pairs[index], pairs[index + 1]);
    }
    return map;
  }

  private static Object show(SQLException error) {
    List<Object> chain = new ArrayList<>();
    for (SQLException next = error; next != null; next = next.getNextException()) chain.add(showOne(next));
    return chain;
  }

  private static Object showOne(SQLException error) {
    ServerErrorMessage server = error instanceof PSQLException failure ? failure.getServerErrorMessage() : null;
    Map<String, Object> shown = object("class", error.getClass().getSimpleName(), "state", error.getSQLState());
    shown.put("message", error.getMessage());
    if (error instanceof BatchUpdateException batch) shown.put("counts", Arrays.toString(batch.getUpdateCounts()));
    if (server != null) shown.putAll(fields(server));
    return shown;
  }

  private static Map<String, Object> fields(ServerErrorMessage server) {
    return object(
        "severity", server.getSeverity(), "primary", server.getMessage(), "detail", server.getDetail(),
        "hint", server.getHint(), "where", server.getWhere(), "position", server.getPosition(),
        "internalPosition", server.getInternalPosition(), "internalQuery", server.getInternalQuery(),
        "schema", server.getSchema(), "table", server.getTable(), "constraint", server.getConstraint());
  }

  private static List<Object> warnings(SQLWarning first) {
    List<Object> shown = new ArrayList<>();
    for (SQLWarning next = first; next != null; next = next.getNextWarning()) {
      shown.add(object("state", next.getSQLState(), "message", next.getMessage(), "all", next.toString()));
    }
    return shown;
  }

  // A session --------------------------------------------------------------------------------------------------------

  /** A connection whose statements go into the transcript. */
  private static final class Session implements AutoCloseable {
    final String flow;
    final Connection connection;

    Session(String flow, String options) throws SQLException {
      this.flow = flow;
      String address = target.get("host") + ":" + target.get("port") + "/" + target.get("database");
      connection = DriverManager.getConnection("jdbc:postgresql://" + address + "?user=" + target.get("user") + "&" + options);
    }

    Session(String flow) throws SQLException {
      this(flow, "");
    }

    void note(String at, Object... pairs) {
      Map<String, Object> line = object("flow", flow, "at", at);
      line.putAll(object(pairs));
      System.out.println(json(line));
    }

    /** Does something; an error is part of the transcript. */
    boolean attempt(String at, Action action) {
      try {
        Object result = action.run();
        note(at, "result", result == null ? "nothing" : result);
        return true;
      } catch (SQLException error) {
        note(at, "error", show(error));
        return false;
      }
    }

    /** Runs a statement; `?` stands for its values. */
    boolean run(String sql, Object... values) {
      return attempt(sql, () -> {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
          return execute(statement, values);
        }
      });
    }

    /** Runs a statement without parameters through Statement, which may have several results. */
    boolean runStatement(String sql) {
      return attempt(sql, () -> {
        try (Statement statement = connection.createStatement()) {
          return results(statement, statement.execute(sql));
        }
      });
    }

    @Override
    public void close() throws SQLException {
      connection.close();
    }
  }

  private static Object execute(PreparedStatement statement, Object... values) throws SQLException {
    for (int index = 0; index < values.length; index += 1) {
      if (values[index] == null) statement.setString(index + 1, null);
      else statement.setObject(index + 1, values[index]);
    }
    return results(statement, statement.execute());
  }

  private static Object results(Statement statement, boolean first) throws SQLException {
    List<Object> all = new ArrayList<>();
    boolean isResultSet = first;
    while (isResultSet || statement.getUpdateCount() != -1) {
      if (isResultSet) {
        try (ResultSet rows = statement.getResultSet()) {
          all.add(object("columns", columns(rows.getMetaData()), "rows", rows(rows)));
        }
      } else all.add(object("count", statement.getUpdateCount()));
      isResultSet = statement.getMoreResults(Statement.KEEP_CURRENT_RESULT);
    }
    Map<String, Object> shown = object("results", all);
    if (statement.getWarnings() != null) shown.put("warnings", warnings(statement.getWarnings()));
    return shown;
  }

  private static Object columns(ResultSetMetaData data) throws SQLException {
    List<Object> columns = new ArrayList<>();
    for (int index = 1; index <= data.getColumnCount(); index += 1) {
      columns.add(List.of(data.getColumnLabel(index), data.getColumnTypeName(index), data.getColumnClassName(index),
          data.getPrecision(index), data.getScale(index)));
    }
    return columns;
  }

  private static List<Object> rows(ResultSet rows) throws SQLException {
    List<Object> all = new ArrayList<>();
    while (rows.next()) all.add(row(rows));
    return all;
  }

  private static List<Object> row(ResultSet rows) throws SQLException {
    List<Object> values = new ArrayList<>();
    for (int index = 1; index <= rows.getMetaData().getColumnCount(); index += 1) {
      Object value = rows.getObject(index);
      if (value instanceof byte[] bytes) values.add("bytes " + HexFormat.of().formatHex(bytes));
      else if (value instanceof Array array) values.add("Array " + array.getBaseTypeName() + " " + array);
      else if (value == null || value instanceof String) values.add(value);
      else values.add(value.getClass().getSimpleName() + " " + rows.getString(index));
    }
    return values;
  }

  // The flows --------------------------------------------------------------------------------------------------------

  private static void sharedFlows(String mode, String options, boolean autocommit, boolean prepared) throws SQLException {
    for (Flow flow : flows) {
      if (flow.simpleOnly() && prepared) continue;
      try (var session = new Session(flow.name() + " [" + mode + "]", options)) {
        session.connection.setAutoCommit(autocommit);
        for (Step step : flow.steps()) {
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
      try (var session = new Session(flow.name() + " [" + mode + ", clean up]")) {
        session.run("DELETE FROM log");
        session.run("DELETE FROM archive");
      }
    }
  }

  private static final String CONNECT = "SELECT dblink_connect('c', ?)";
  private static final String ORDERS = "SELECT id, item FROM orders ORDER BY id";
  private static final String DIVISION = "SELECT 1/(3 - g), 'x' FROM generate_series(1, 5) g";
  private static final String FIVE = "SELECT * FROM dblink('c', ?) AS t(id int, item text)";

  private static String remote() {
    return target.get("remote");
  }

  /** From the fifth execution on the statement has a name in the server and transfers binary values. */
  private static void repeated() throws SQLException {
    try (var session = new Session("seven executions of a prepared statement")) {
      session.run(CONNECT, remote());
      String kinds = "i4 int, i8 bigint, num numeric, b bool, tsz timestamptz, d date, u uuid, jb jsonb, ba bytea, ia int[], t text, vc varchar(12), f8 float8";
      String names = kinds.replaceAll("(\\w+) [^,]+", "$1");
      for (String sql : List.of(
          "SELECT * FROM dblink(?, ?) AS t(" + kinds + ")",
          "SELECT * FROM dblink(?, ?) AS t(" + kinds + ") WHERE i4 = i4")) {
        session.attempt(sql, () -> {
          try (PreparedStatement statement = session.connection.prepareStatement(sql)) {
            List<Object> all = new ArrayList<>();
            for (int n = 1; n <= 7; n += 1) {
              all.add(execute(statement, "c", "SELECT " + names + " FROM kinds WHERE n = " + (n % 3 == 0 ? 3 : 1)));
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
              if (sql.contains("c.id = ?")) all.add(execute(statement, n % 4 + 1));
              else if (sql.contains("dblink_exec")) all.add(execute(statement, "SET application_name = 'n" + n + "'"));
              else if (sql.startsWith("INSERT")) all.add(execute(statement, "!", "SELECT " + n + ", 'line'"));
              else all.add(execute(statement, "SELECT id, item FROM orders WHERE id <> " + n));
            }
            return all;
          }
        });
      }
      session.attempt("errors between", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement(FIVE)) {
          List<Object> all = new ArrayList<>();
          for (int n = 1; n <= 9; n += 1) {
            try {
              all.add(execute(statement, n % 3 == 0 ? "SELECT 1/0, 'x'" : n % 4 == 0 ? "SELECT 1" : ORDERS));
            } catch (SQLException error) {
              all.add(show(error));
            }
          }
          return all;
        }
      });
      session.run("DELETE FROM log");
    }
  }

  private static void metadata() throws SQLException {
    try (var session = new Session("getMetaData before execute")) {
      session.run(CONNECT, remote());
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
            return object("parameters", types, "columns", columns(statement.getMetaData()));
          }
        });
      }
      session.run("SELECT dblink_get_connections()");
    }
  }

  private static void fetchSize() throws SQLException {
    try (var session = new Session("a fetch size of 2 over 5 rows")) {
      Connection connection = session.connection;
      session.run(CONNECT, remote());
      connection.setAutoCommit(false);
      session.attempt("five rows", () -> pages(connection, FIVE, ORDERS, 5));
      session.attempt("with a local table", () -> pages(connection,
          "SELECT c.name, t.item FROM customers c JOIN dblink('c', ?) AS t(id int, item text) ON true ORDER BY 1, 2", ORDERS, 99));
      session.attempt("an error in mid-fetch", () -> pages(connection, FIVE, DIVISION, 5));
      session.attempt("in the failed transaction", () -> pages(connection, FIVE, ORDERS, 5));
      connection.rollback();
      session.attempt("after the rollback", () -> pages(connection, FIVE, ORDERS, 5));
      session.attempt("closed after three rows", () -> pages(connection, FIVE, ORDERS, 3));
      session.attempt("another after that", () -> pages(connection, FIVE, "SELECT 7, 'seven'", 5));
      for (int n = 1; n <= 7; n += 1) session.attempt("again", () -> pages(connection, FIVE, ORDERS, 5));
      session.attempt("two at once on one connection", () -> {
        try (PreparedStatement one = connection.prepareStatement(FIVE); PreparedStatement two = connection.prepareStatement(FIVE)) {
          one.setFetchSize(2);
          two.setFetchSize(2);
          one.setString(1, ORDERS);
          two.setString(1, "SELECT id, upper(item) FROM orders ORDER BY id DESC");
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery(); ResultSet right = two.executeQuery()) {
            while (left.next() && right.next()) {
              all.add(row(left));
              all.add(row(right));
            }
          }
          return all;
        }
      });
      session.attempt("dblink_exec between two pages", () -> {
        try (PreparedStatement one = connection.prepareStatement(FIVE); Statement other = connection.createStatement()) {
          one.setFetchSize(2);
          one.setString(1, ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            while (left.next()) {
              all.add(row(left));
              all.add(results(other, other.execute("SELECT dblink_exec('c', 'SET application_name = x')")));
            }
          }
          return all;
        }
      });
      session.attempt("disconnected between two pages", () -> {
        try (PreparedStatement one = connection.prepareStatement(FIVE); Statement other = connection.createStatement()) {
          one.setFetchSize(2);
          one.setString(1, ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            left.next();
            all.add(results(other, other.execute("SELECT dblink_disconnect('c')")));
            while (left.next()) all.add(row(left));
          }
          return all;
        }
      });
      connection.commit();
      session.run(CONNECT, remote());
      session.attempt("setMaxRows", () -> {
        try (PreparedStatement statement = connection.prepareStatement(FIVE)) {
          statement.setMaxRows(3);
          return execute(statement, ORDERS);
        }
      });
      session.attempt("committed with a page left", () -> {
        try (PreparedStatement one = connection.prepareStatement(FIVE)) {
          one.setFetchSize(2);
          one.setString(1, ORDERS);
          List<Object> all = new ArrayList<>();
          try (ResultSet left = one.executeQuery()) {
            left.next();
            connection.commit();
            while (left.next()) all.add(row(left));
          }
          return all;
        }
      });
      connection.rollback();
      session.run(FIVE, ORDERS);
      connection.commit();
    }
  }

  private static Object pages(Connection connection, String sql, String query, int limit) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setFetchSize(2);
      statement.setString(1, query);
      List<Object> all = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (all.size() < limit && rows.next()) all.add(row(rows));
      } catch (SQLException error) {
        all.add(show(error));
      }
      return all;
    }
  }

  private static void batches() throws SQLException {
    for (String options : List.of("", "reWriteBatchedInserts=true", "preferQueryMode=simple")) {
      try (var session = new Session("batches [" + options + "]", options)) {
        Connection connection = session.connection;
        session.run(CONNECT, remote());
        String insert = "INSERT INTO archive SELECT t.id + ?, t.item FROM dblink('c', ?) AS t(id int, item text)";
        session.attempt("a prepared statement's", () -> batch(connection, insert,
            List.of(List.of(100, ORDERS), List.of(200, ORDERS), List.of(300, "SELECT 1, 'one'"))));
        session.attempt("with an error in the middle", () -> batch(connection, insert,
            List.of(List.of(400, ORDERS), List.of(500, "SELECT 1/0, 'x'"), List.of(600, ORDERS))));
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
            List.of(List.of(700, ORDERS), List.of(800, "SELECT 1"), List.of(900, ORDERS))));
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

  private static void transactions() throws SQLException {
    for (String options : List.of("", "autosave=conservative", "autosave=always&cleanupSavepoints=true", "preferQueryMode=simple")) {
      for (int isolation : List.of(Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_SERIALIZABLE)) {
        try (var session = new Session("transactions [" + options + ", isolation " + isolation + "]", options)) {
          Connection connection = session.connection;
          connection.setAutoCommit(false);
          connection.setTransactionIsolation(isolation);
          session.run(CONNECT, remote());
          session.run("INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)", ORDERS);
          session.attempt("savepoint", () -> {
            Savepoint savepoint = connection.setSavepoint();
            session.run("INSERT INTO log (line) VALUES ('lost')");
            session.run(FIVE, "SELECT 1/0, 'x'");
            session.run("SELECT count(*) FROM log");
            connection.rollback(savepoint);
            session.run(FIVE, ORDERS);
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
      session.run(CONNECT, remote());
      session.run(FIVE, ORDERS);
      session.run("SELECT c.name FROM customers c JOIN dblink('c', ?) AS t(id int, item text) ON t.id = c.id ORDER BY 1", ORDERS);
      session.run("INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)", ORDERS);
      session.connection.rollback();
    }
  }

  private static void various() throws SQLException {
    try (var session = new Session("generated keys, scrolling, several results")) {
      Connection connection = session.connection;
      session.run(CONNECT, remote());
      session.attempt("generated keys", () -> {
        String sql = "INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)";
        try (PreparedStatement statement = connection.prepareStatement(sql, new String[] {"line"})) {
          statement.setString(1, ORDERS);
          int count = statement.executeUpdate();
          return List.of(count, rows(statement.getGeneratedKeys()));
        }
      });
      session.attempt("scrolling", () -> {
        try (PreparedStatement statement = connection.prepareStatement(FIVE, ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
          statement.setString(1, ORDERS);
          try (ResultSet rows = statement.executeQuery()) {
            rows.absolute(4);
            List<Object> all = new ArrayList<>(row(rows));
            rows.previous();
            all.addAll(row(rows));
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

  private static void timeouts() throws SQLException {
    try (var session = new Session("setQueryTimeout")) {
      session.run(CONNECT, remote());
      long started = System.nanoTime();
      session.attempt("sleep", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement("SELECT * FROM dblink('c', ?) AS t(a text)")) {
          statement.setQueryTimeout(1);
          return execute(statement, "SELECT pg_sleep(3)");
        }
      });
      session.note("time of the cancel", "elapsedMs", (System.nanoTime() - started) / 1_000_000, "limitMs", 2900);
      session.attempt("after the cancel", () -> {
        try (PreparedStatement statement = session.connection.prepareStatement(FIVE)) {
          return execute(statement, ORDERS);
        }
      });
    }
    try (var session = new Session("statement_timeout")) {
      session.run(CONNECT, remote());
      session.run("SET statement_timeout = 300");
      session.connection.setAutoCommit(false);
      long started = System.nanoTime();
      session.run("SELECT * FROM dblink('c', ?) AS t(a text)", "SELECT pg_sleep(2)");
      session.note("time of the timeout", "elapsedMs", (System.nanoTime() - started) / 1_000_000, "limitMs", 1900);
      session.run("SELECT 1");
      session.connection.rollback();
      session.run(FIVE, ORDERS);
    }
  }
}
