package bench;

import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The meter's work as a Kafka Streams program: exactly_once_v2, one thread, two persistent (RocksDB) stores with
 * changelogs. Arguments: bootstrap servers, application id, state directory, input, priced and daily topic.
 */
public final class UsageStreams {
  private UsageStreams() {}

  public static void main(String[] args) {
    KafkaStreams streams = new KafkaStreams(topology(args[3], args[4], args[5]), settings(args[0], args[1], args[2]));
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }

  static Topology topology(String input, String priced, String daily) {
    var bytes = Serdes.ByteArray();
    return new Topology()
        .addSource("completed", bytes.deserializer(), bytes.deserializer(), input)
        .addProcessor("usage", UsageProcessor::new, "completed")
        .addStateStore(store(UsageProcessor.JOBS, false), "usage")
        .addStateStore(store(UsageProcessor.TOTALS, true), "usage")
        .addSink(UsageProcessor.PRICED, priced, bytes.serializer(), bytes.serializer(), "usage")
        .addSink(UsageProcessor.DAILY, daily, bytes.serializer(), bytes.serializer(), "usage");
  }

  /** A job's id is written once, so a cache could only delay it; a total is written again and again. */
  private static StoreBuilder<KeyValueStore<Bytes, byte[]>> store(String name, boolean cached) {
    var builder = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.Bytes(), Serdes.ByteArray())
        .withLoggingEnabled(Map.of());
    return cached ? builder.withCachingEnabled() : builder.withCachingDisabled();
  }

  private static Properties settings(String bootstrapServers, String applicationId, String stateDir) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, applicationId);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    return settings;
  }
}
