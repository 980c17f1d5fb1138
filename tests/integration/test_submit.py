"""`meter submit`: lines in, each of them sent or told of by its number. No worker runs: the topic is looked at."""

import gzip
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.running import COMPLETED, METER, Meter, job, lines, padded, until, value_of
from tests.recount.log import Log
from tests.recount.placement import owner


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    with Meter(kafka, tmp_path_factory.mktemp("submit")) as meter:
        yield meter.create()


class CompletedTopic:
    """What has come to the topic of completions since the last look."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._next = [0, 0]
        self.new()

    def new(self) -> list[bytes | None]:
        values: list[bytes | None] = []
        with closing(Log(self._meter.bootstrap_servers, self._meter.prefix)) as log:
            for partition, start in enumerate(self._next):
                for record in log.records(COMPLETED, partition, start):
                    self._next[partition] = record.offset + 1
                    values.append(record.value)
        return sorted(values, key=lambda value: value or b"")


@pytest.fixture
def topic(meter: Meter) -> CompletedTopic:
    return CompletedTopic(meter)


def test_bad_lines_are_told_by_number_and_the_good_ones_are_sent(meter: Meter, topic: CompletedTopic) -> None:
    good = [value_of(account_id=account) for account in "ABC"]
    bad = {2: b"{", 4: value_of(region="Mars"), 6: b"\xff\xfe"}
    given = b"\n".join([good[0], bad[2], good[1], bad[4], good[2], bad[6]])
    done = meter.run("submit", "-", given=given)
    assert done.returncode == 1
    assert [line.split(":")[1:3] for line in done.stderr.splitlines()[:-1]] == [
        [" line 2", " not_json"], [" line 4", " unknown_region"], [" line 6", " not_json"],
    ]  # fmt: skip
    assert done.stderr.splitlines()[-1] == "meter: 3 bad lines were not sent"
    assert done.stdout.startswith("3 records acknowledged in ")
    assert topic.new() == sorted(good)

    done = meter.run("submit", "-", "--anyway", given=given)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "meter: 3 bad lines were sent all the same")
    assert topic.new() == sorted([*good, *bad.values()])


def test_blank_lines_and_the_line_ends_of_windows_do_no_harm(
    meter: Meter, topic: CompletedTopic, tmp_path: Path
) -> None:
    good = [value_of() for _ in range(3)]
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(b"\r\n\n" + good[0] + b"\r\n  \n" + good[1] + b"\n\n" + good[2])
    done = meter.run("submit", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert topic.new() == sorted(good)


def test_a_line_may_have_a_million_bytes_and_no_more(meter: Meter, topic: CompletedTopic) -> None:
    longest, too_long, after = padded(1_000_000), padded(1_000_001), value_of()
    done = meter.run("submit", "-", "--anyway", given=b"\n".join([longest, too_long * 3, after]))
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "meter: line 2: too_large: the line is longer than 1000000 bytes"
    assert topic.new() == sorted([longest, after])


def test_of_many_bad_lines_ten_are_told_of_and_the_rest_are_counted(meter: Meter, topic: CompletedTopic) -> None:
    given = value_of() + b"\n" + b"not JSON\n" * 25
    done = meter.run("submit", "-", given=given)
    assert done.returncode == 1
    assert [line.split(":")[1] for line in done.stderr.splitlines()[:-1]] == [f" line {n}" for n in range(2, 12)]
    assert done.stderr.splitlines()[-1] == (
        "meter: 25 bad lines were not sent; 15 of them are not shown here: --json tells of all"
    )
    assert len(topic.new()) == 1
    done = meter.run("submit", "-", "--json", given=given)
    assert len([line for line in done.stderr.splitlines() if ": not_json: " in line]) == 25
    topic.new()


def test_a_file_that_is_no_lines_of_json_is_one_line_and_nothing_is_sent(meter: Meter, topic: CompletedTopic) -> None:
    for given in (b"[" + value_of() + b"]", gzip.compress(value_of()), value_of().decode().encode("utf-16")):
        done = meter.run("submit", "-", given=given)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("meter: standard input is ")
    assert topic.new() == []


def test_a_byte_order_mark_is_no_part_of_a_line(meter: Meter, topic: CompletedTopic) -> None:
    good = [value_of(), value_of()]
    done = meter.run("submit", "-", given=b"".join(b"\xef\xbb\xbf" + line + b"\r\n" for line in good))
    assert (done.returncode, done.stderr) == (0, "")
    assert topic.new() == sorted(good)


def test_ctrl_c_says_how_far_it_came(meter: Meter, topic: CompletedTopic) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [METER, "submit", "-"], env=meter.environment(), cwd=meter.root, stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdin is not None
    process.stdin.write(lines(job()).encode())
    process.stdin.flush()
    until(topic.new, "the line to be sent")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert err.decode() == (
        "meter: stopped: 1 record was acknowledged, and more may have been sent; "
        "submit all of it again: jobs that are there already count as duplicates\n"
    )


def test_nothing_is_sent_of_nothing(meter: Meter, topic: CompletedTopic) -> None:
    done = meter.run("submit", "-")
    assert (done.returncode, done.stderr) == (0, "standard input is empty: there was nothing to send\n")
    assert done.stdout.startswith("0 records acknowledged")
    assert topic.new() == []


def test_json_says_what_became_of_the_lines(meter: Meter) -> None:
    summary = meter.ask("submit", "-", given=lines(*(job() for _ in range(1000))))
    assert summary.keys() == {"acknowledged", "bad", "seconds"}
    assert (summary["acknowledged"], summary["bad"]) == (1000, 0)


def test_each_job_goes_to_its_accounts_partition_with_the_account_as_its_key(meter: Meter) -> None:
    accounts = [f"account-{number}" for number in range(20)] + ["录像"]
    assert meter.run("submit", "-", given=lines(*(job(account_id=each) for each in accounts))).returncode == 0
    with closing(Log(meter.bootstrap_servers, meter.prefix)) as log:
        found = {record.key: p for p in range(2) for record in log.records(COMPLETED, p)}
    assert {each: found[each.encode()] for each in accounts} == {each: owner(each, 2) for each in accounts}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-file",), "no-such-file: No such file or directory"),
        (("-", "--at", "2019-01-01T12:00:00Z"), "--at is for a meter with a simulated clock"),
        (("-", "--at", "noon"), "--at is a date-time with an offset"),
    ],
)
def test_arguments_that_make_no_sense(
    meter: Meter, topic: CompletedTopic, arguments: tuple[str, ...], message: str
) -> None:
    done = meter.run("submit", *arguments, given=lines(job()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert topic.new() == []


def test_what_is_acknowledged_and_not_metered_is_said_with_every_figure(meter: Meter) -> None:
    """Without what a producer has taken back: Kafka has acknowledged that too, and nobody will ever meter it."""
    producer = meter.producer(**{"transactional.id": f"{meter.app_id}-aborted"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(meter.topic(COMPLETED), value=value_of(), partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    assert meter.run("submit", "-", given=lines(job())).returncode == 0
    with closing(Log(meter.bootstrap_servers, meter.prefix)) as log:
        waiting = sum(1 for partition in range(2) for _ in log.records(COMPLETED, partition))
    assert waiting > 1000
    line = f"{waiting:,} acknowledged records are not metered yet: `meter status` shows the workers"
    assert meter.run("totals").stderr.splitlines() == ["no usage", line]
    assert meter.ask("totals") == {
        "totals": [],
        "sum": {"jobs": 0, "minutes": 0, "amount": "0.00", "currency": "CNY"},
        "not_metered": waiting,
    }
    assert meter.run("rejects", "list").stderr.splitlines()[0] == line
