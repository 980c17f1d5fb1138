// What the CloudEvents SDK of Java sends by default, by HTTP and on Kafka: one JSON line a message.
// mvn dependency:copy-dependencies -DoutputDirectory=lib && java -cp 'lib/*' Send.java > java.jsonl   (SDK 4.0.1)
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.data.PojoCloudEventData;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.http.HttpMessageFactory;
import io.cloudevents.jackson.JsonCloudEventData;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.net.URI;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.internals.RecordHeaders;

public class Send {
  static final ObjectMapper JSON = new ObjectMapper().registerModule(new JavaTimeModule());

  public static void main(String[] arguments) throws Exception {
    Map<String, Object> data = completion("2026-01-01T12:00:00+08:00");
    byte[] raw = JSON.writeValueAsBytes(data);
    CloudEventBuilder builder = CloudEventBuilder.v1().withId("7").withType("recognition.job.completed.v1")
        .withSource(URI.create("/sdk")).withTime(OffsetDateTime.parse("2026-01-01T04:00:00Z"));
    send("bytes", builder.withData("application/json", raw).build());
    send("tree", builder.withData("application/json", JsonCloudEventData.wrap(JSON.valueToTree(data))).build());
    send("pojo", builder.withData("application/json", PojoCloudEventData.wrap(data, JSON::writeValueAsBytes)).build());
    send("octets", builder.withData("application/octet-stream", raw).build());
    send("no type", builder.withoutDataContentType().withData(raw).build());
    dates();
  }

  /** How Java's times come out of Jackson by default, and by their own words. */
  static void dates() throws Exception {
    OffsetDateTime time = OffsetDateTime.parse("2026-01-01T12:00:00+08:00");
    for (Object each : List.of(time.toInstant(), time, LocalDateTime.parse("2026-01-01T12:00:00.5"),
        ZonedDateTime.parse("2026-01-01T12:00:00+08:00[Asia/Shanghai]").toString(), time.toString())) {
      put("plain", "date", List.of(), JSON.writeValueAsBytes(completion(each)));
    }
  }

  static Map<String, Object> completion(Object completedAt) {
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("job_id", "sdk-java");
    data.put("account_id", "A");
    data.put("region", "ap-guangzhou");
    data.put("kinds", List.of("face"));
    data.put("duration_s", 3600.0);
    data.put("completed_at", completedAt);
    return data;
  }

  static void send(String label, CloudEvent event) throws Exception {
    boolean isJson = !"application/octet-stream".equals(event.getDataContentType());
    if (isJson) {
      onKafka("binary, " + label, Encoding.BINARY, event);
      byHttp("binary, " + label, true, event);
    }
    onKafka("structured, " + label, Encoding.STRUCTURED, event);
    byHttp("structured, " + label, false, event);
  }

  static void onKafka(String mode, Encoding encoding, CloudEvent event) throws Exception {
    try (CloudEventSerializer serializer = new CloudEventSerializer()) {
      Map<String, Object> config = new LinkedHashMap<>();
      config.put(CloudEventSerializer.ENCODING_CONFIG, encoding);
      config.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, new JsonFormat());
      serializer.configure(config, false);
      RecordHeaders headers = new RecordHeaders();
      byte[] value = serializer.serialize("topic", headers, event);
      List<List<String>> named = new ArrayList<>();
      headers.forEach(header -> named.add(List.of(header.key(), new String(header.value()))));
      put("kafka", mode, named, value);
    }
  }

  static void byHttp(String mode, boolean isBinary, CloudEvent event) throws Exception {
    List<List<String>> named = new ArrayList<>();
    byte[][] sent = new byte[1][];
    var writer = HttpMessageFactory.createWriter(
        (name, value) -> named.add(List.of(name, value)), body -> sent[0] = body);
    if (isBinary) {
      writer.writeBinary(event);
    } else {
      writer.writeStructured(event, new JsonFormat());
    }
    put("http", mode, named, sent[0]);
  }

  static void put(String door, String mode, List<List<String>> headers, byte[] body) throws Exception {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("door", door);
    line.put("mode", mode);
    line.put("headers", headers);
    line.put("body", Base64.getEncoder().encodeToString(body));
    System.out.println(JSON.writeValueAsString(line));
  }
}
