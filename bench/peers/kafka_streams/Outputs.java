package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** The two output records as JSON, with the fields of the meter's `usage.priced` and `usage.daily`. */
final class Outputs {
  private static final JsonFactory JSON = new JsonFactory();
  private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(512);

  byte[] priced(Completion job, String day, long minutes, long unitPrice, RecordMetadata source) {
    return write(out -> {
      out.writeNumberField("v", 1);
      out.writeStringField("job_id", job.jobId());
      out.writeStringField("account_id", job.accountId());
      out.writeStringField("region", job.region());
      out.writeArrayFieldStart("kinds");
      for (String kind : job.kinds()) {
        out.writeString(kind);
      }
      out.writeEndArray();
      out.writeStringField("completed_at", job.completedAt());
      out.writeStringField("day", day);
      out.writeStringField("duration_s", seconds(job.durationMs()));
      out.writeNumberField("minutes", minutes);
      out.writeStringField("unit_price", Money.plain(unitPrice));
      out.writeStringField("amount", Money.plain(minutes * unitPrice));
      out.writeStringField("currency", "CNY");
      out.writeStringField("price_version", "guide");
      out.writeObjectFieldStart("source");
      out.writeStringField("topic", source.topic());
      out.writeNumberField("partition", source.partition());
      out.writeNumberField("offset", source.offset());
      out.writeEndObject();
    });
  }

  byte[] daily(Completion job, String day, Total total) {
    return write(out -> {
      out.writeNumberField("v", 1);
      out.writeStringField("account_id", job.accountId());
      out.writeStringField("region", job.region());
      out.writeStringField("day", day);
      out.writeNumberField("jobs", total.jobs());
      out.writeNumberField("minutes", total.minutes());
      out.writeStringField("amount", Money.plain(total.amount()));
      out.writeStringField("currency", "CNY");
    });
  }

  private interface Fields {
    void write(JsonGenerator out) throws IOException;
  }

  private byte[] write(Fields fields) {
    buffer.reset();
    try (JsonGenerator out = JSON.createGenerator(buffer)) {
      out.writeStartObject();
      fields.write(out);
      out.writeEndObject();
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    return buffer.toByteArray();
  }

  private static String seconds(long milliseconds) {
    if (milliseconds % 1000 == 0) {
      return Long.toString(milliseconds / 1000);
    }
    return java.math.BigDecimal.valueOf(milliseconds, 3).stripTrailingZeros().toPlainString();
  }
}
