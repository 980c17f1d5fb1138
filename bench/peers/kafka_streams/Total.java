package bench;

import java.nio.ByteBuffer;

/** What one account used in one region on one day; 24 bytes in the store. Amount in CNY / 10,000. */
record Total(long jobs, long minutes, long amount) {
  static Total from(byte[] stored) {
    if (stored == null) {
      return new Total(0, 0, 0);
    }
    ByteBuffer in = ByteBuffer.wrap(stored);
    return new Total(in.getLong(), in.getLong(), in.getLong());
  }

  Total plus(long addedMinutes, long addedAmount) {
    return new Total(jobs + 1, minutes + addedMinutes, amount + addedAmount);
  }

  byte[] bytes() {
    return ByteBuffer.allocate(24).putLong(jobs).putLong(minutes).putLong(amount).array();
  }
}
