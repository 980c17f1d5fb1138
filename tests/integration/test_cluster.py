"""Three nodes of the embedded Kafka: started, found, killed, frozen, wiped, and refused."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.broker import BrokerError, EmbeddedBroker, EmbeddedCluster, running_broker
from streams.broker.probe import BrokerAnswer, answer_at
from tests.integration.running import Meter, clean_environment, until
from tests.open_kafka import OpenCluster
from tests.recount.log import Log

METER = Path(sys.executable).with_name("meter")
FENCED_WITHIN_S = 40.0


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(data_dir: Path) -> Iterator[OpenCluster]:
    with OpenCluster(data_dir) as cluster:
        yield cluster


def admin(cluster: OpenCluster) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})


def brokers(cluster: OpenCluster) -> list[int]:
    """The nodes that the cluster counts as alive; none where the one that was asked does not answer."""
    try:
        return sorted(admin(cluster).list_topics(timeout=3).brokers)
    except KafkaException:
        return []


def in_sync(cluster: OpenCluster, topic: str) -> set[tuple[int, int]]:
    """For every partition: how many copies it has, and how many of them are in sync."""
    partitions = admin(cluster).list_topics(topic, timeout=20).topics[topic].partitions.values()
    return {(len(partition.replicas), len(partition.isrs)) for partition in partitions}


def all_in_sync(cluster: OpenCluster, topic: str) -> bool:
    return in_sync(cluster, topic) == {(3, 3)}


def produce(cluster: OpenCluster, topic: str, value: bytes) -> None:
    """One record in a transaction, which takes the coordinator and its topic too."""
    options = {"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "t", "log_level": 0}
    producer = Producer(options)
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.commit_transaction(60)


def holds(cluster: OpenCluster, topic: str, *values: bytes) -> None:
    """A topic comes to hold just these: a transaction is seen a moment after it is committed."""
    log = Log(cluster.bootstrap_servers)
    try:
        until(lambda: [record.value for record in log.records(topic, 0)] == list(values), f"{topic} to hold {values}")
    finally:
        log.close()


def new_topic(cluster: OpenCluster, name: str) -> str:
    client = admin(cluster)  # which lives until it has answered
    (made,) = client.create_topics([NewTopic(name, 1)]).values()
    made.result(30)
    return name


def test_three_copies_and_two_in_sync_by_default(cluster: OpenCluster) -> None:
    assert brokers(cluster) == [1, 2, 3]
    topic = new_topic(cluster, "copies")
    produce(cluster, topic, b"x")
    for name in (topic, "__transaction_state"):
        until(partial(all_in_sync, cluster, name), f"three copies of {name} in sync")
    settings = [(node.files.root / "server.properties").read_text().splitlines() for node in cluster.nodes]
    for wanted in ("min.insync.replicas=2", "transaction.state.log.min.isr=2", "offsets.topic.replication.factor=3"):
        assert all(wanted in lines for lines in settings)


def test_other_commands_find_it_by_its_data_directory(cluster: OpenCluster, data_dir: Path) -> None:
    found = running_broker(data_dir)
    assert found is not None
    assert found.bootstrap_servers == cluster.locked
    assert len(found.bootstrap_servers.split(",")) == 3
    with EmbeddedBroker(data_dir) as used:  # what a command does that needs a Kafka
        assert used == found
    assert brokers(cluster) == [1, 2, 3]


@pytest.mark.parametrize("lost", [2, *(pytest.param(node, marks=pytest.mark.long) for node in (1, 3))])
def test_each_node_may_be_killed_and_comes_back(cluster: OpenCluster, data_dir: Path, lost: int) -> None:
    topic = new_topic(cluster, f"killed.{lost}")
    produce(cluster, topic, b"before")
    node = cluster.node(lost)
    pid = node.pid
    node.kill()
    assert not psutil.pid_exists(pid)
    until(lambda: lost not in brokers(cluster), "the others to take it off", FENCED_WITHIN_S)
    found = running_broker(data_dir)
    assert found is not None
    assert found.bootstrap_servers == cluster.locked
    produce(cluster, topic, b"without it")
    node.start()
    until(lambda: brokers(cluster) == [1, 2, 3], "each of them to tell of it", FENCED_WITHIN_S)
    until(partial(all_in_sync, cluster, topic), "it to be in sync again")
    produce(cluster, topic, b"after")
    holds(cluster, topic, b"before", b"without it", b"after")


def test_a_frozen_node_is_taken_off_and_comes_back(cluster: OpenCluster) -> None:
    topic = new_topic(cluster, "frozen")
    node = cluster.node(2)
    node.freeze()
    try:
        until(lambda: brokers(cluster) == [1, 3], "the others to take it off", FENCED_WITHIN_S)
        produce(cluster, topic, b"without it")
    finally:
        node.thaw()
    until(lambda: brokers(cluster) == [1, 2, 3], "it to be taken on again", FENCED_WITHIN_S)


def test_a_lost_disk_is_copied_from_the_others(cluster: OpenCluster) -> None:
    topic = new_topic(cluster, "lost.disk")
    produce(cluster, topic, b"kept")
    node = cluster.node(3)
    with pytest.raises(BrokerError, match="its disk cannot be lost under it"):
        node.wipe()
    node.kill()
    node.wipe()
    node.start()
    until(partial(all_in_sync, cluster, topic), "its disk to be filled again")
    holds(cluster, topic, b"kept")


def test_a_meter_on_three_nodes_keeps_what_a_crash_of_all_leaves(cluster: OpenCluster, tmp_path: Path) -> None:
    topic = new_topic(cluster, "crash")
    produce(cluster, topic, b"before")
    with Meter(cluster.bootstrap_servers, tmp_path) as meter:
        meter.create("--replication", "3")
        servers = cluster.bootstrap_servers
        cluster.kill()
        cluster.start()
        assert cluster.bootstrap_servers == servers
        ports = frozenset(cluster.ports.values())
        assert [answer_at(port, cluster.secret) for port in ports] == [BrokerAnswer(cluster.cluster_id, ports)] * 3
        produce(cluster, topic, b"after")
        holds(cluster, topic, b"before", b"after")
        assert meter.run("topics", "check").returncode == 0
        until(lambda: in_sync(cluster, meter.topic("meter.journal")) == {(3, 3)}, "all copies to be in sync")


def test_a_stop_of_all_is_quick_and_keeps_everything(tmp_path: Path) -> None:
    cluster = OpenCluster(tmp_path)
    try:
        cluster.start()
        topic = new_topic(cluster, "kept")
        produce(cluster, topic, b"kept")
        cluster.stop()
        assert not any(node.is_running for node in cluster.nodes)
        assert running_broker(tmp_path) is None
        assert [node.files.has_crashed for node in cluster.nodes] == [False, False, True]
        cluster.start()
        holds(cluster, topic, b"kept")
    finally:
        cluster.kill()


def test_one_node_and_a_cluster_do_not_share_a_data_directory(cluster: OpenCluster, tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, port=0), pytest.raises(BrokerError, match="holds a Kafka of one node"):
        EmbeddedCluster(tmp_path).start()
    other = tmp_path / "other"
    (other / "kafka-cluster").mkdir(parents=True)
    known = {"cluster_id": "x", "ports": {"1": 1, "2": 2, "3": 3}}
    (other / "kafka-cluster" / "cluster.json").write_text(json.dumps(known))
    with pytest.raises(BrokerError, match="holds a cluster: start it with `meter broker --nodes 3`"):
        EmbeddedBroker(other, port=0).start()
    (other / "kafka-cluster" / "cluster.json").write_text("{")
    with pytest.raises(BrokerError, match=r"cluster\.json is damaged"):
        EmbeddedCluster(other).start()


def test_a_second_start_is_refused(cluster: OpenCluster, data_dir: Path) -> None:
    with pytest.raises(BrokerError, match=f"already runs at {cluster.locked}"):
        EmbeddedCluster(data_dir).start()
    assert brokers(cluster) == [1, 2, 3]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`meter broker --nodes 3`, once it says that it is there."""
    command = [str(METER), "broker", "--nodes", "3", "--port", "0"]
    environment = clean_environment(data_dir=tmp_path)
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(program, "Apache Kafka")
        yield program
    finally:
        program.kill()
        program.communicate()


def wait_for(program: subprocess.Popen[str], words: str) -> str:
    """The first line that it says with these words."""
    assert program.stdout is not None
    while words not in (line := program.stdout.readline()):
        assert line, f"it ended without saying {words!r}"
    return line


def test_the_command_starts_a_node_again_and_stops_when_asked(serving: subprocess.Popen[str], tmp_path: Path) -> None:
    state = tmp_path / "kafka-cluster" / "node-2" / "broker.json"
    os.kill(json.loads(state.read_text())["pid"], signal.SIGKILL)
    assert wait_for(serving, "node 2") == "node 2 ended by itself with code -9, and is started again\n"
    assert wait_for(serving, "node 2") == "node 2 is back\n"
    serving.terminate()
    assert serving.communicate(timeout=60)[0] == "stopping Kafka\n"
    assert serving.returncode == 0
    assert running_broker(tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--nodes", "2"], "two nodes cannot lose one"), (["--nodes", "3", "--port", "65534"], "need the ports after it")],
)
def test_what_cannot_be_a_cluster_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [METER, "broker", *arguments],
        env=clean_environment(data_dir=tmp_path), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} on 127.0.0.1 is taken by another program; choose others"):
            EmbeddedCluster(tmp_path, port=port - 1).start()
