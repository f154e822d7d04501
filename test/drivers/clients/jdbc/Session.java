import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** A connection whose statements go into the transcript. */
final class Session implements AutoCloseable {
  interface Action {
    Object run() throws SQLException;
  }

  final String flow;
  final Connection connection;

  Session(String flow, String options) throws SQLException {
    this.flow = flow;
    String address = Input.target.get("host") + ":" + Input.target.get("port") + "/" + Input.target.get("database");
    connection = DriverManager.getConnection("jdbc:postgresql://" + address + "?user=" + Input.target.get("user") + "&" + options);
  }

  Session(String flow) throws SQLException {
    this(flow, "");
  }

  void note(String at, Object... pairs) {
    Map<String, Object> line = Transcript.object("flow", flow, "at", at);
    line.putAll(Transcript.object(pairs));
    Transcript.print(line);
  }

  /** Does something; an error is part of the transcript. */
  boolean attempt(String at, Action action) {
    try {
      Object result = action.run();
      note(at, "result", result == null ? "nothing" : result);
      return true;
    } catch (SQLException error) {
      note(at, "error", Transcript.show(error));
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

  static Object execute(PreparedStatement statement, Object... values) throws SQLException {
    for (int index = 0; index < values.length; index += 1) {
      if (values[index] == null) statement.setString(index + 1, null);
      else if (values[index] instanceof List<?> list) statement.setArray(index + 1, array(statement.getConnection(), list));
      else statement.setObject(index + 1, values[index]);
    }
    return results(statement, statement.execute());
  }

  private static Array array(Connection connection, List<?> list) throws SQLException {
    return connection.createArrayOf(list.get(0) instanceof Integer ? "int4" : "text", list.toArray());
  }

  static Object results(Statement statement, boolean first) throws SQLException {
    List<Object> all = new ArrayList<>();
    boolean isResultSet = first;
    while (isResultSet || statement.getUpdateCount() != -1) {
      if (isResultSet) {
        try (ResultSet rows = statement.getResultSet()) {
          all.add(Transcript.object("columns", columns(rows.getMetaData()), "rows", rows(rows)));
        }
      } else all.add(Transcript.object("count", statement.getUpdateCount()));
      isResultSet = statement.getMoreResults(Statement.KEEP_CURRENT_RESULT);
    }
    Map<String, Object> shown = Transcript.object("results", all);
    if (statement.getWarnings() != null) shown.put("warnings", Transcript.warnings(statement.getWarnings()));
    return shown;
  }

  static Object columns(ResultSetMetaData data) throws SQLException {
    List<Object> columns = new ArrayList<>();
    for (int index = 1; index <= data.getColumnCount(); index += 1) {
      columns.add(List.of(data.getColumnLabel(index), data.getColumnTypeName(index), data.getColumnClassName(index),
          data.getPrecision(index), data.getScale(index)));
    }
    return columns;
  }

  static List<Object> rows(ResultSet rows) throws SQLException {
    List<Object> all = new ArrayList<>();
    while (rows.next()) all.add(row(rows));
    return all;
  }

  static List<Object> row(ResultSet rows) throws SQLException {
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
}
