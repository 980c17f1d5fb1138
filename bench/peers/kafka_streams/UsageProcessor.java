package bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Arrays;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Decode, dedupe, price, add to the day's total: one priced record and one daily total out for each new job. */
final class UsageProcessor implements Processor<byte[], byte[], byte[], byte[]> {
  static final String JOBS = "jobs";
  static final String TOTALS = "totals";
  static final String PRICED = "priced";
  static final String DAILY = "daily";

  private final Outputs outputs = new Outputs();
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<Bytes, byte[]> jobs;
  private KeyValueStore<Bytes, byte[]> totals;

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    this.jobs = context.getStateStore(JOBS);
    this.totals = context.getStateStore(TOTALS);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    Completion job = Completion.decode(record.value());
    if (seen(job)) {
      return;
    }
    long minutes = job.minutes();
    long unitPrice = Money.unitPrice(job.region());
    String day = job.billingDay();
    byte[] priced = outputs.priced(job, day, minutes, unitPrice, context.recordMetadata().orElseThrow());
    context.forward(new Record<>(record.key(), priced, record.timestamp()), PRICED);

    byte[] key = ("[\"" + job.accountId() + "\",\"" + job.region() + "\",\"" + day + "\"]").getBytes(UTF_8);
    Bytes storeKey = Bytes.wrap(key);
    Total total = Total.from(totals.get(storeKey)).plus(minutes, minutes * unitPrice);
    totals.put(storeKey, total.bytes());
    context.forward(new Record<>(key, outputs.daily(job, day, total), record.timestamp()), DAILY);
  }

  /** Remembers the job. The same id with other content is a conflict, which the bench's input does not have. */
  private boolean seen(Completion job) {
    Bytes id = Bytes.wrap((job.accountId() + '\0' + job.jobId()).getBytes(UTF_8));
    byte[] fingerprint = job.fingerprint();
    byte[] before = jobs.putIfAbsent(id, fingerprint);
    if (before != null && !Arrays.equals(before, fingerprint)) {
      throw new IllegalStateException("conflict on " + job.jobId());
    }
    return before != null;
  }
}
