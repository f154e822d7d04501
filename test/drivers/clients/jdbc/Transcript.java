import java.sql.BatchUpdateException;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** Prints lines of JSON, and makes errors and warnings part of them; there is no JSON in the JDK. */
final class Transcript {
  private Transcript() {}

  static void print(Object value) {
    System.out.println(json(value));
  }

  private static String json(Object value) {
    if (value == null) return "null";
    if (value instanceof Number || value instanceof Boolean) return value.toString();
    if (value instanceof Map<?, ?> map) {
      List<String> parts = new ArrayList<>();
      map.forEach((key, item) -> parts.add(json(key) + ":" + json(item)));
      return "{" + String.join(",", parts) + "}";
    }
    if (value instanceof List<?> list) return "[" + String.join(",", list.stream().map(Transcript::json).toList()) + "]";
    var text = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c == '"' || c == '\\') text.append('\\').append(c);
      else if (c < ' ') text.append(String.format("\\u%04x", (int) c));
      else text.append(c);
    }
    return text.append('"').toString();
  }

  /** A JSON object of the pairs whose value is not null. */
  static Map<String, Object> object(Object... pairs) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int index = 0; index < pairs.length; index += 2) {
      if (pairs[index + 1] != null) map.put((String) pairs[index], pairs[index + 1]);
    }
    return map;
  }

  /** An error and those chained to it. */
  static Object show(SQLException error) {
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

  static List<Object> warnings(SQLWarning first) {
    List<Object> shown = new ArrayList<>();
    for (SQLWarning next = first; next != null; next = next.getNextWarning()) {
      shown.add(object("state", next.getSQLState(), "message", next.getMessage(), "all", next.toString()));
    }
    return shown;
  }
}
