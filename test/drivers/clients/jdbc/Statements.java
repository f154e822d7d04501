/** Statements that many flows use; `?` in FIVE stands for the remote's query. */
final class Statements {
  private Statements() {}

  static final String CONNECT = "SELECT dblink_connect('c', ?)";
  static final String ORDERS = "SELECT id, item FROM orders ORDER BY id";
  static final String DIVISION = "SELECT 1/(3 - g), 'x' FROM generate_series(1, 5) g";
  /** Enough rows that no buffer on the way holds them all. */
  static final String MANY = "SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 20000) g";
  static final String FIVE = "SELECT * FROM dblink('c', ?) AS t(id int, item text)";
}
