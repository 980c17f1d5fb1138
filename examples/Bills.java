// Bills as they are issued. Run: METER_BOOTSTRAP_SERVERS=host:9092 java -cp "kafka/libs/*" Bills.java (Java 17, kafka-clients)

import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Bills {
    public static void main(String[] args) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", System.getenv("METER_BOOTSTRAP_SERVERS"), "group.id", "billing-java"));
        settings.putAll(Map.of("isolation.level", "read_committed", "auto.offset.reset", "earliest", "enable.auto.commit", false));
        try (var consumer = new KafkaConsumer<String, String>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(System.getenv().getOrDefault("METER_TOPIC_PREFIX", "") + "billing.bills"));
            while (true) {
                for (var bill : consumer.poll(Duration.ofSeconds(1)))
                    System.out.println(bill.key() + " " + bill.value()); // keep it by its bill_id: it may come again
                consumer.commitSync();
            }
        }
    }
}
