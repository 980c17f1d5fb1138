package bench;

import java.util.Map;

/** Prices as whole ten-thousandths of a CNY: exact, and far cheaper than BigDecimal. */
final class Money {
  private static final long MAINLAND = 2800;
  private static final long AMERICA = 3080;
  private static final long OTHER = 3136;
  private static final Map<String, Long> UNIT_PRICES = Map.ofEntries(
      Map.entry("ap-beijing", MAINLAND), Map.entry("ap-shanghai", MAINLAND), Map.entry("ap-guangzhou", MAINLAND),
      Map.entry("ap-chengdu", MAINLAND), Map.entry("ap-chongqing", MAINLAND), Map.entry("ap-nanjing", MAINLAND),
      Map.entry("na-siliconvalley", AMERICA), Map.entry("na-ashburn", AMERICA), Map.entry("ap-mumbai", OTHER),
      Map.entry("ap-seoul", OTHER), Map.entry("ap-bangkok", OTHER), Map.entry("ap-hongkong", OTHER),
      Map.entry("ap-tokyo", OTHER), Map.entry("eu-frankfurt", OTHER), Map.entry("ap-singapore", OTHER));

  private Money() {}

  /** The price of a minute in a region, in CNY / 10,000. */
  static long unitPrice(String region) {
    Long price = UNIT_PRICES.get(region);
    if (price == null) {
      throw new IllegalArgumentException("unknown region " + region);
    }
    return price;
  }

  /** Plain decimal CNY: at least two places, no further trailing zeros. */
  static String plain(long tenThousandths) {
    long fraction = tenThousandths % 10_000;
    StringBuilder out = new StringBuilder(16).append(tenThousandths / 10_000).append('.');
    out.append((char) ('0' + fraction / 1000)).append((char) ('0' + fraction / 100 % 10));
    if (fraction % 100 != 0) {
      out.append((char) ('0' + fraction / 10 % 10));
      if (fraction % 10 != 0) {
        out.append((char) ('0' + fraction % 10));
      }
    }
    return out.toString();
  }
}
