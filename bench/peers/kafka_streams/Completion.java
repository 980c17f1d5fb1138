package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One completed job, decoded from its JSON with Jackson's streaming parser (its fastest interface). */
record Completion(
    String jobId, String accountId, String region, List<String> kinds, long durationMs, String completedAt, OffsetDateTime instant) {

  private static final JsonFactory JSON = new JsonFactory();
  private static final ZoneId BILLING_ZONE = ZoneId.of("Asia/Shanghai");

  static Completion decode(byte[] value) {
    String jobId = null;
    String accountId = null;
    String region = null;
    String completedAt = null;
    List<String> kinds = null;
    long durationMs = 0;
    try (JsonParser in = JSON.createParser(value)) {
      require(in.nextToken() == JsonToken.START_OBJECT, "not an object");
      while (in.nextToken() == JsonToken.FIELD_NAME) {
        String name = in.currentName();
        in.nextToken();
        switch (name) {
          case "job_id" -> jobId = in.getText();
          case "account_id" -> accountId = in.getText();
          case "region" -> region = in.getText();
          case "completed_at" -> completedAt = in.getText();
          case "duration_s" -> durationMs = milliseconds(in.getText());
          case "kinds" -> kinds = strings(in);
          default -> in.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new IllegalArgumentException(error);
    }
    require(jobId != null && accountId != null && region != null && completedAt != null, "a field is missing");
    require(kinds != null && !kinds.isEmpty() && durationMs > 0, "bad kinds or duration");
    return new Completion(jobId, accountId, region, kinds, durationMs, completedAt, OffsetDateTime.parse(completedAt));
  }

  /** A part of a minute counts as a whole minute. */
  long minutes() {
    return (durationMs + 59_999) / 60_000;
  }

  String billingDay() {
    return instant.atZoneSameInstant(BILLING_ZONE).toLocalDate().toString();
  }

  /** What tells a duplicate from another job under the same id, byte for byte. */
  byte[] fingerprint() {
    byte[] text = (region + kinds).getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(20 + text.length)
        .putLong(durationMs).putLong(instant.toEpochSecond()).putInt(instant.getNano()).put(text).array();
  }

  private static List<String> strings(JsonParser in) throws IOException {
    List<String> values = new ArrayList<>(5);
    while (in.nextToken() != JsonToken.END_ARRAY) {
      values.add(in.getText());
    }
    Collections.sort(values);
    return values;
  }

  /** Seconds as a decimal literal to milliseconds, half up; up to three places, the usual case, without BigDecimal. */
  private static long milliseconds(String seconds) {
    int point = seconds.indexOf('.');
    int places = point < 0 ? 0 : seconds.length() - point - 1;
    if (places > 3 || seconds.indexOf('e') >= 0 || seconds.indexOf('E') >= 0) {
      return new BigDecimal(seconds).movePointRight(3).setScale(0, RoundingMode.HALF_UP).longValueExact();
    }
    long digits = point < 0 ? Long.parseLong(seconds) : Long.parseLong(seconds.substring(0, point) + seconds.substring(point + 1));
    return digits * (places == 3 ? 1 : places == 2 ? 10 : places == 1 ? 100 : 1000);
  }

  private static void require(boolean holds, String message) {
    if (!holds) {
      throw new IllegalArgumentException(message);
    }
  }
}
