import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What test/drivers sends on standard input: lines of percent-encoded words. */
final class Input {
  record Step(String sql, List<Object> values) {}

  record Flow(String name, boolean simpleOnly, List<Step> steps) {}

  static final List<Flow> flows = new ArrayList<>();
  static final Map<String, String> target = new LinkedHashMap<>();

  private Input() {}

  /** The remote's connection string. */
  static String remote() {
    return target.get("remote");
  }

  /** Seconds that the remote sleeps. */
  static String nap() {
    return target.get("nap");
  }

  /** There are views, functions and triggers that call dblink. */
  static boolean bridged() {
    return target.get("bridged").equals("true");
  }

  static void read() throws IOException {
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
      case "array" -> Arrays.stream(text.split(" ", -1)).map(Input::value).toList();
      default -> null;
    };
  }

  private static String decode(String word) {
    return URLDecoder.decode(word, StandardCharsets.UTF_8);
  }
}
