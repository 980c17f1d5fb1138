"""The clock and the disk are what they say, for a real Kafka."""

import errno
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.machine.clock import WrongClock
from tests.machine.disk import small_disk
from tests.open_kafka import OpenBroker

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
CLOSE_S = 30.0


def stamp_s(servers: str) -> float:
    """The time, in seconds since 1970, that the broker puts on a record now."""
    took: list[Message] = []
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    producer.produce("stamped", b"x", on_delivery=lambda _, message: took.append(message))
    assert producer.flush(30) == 0
    (message,) = took
    return float(message.timestamp()[1] / 1000)


def test_a_brokers_clock_is_set_at_its_start_and_while_it_runs(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path / "clock", timedelta(days=36))
    with OpenBroker(tmp_path, extras=clock.extras) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("stamped", 1, 1, config=APPEND_TIME)])["stamped"].result(30)
        assert abs(stamp_s(broker.bootstrap_servers) - time.time() - 36 * 86_400) < CLOSE_S
        clock.set(timedelta(hours=-8))
        assert abs(stamp_s(broker.bootstrap_servers) - time.time() + 8 * 3_600) < CLOSE_S
        clock.set(timedelta())
        assert abs(stamp_s(broker.bootstrap_servers) - time.time()) < CLOSE_S


def test_a_small_disk_is_full_soon_and_gone_afterwards(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        (disk / "fits").write_bytes(os.urandom(1 << 20))
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (disk / "does not").write_bytes(os.urandom(2 << 20))
    assert list(disk.iterdir()) == []
