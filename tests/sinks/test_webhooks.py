"""Webhooks: all that is wanted arrives, signed, in order and at least once, whatever is killed or says no."""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine
from standardwebhooks import Webhook, WebhookVerificationError

from streams.broker.ports import free_port
from streams.errors import Exit
from streams.store.database import writing
from streams.webhooks import endpoints, queue
from streams.webhooks.endpoints import Endpoint
from streams.webhooks.events import EVENTS, message_of
from streams.webhooks.run import Sender
from tests.integration.money import CHINA, advance
from tests.integration.running import METER, clean_environment, job, until
from tests.sinks.receiver import Receiver, Request
from tests.sinks.stage import Stage

PRIVATE = {"webhook_private_addresses": True, "webhook_timeout_s": 1}
EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def endpoint_of_all(
    stage: Stage, store: str, url: str, events: tuple[str, ...] = tuple(EVENTS), account: str | None = None
) -> Iterator[tuple[Engine, Endpoint]]:
    """An endpoint that is told everything from the start of the topics; removed in the end."""
    engine = stage.engine(store)
    places = {(topic, partition): 0 for topic in EVENTS.values() for partition in range(stage.meter.partitions)}
    with writing(engine) as connection:
        endpoint = endpoints.add(connection, url, events, account, places, {})
    try:
        yield engine, endpoint
    finally:
        with writing(engine) as connection, suppress(Exception):
            endpoints.remove(connection, endpoint.endpoint_id)
        engine.dispose()


@contextmanager
def running(stage: Stage, store: str, web_port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """One `meter webhooks run`."""
    environment = stage.meter.environment(database_url=stage.urls[store], web_port=web_port, **PRIVATE)
    process = subprocess.Popen([METER, "webhooks", "run"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def in_process(stage: Stage, store: str, engine: Engine, done: Callable[[], bool], *retry_after_s: float) -> None:
    """A sender in this process with times of its own, until something is true."""

    async def main() -> None:
        settings = stage.settings(store, **PRIVATE)
        sender = Sender(settings, engine, stage.meter.partitions, retry_after_s, pause_s=(0.01, 0.01))
        task = asyncio.ensure_future(sender.run())
        try:
            await asyncio.to_thread(until, lambda: done() or task.done(), "the deliveries", 30)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


def published(stage: Stage, event: str) -> dict[str, int]:
    """The records of an event's topic as canonical text, and how many there are of each."""
    found: dict[str, int] = defaultdict(int)
    for row in stage.meter.rows(EVENTS[event]):
        found[json.dumps(row, separators=(",", ":"), ensure_ascii=False)] += 1
    return found


def data_of(request: Request) -> str:
    """The record in a request, byte for byte."""
    text = request.body.decode()
    return text[text.index('"data":') + len('"data":') : -1]


def states(engine: Engine, endpoint: Endpoint) -> tuple[int, int]:
    with engine.connect() as connection:
        return next((each.waiting, each.dead) for each in endpoints.listed(connection) if each.endpoint == endpoint)


def test_every_bill_notice_and_service_change_arrives_signed_as_it_was_published(stage: Stage, store: str) -> None:
    wanted = {text for event in EVENTS for text in published(stage, event)}
    port = free_port()
    with (
        Receiver() as receiver,
        endpoint_of_all(stage, store, receiver.url) as (_, endpoint),
        running(stage, store, port),
    ):
        until(lambda: len(receiver.requests) >= len(wanted), "all messages")
        pages = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{pages}/readyz").json() == {"status": "ok", "stalled": []}
        taken = f'meter_webhook_attempts_total{{outcome="delivered"}} {float(len(wanted))}'
        until(lambda: taken in httpx.get(f"{pages}/metrics").text, "the metrics to say what was taken")
        for request in receiver.requests:
            body = Webhook(endpoint.secret).verify(request.body, request.headers)
            assert list(body) == ["type", "timestamp", "data"]
            with pytest.raises(WebhookVerificationError):
                Webhook(endpoint.secret).verify(request.body + b" ", request.headers)
    assert {data_of(request) for request in receiver.requests} == wanted
    assert len({request.message_id for request in receiver.requests}) == len(wanted)
    types = {json.loads(request.body)["type"] for request in receiver.requests}
    assert types == {"bill.issued", "notice.arrears", "notice.stopped", "notice.restored", "service.changed"}


def test_an_accounts_messages_come_in_order_although_some_are_refused_at_first(stage: Stage, store: str) -> None:
    refused: set[str] = set()

    def refuse_first(number: int, request: Request) -> int:
        if request.message_id not in refused and number % 2 == 0:
            refused.add(request.message_id)
            return 503
        refused.add(request.message_id)
        return 200

    with Receiver(refuse_first) as receiver, endpoint_of_all(stage, store, receiver.url, account="B") as (engine, _):
        in_process(stage, store, engine, lambda: len(set(ids(receiver.requests))) == 7, 0.05, 0.05)
    last_of_each = {request.message_id: number for number, request in enumerate(receiver.requests)}
    taken = [json.loads(receiver.requests[number].body) for number in sorted(last_of_each.values())]
    # What one step has put out bears the same instant, and may come in either order.
    assert [message["timestamp"] for message in taken] == sorted(message["timestamp"] for message in taken)
    kinds = [message["type"] for message in taken]
    assert [kind for kind in kinds if kind.startswith("notice")] == [
        "notice.arrears", "notice.stopped", "notice.restored",
    ]  # fmt: skip
    assert [message["data"]["state"] for message in taken if message["type"] == "service.changed"] == [
        "in_arrears", "stopped", "good",
    ]  # fmt: skip
    assert kinds[0] == "bill.issued"
    assert len(receiver.requests) > len(taken)


def ids(requests: list[Request]) -> list[str]:
    return [request.message_id for request in requests]


def test_a_sender_that_is_killed_repeats_at_most(stage: Stage, store: str) -> None:
    wanted = sum(len(published(stage, event)) for event in EVENTS)
    kills = 2
    with Receiver() as receiver, endpoint_of_all(stage, store, receiver.url) as (engine, endpoint):
        for kill in range(kills):
            reached = (kill + 1) * 3
            with running(stage, store) as process:
                until(partial(receiver.has, reached), "some messages")
                process.kill()
        with running(stage, store):
            until(lambda: len(set(ids(receiver.requests))) == wanted and states(engine, endpoint) == (0, 0), "the rest")
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for request in receiver.requests:
        bodies[request.message_id].add(request.body)
    assert all(len(each) == 1 for each in bodies.values())


def test_what_is_never_taken_is_dead_can_be_seen_and_sent_again(stage: Stage, store: str) -> None:
    answers = [500]
    with (
        Receiver(lambda *_: answers[0]) as receiver,
        endpoint_of_all(stage, store, receiver.url, ("bill",), "A") as (engine, endpoint),
    ):
        bills = len([text for text in published(stage, "bill") if '"account_id":"A"' in text])
        in_process(stage, store, engine, lambda: states(engine, endpoint) == (0, bills), 0.05, 0.05)
        assert len(receiver.requests) == 3 * bills

        rows = stage.run(store, "webhooks", "dead", "--webhook", endpoint.endpoint_id, "--json").stdout.splitlines()
        dead = [json.loads(row) for row in rows]
        assert [(each["event"], each["attempts"], each["last_error"]) for each in dead] == [
            ("bill", 3, "status 500")
        ] * bills
        assert receiver.requests[0].message_id in stage.run(store, "webhooks", "dead").stdout

        answers[0] = 200
        done = stage.run(store, "webhooks", "retry", dead[0]["event_id"])
        assert (done.returncode, done.stdout) == (0, "1 to be sent again\n")
        done = stage.run(store, "webhooks", "retry", "--all")
        assert (done.returncode, done.stdout) == (0, f"{bills - 1} to be sent again\n")
        in_process(stage, store, engine, lambda: states(engine, endpoint) == (0, 0))
        assert ids(receiver.requests)[-bills:] == [each["event_id"] for each in dead]
        assert stage.run(store, "webhooks", "retry", "--all").returncode == 1


def test_a_redirect_is_not_followed_and_a_slow_receiver_is_not_waited_for(stage: Stage) -> None:
    with (
        Receiver(lambda *_: 307) as receiver,
        endpoint_of_all(stage, "sqlite", receiver.url, ("bill",), "B") as (engine, endpoint),
    ):
        in_process(stage, "sqlite", engine, lambda: states(engine, endpoint)[1] > 0)
        with engine.connect() as connection:
            (dead,) = queue.dead(connection, endpoint.endpoint_id)
    assert (dead.last_error, len(receiver.requests)) == ("status 307", 1)


def test_names_behind_one_address_share_no_connection(stage: Stage) -> None:
    """Over TLS a connection was made for one name, whose certificate says nothing of the other."""
    with Receiver() as receiver:
        other = receiver.url.replace("127.0.0.1", "127.1")
        with (
            endpoint_of_all(stage, "sqlite", receiver.url, ("bill",), "A") as (engine, _),
            endpoint_of_all(stage, "sqlite", other, ("bill",), "A"),
        ):
            bills = len([text for text in published(stage, "bill") if '"account_id":"A"' in text])
            in_process(stage, "sqlite", engine, lambda: len(receiver.requests) >= 2 * bills)
    ports = defaultdict(set)
    for request in receiver.requests:
        ports[request.headers["host"]].add(request.came_from)
    assert len(ports) == 2
    assert not set.intersection(*ports.values())


def test_two_senders_do_not_both_read(stage: Stage, store: str) -> None:
    """The positions move by compare-and-set: whoever comes second changes nothing."""
    record = b'{"v":1,"account_id":"A","state":"stopped","since":"2019-01-02T12:00:00+08:00","reason":"x"}'
    with endpoint_of_all(stage, store, "https://example.com/") as (engine, endpoint):
        move = queue.EndpointAdvance(endpoint.endpoint_id, "billing.bills", 0, 0, 1)
        put = queue.Put(endpoint.endpoint_id, 0, 0, message_of("account.service", record, 0))
        now = datetime.now(UTC)
        with writing(engine) as connection:
            queue.put(connection, [put], [move], now)
        with pytest.raises(queue.OtherSenderError), writing(engine) as connection:
            queue.put(connection, [put], [move], now)
        assert states(engine, endpoint) == (1, 0)


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_is_over(stage: Stage, store: str) -> None:
    record = b'{"v":1,"account_id":"A","state":"stopped","since":"2019-01-02T12:00:00+08:00","reason":"x"}'
    now, lease = datetime.now(UTC), timedelta(seconds=3)
    with endpoint_of_all(stage, store, "https://example.com/") as (engine, endpoint):
        put = queue.Put(endpoint.endpoint_id, 0, 0, message_of("account.service", record, 0))
        with writing(engine) as connection:
            queue.put(connection, [put], [], now)
            (first,) = queue.claim(connection, endpoint, now, lease, 10)
            assert queue.claim(connection, endpoint, now + lease / 2, lease, 10) == []
            (second,) = queue.claim(connection, endpoint, now + lease, lease, 10)
            queue.delivered(connection, first, now)  # it comes too late: somebody else tries
            assert (first.attempts, second.attempts) == (1, 2)
        assert states(engine, endpoint) == (1, 0)


def test_the_order_is_that_of_the_log_though_the_broker_that_leads_it_next_has_a_clock_that_is_behind(
    stage: Stage, store: str
) -> None:
    """The last one to arrive is the last word: an earlier one must not come after it, in one look or in several."""
    now, lease = datetime.now(UTC), timedelta(seconds=3)
    hours_after = [0, -2, -1, 36 * 24, -3]  # when the records were taken, by the clock of whoever led the partition

    def put(position: int) -> queue.Put:
        record = b'{"v":1,"account_id":"A","state":"%d","since":"2019-01-02T12:00:00+08:00","reason":"x"}' % position
        taken_ms = int(now.timestamp() * 1000) + hours_after[position] * 3_600_000
        return queue.Put(endpoint.endpoint_id, 0, position, message_of("account.service", record, taken_ms))

    with endpoint_of_all(stage, store, "https://example.com/") as (engine, endpoint), writing(engine) as connection:
        for positions in ([0], [1, 2], [3], [4]):
            queue.put(connection, [put(position) for position in positions], [], now)
        arrived = []
        for _ in hours_after:
            (delivery,) = queue.claim(connection, endpoint, now, lease, 10)
            queue.delivered(connection, delivery, now)
            arrived.append(json.loads(delivery.payload)["data"]["state"])
    assert arrived == ["0", "1", "2", "3", "4"]


class TestTheCommands:
    def test_a_webhook_is_added_listed_and_removed(self, stage: Stage, store: str) -> None:
        done = stage.run(
            store, "webhooks", "add", "https://example.com/meter", "--events", "notice,bill", "--account", "A", "--json"
        )
        assert (done.returncode, done.stderr) == (0, "")
        added = json.loads(done.stdout)
        assert added["secret"].startswith("whsec_")
        (row,) = [
            json.loads(row)
            for row in stage.run(store, "webhooks", "list", "--json").stdout.splitlines()
            if added["webhook"] in row
        ]
        assert "secret" not in row
        assert (row["url"], row["events"], row["account"]) == ("https://example.com/meter", "notice,bill", "A")
        assert added["webhook"] in stage.run(store, "webhooks", "list").stdout
        removed = stage.run(store, "webhooks", "remove", added["webhook"])
        assert (removed.returncode, removed.stdout) == (0, f"removed {added['webhook']}\n")
        again = stage.run(store, "webhooks", "remove", added["webhook"])
        assert (again.returncode, again.stderr.count("\n")) == (1, 1)

    def test_a_sender_does_not_start_on_a_store_that_refuses_it(self, stage: Stage, tmp_path: Path) -> None:
        (tmp_path / "store.sqlite").write_text("no database at all, but some text" * 9)
        done = subprocess.run(
            [METER, "webhooks", "run"], env=stage.meter.environment(database_url=f"sqlite:///{tmp_path}/store.sqlite"),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (Exit.WRONG_SETTING, "")
        assert "will not have us: file is not a database" in done.stderr.splitlines()[-1]

    def test_an_address_where_nothing_will_ever_be_sent_is_told_of_at_once(self, stage: Stage) -> None:
        for url, private, warning in (
            (
                "http://169.254.169.254/",
                True,
                "meter: nothing will be sent there: 169.254.169.254 is no address for we",
            ),
            ("http://127.0.0.1/", False, "METER_WEBHOOK_PRIVATE_ADDRESSES=true allows that"),
            ("http://127.0.0.1/", True, ""),
            ("https://nowhere.invalid/", False, ""),
        ):
            done = stage.run("sqlite", "webhooks", "add", url, webhook_private_addresses=private)
            assert (done.returncode, done.stderr.count("\n")) == (0, 1 if warning else 0)
            assert warning in done.stderr
            added = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
            assert added["added"].endswith("+08:00")
            assert added["added"] in stage.run("sqlite", "webhooks", "list").stdout
            assert stage.run("sqlite", "webhooks", "remove", added["webhook"]).returncode == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("add", "ftp://example.com/"),
            ("add", "https://user:secret@example.com/"),
            ("add", "https:///nowhere"),
            ("add", "https://example.com:0/"),
            ("add", "https://example.com/", "--events", "bills"),
            ("retry",),
        ],
    )
    def test_wrong_arguments_are_one_line(self, stage: Stage, arguments: tuple[str, ...]) -> None:
        done = stage.run("sqlite", "webhooks", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_arrears_notice_goes_out_as_an_sms(stage: Stage, tmp_path: Path) -> None:
    """The whole way: added by a command, a job that cannot be paid, the gateway of the examples."""
    environment = clean_environment() | {"SMS_SENT": str(tmp_path / "sent.sqlite")}
    meter = stage.meter
    port_file = tmp_path / "said"
    port = free_port()
    done = stage.run(
        "postgresql", "webhooks", "add", f"http://127.0.0.1:{port}/meter", "--events", "notice", "--account", "Z",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    added = json.loads(done.stdout)
    with port_file.open("wb") as said:
        gateway = subprocess.Popen(
            [sys.executable, EXAMPLES / "sms_gateway.py", str(port)],
            env=environment | {"WEBHOOK_SECRET": added["secret"]}, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        with running(stage, "postgresql"):
            meter.submit(job(account_id="Z", job_id="z1", completed_at=f"2019-03-01T19:00:00{CHINA}"))
            advance(meter, "2019-03-02T18:00:00")
            until(lambda: "SMS to Z" in port_file.read_text(), "the SMS")
    finally:
        gateway.kill()
        gateway.wait()
        stage.run("postgresql", "webhooks", "remove", added["webhook"])
    (sms,) = [row for row in port_file.read_text().splitlines() if row.startswith("SMS")]
    assert sms.startswith("SMS to Z: Bill B20190301-")
    assert sms.endswith(": 16.80 CNY are missing. Your service stops at 2019-03-03T18:00:00.000+08:00.")
