"""docs/operating.md followed to the letter: three brokers with TLS, SCRAM and the rights of its table, nothing more."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from meter.regions import ZONES
from streams.broker.ports import free_port
from streams.kafka.rights import WORKER, MissingRightsError
from streams.kafka.topics import check
from streams.settings import Settings
from tests.integration.running import METER, Meter, job, lines, until
from tests.integration.secured import Grant, Secured, SecuredMeter, grants, secured_cluster, user_of

WRONG_SETTING, REFUSES, STEP_FAILED = 2, 3, 6
NEXT_WEEK = (datetime.now(UTC) + timedelta(days=7)).date().isoformat()
CREATE, CHECK, SUBMIT = (
    "meter topics create",
    "meter topics check",
    "meter submit, and every other producer of completions",
)
ACCOUNT, PUBLISH, API = "meter account but show", "meter prices publish, meter prices withdraw", "meter api"
#: Commands that only read, by who of the table may do them.
READERS: dict[str, list[tuple[str, ...]]] = {
    CHECK: [("topics", "check")],
    "meter totals": [("totals",)],
    "meter account show": [("account", "show", "A")],
    "meter bills, meter statement": [("bills", "list"), ("statement", "A", "--month", "2026-11")],
    "meter ledger": [("ledger",)],
    "meter notes": [("notes",)],
    "meter notices": [("notices",)],
    "meter rejects list": [("rejects", "list")],
    "meter rejects show": [("rejects", "show", "{reject}")],
    "meter prices show, meter quote": [("prices", "show"), ("quote", "--region", "Virginia", "--duration", "60")],
    "meter verify, meter reconcile": [("verify",), ("reconcile",)],
}
RUNNING = {"meter projector": ("projector",), "meter webhooks": ("webhooks", "run"), API: ("api",)}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_cluster(tmp_path_factory.mktemp("secured")) as found:
        yield found


@pytest.fixture(scope="module")
def meter(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredMeter]:
    """A meter of two workers that was made by those who may, each as a user of its own."""
    with SecuredMeter(secured, tmp_path_factory.mktemp("meter"), partitions=2) as meter:
        rights = table(meter)
        secured.add_users({user_of(grant.who) for grant in rights})
        secured.give(rights)
        done = meter.run("topics", "create", "--partitions", "2", "--replication", "3", who=CREATE)
        assert done.returncode == 0, done.stderr
        yield meter


def table(meter: Meter) -> list[Grant]:
    return grants(meter.app_id, meter.prefix)


def of(meter: Meter, who: str) -> list[Grant]:
    """The rights of one who is named; there are some."""
    found = [grant for grant in table(meter) if grant.who == who]
    assert found, who
    return found


@pytest.fixture(scope="module")
def metered(meter: SecuredMeter) -> SecuredMeter:
    """Jobs, a payment, a price book and a refusal have come in, and two workers have metered them."""
    workers = [meter.worker(who="worker", instance_id=f"{meter.app_id}-{number}") for number in range(2)]
    until(lambda: sorted(p for w in workers for p in w.open_partitions()) == [0, 1], "both partitions to be open", 90)
    bad = {**job(account_id="B"), "region": "Mars"}
    sent = meter.run("submit", "-", "--anyway", who=SUBMIT, given=lines(job(job_id="1"), job(account_id="B"), bad))
    assert sent.stdout.startswith("3 records acknowledged"), sent.stderr
    paid = meter.run("account", "topup", "A", "--amount", "100", "--command-id", "payment-1", who=ACCOUNT)
    assert paid.returncode == 0, paid.stderr
    book = json.dumps({"version": "next", "effective_from": NEXT_WEEK, "prices": dict.fromkeys(ZONES, "0.5")})
    published = meter.run("prices", "publish", "-", who=PUBLISH, given=book)
    assert published.returncode == 0, published.stderr
    meter.wait_folded()
    return meter


def test_two_workers_meter(metered: SecuredMeter) -> None:
    assert metered.counts().items() >= {"priced": 2, "rejected": 1}.items()
    assert metered.ask("topics", "check", who=CHECK)["partitions"] == 2


@pytest.mark.parametrize("who", READERS)
def test_a_command_that_reads_needs_no_more_than_its_rights(metered: SecuredMeter, who: str) -> None:
    (reject,) = [row["position"] for row in metered.ask_lines("rejects", "list")]
    for arguments in READERS[who]:
        done = metered.run(*(part.format(reject=reject) for part in arguments), who=who)
        assert (done.returncode, done.stderr) in (
            (0, ""),
            *((0, f"no {what}\n") for what in ("notices", "bills", "notes")),
        ), done.stderr


def test_a_refused_record_is_sent_again(metered: SecuredMeter) -> None:
    correct = ("rejects", "redrive", "--code", "unknown_region", "--set", "region=Virginia")
    done = metered.run(*correct, who="meter rejects redrive")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 record acknowledged"), done.stderr
    metered.wait_folded()
    metered.verified()


def test_projector_api_and_webhooks(metered: SecuredMeter) -> None:
    port = free_port()
    with running(metered, "meter projector"), running(metered, "meter webhooks"), running(metered, API, port) as log:
        until(lambda: ask(port, "/v1/accounts/A") is not None, "the account to be in the read model")
        answer = ask(port, "/v1/jobs", job(job_id="by-api"))
        assert answer is not None, log.read_text()
        metered.wait_folded()
    assert metered.counts()["priced"] == 4


def ask(port: int, path: str, body: object = None) -> object:
    """What the API answers; None while it does not, or with an error."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null") or True
    except OSError:
        return None


@contextmanager
def running(meter: SecuredMeter, who: str, http_port: int = 0) -> Iterator[Path]:
    """One of the processes that read, while the block runs; it ends in order."""
    log = meter.root / f"{user_of(who)}.log"
    environment = meter.environment(who=who, web_port=0, http_port=http_port)
    with log.open("ab") as file:
        process = subprocess.Popen([METER, *RUNNING[who]], env=environment, stdout=file, stderr=file, cwd=meter.root)
    try:
        yield log
        assert process.poll() is None, log.read_text()
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def named(grant: Grant) -> str:
    """A right as the line says it."""
    kinds = {"TOPIC": "topic", "GROUP": "group", "TRANSACTIONAL_ID": "transactional id"}
    operation = grant.operation.name.title().replace("_", "")
    name = f"{grant.name}0" if grant.is_prefix else grant.name
    return f"{operation} on {kinds[grant.kind.name]} {name}"


def refusal(meter: SecuredMeter) -> str:
    """Why a worker's start would be refused; nothing where it would not."""
    given = meter.environment(who="worker")
    known = {name.removeprefix("METER_").lower(): value for name, value in given.items() if name.startswith("METER_")}
    try:
        asyncio.run(check(Settings.model_validate(known), WORKER))
    except MissingRightsError as error:
        return str(error)
    return ""


def test_each_right_of_a_worker_that_is_missing_is_named(secured: Secured, metered: SecuredMeter) -> None:
    rights = of(metered, "worker")
    assert len(rights) > 40
    for grant in rights:
        secured.take([grant])
        until(lambda grant=grant: named(grant) in refusal(metered), named(grant))  # type: ignore[misc]
        secured.give([grant])
        until(lambda: refusal(metered) == "", "the rights to be there again")


def test_a_worker_without_rights_ends_with_one_line_that_names_them_all(secured: Secured, meter: SecuredMeter) -> None:
    taken = [grant for grant in of(meter, "worker") if grant.operation.name == "WRITE"]
    secured.take(taken)
    try:
        until(lambda: all(named(grant) in refusal(meter) for grant in taken), "the rights to be gone")
        worker = meter.worker(who="worker")
        assert worker.ended() == REFUSES, worker.said()
    finally:
        secured.give(taken)
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert all(named(grant) in line for grant in taken)
    assert "Traceback" not in worker.said()
    until(lambda: refusal(meter) == "", "the rights to be there again")


@pytest.mark.parametrize(
    ("who", "arguments", "given"),
    [
        (CREATE, ("topics", "create"), ""),
        (SUBMIT, ("submit", "-"), lines(job(job_id="j", completed_at="2026-11-24T10:00:00+08:00"))),
        (ACCOUNT, ("account", "topup", "A", "--amount", "1"), ""),
        (PUBLISH, ("prices", "publish", "-"), '{"version":"v","effective_from":"2099-01-01","prices":{}}'),
        ("meter rejects redrive", ("rejects", "redrive", "0:0"), ""),
        ("meter projector", ("projector",), ""),
        ("meter webhooks", ("webhooks", "run"), ""),
        (API, ("api",), ""),
        *((who, tuple(part.format(reject="0:0") for part in READERS[who][0]), "") for who in READERS),
    ],
)
def test_whoever_lacks_rights_is_told_at_once_which(
    secured: Secured, meter: SecuredMeter, who: str, arguments: tuple[str, ...], given: str
) -> None:
    taken = [grant for grant in of(meter, who) if grant.kind.name != "BROKER"]
    secured.take(taken)
    try:
        done = until(lambda: told(meter, who, arguments, given, taken), "the rights to be gone")
    finally:
        secured.give(taken)
    assert done is not None
    assert done.returncode == REFUSES
    assert "Traceback" not in done.stderr


def told(
    meter: SecuredMeter, who: str, arguments: tuple[str, ...], given: str, taken: list[Grant]
) -> subprocess.CompletedProcess[str] | None:
    settings = {"who": who, "web_port": 0, "http_port": 0, "data_dir": meter.root / "other"}
    done = meter.execute(*arguments, given=given, **settings)
    # Who may read may describe: where both are gone, it is reading that is missed.
    missed = [grant for grant in taken if grant.kind.name == "TOPIC" and grant.operation.name != "DESCRIBE"]
    print(done.stderr)
    return done if all(named(grant) in done.stderr for grant in missed) else None


def test_a_transaction_timeout_that_the_brokers_do_not_allow_names_its_setting(metered: SecuredMeter) -> None:
    book = json.dumps({"version": "later", "effective_from": NEXT_WEEK, "prices": dict.fromkeys(ZONES, "0.6")})
    done = metered.run("prices", "publish", "-", who=PUBLISH, given=book, transaction_timeout_s=60)
    said = "meter: METER_TRANSACTION_TIMEOUT_S is longer than the brokers' transaction.max.timeout.ms\n"
    assert (done.returncode, done.stderr) == (WRONG_SETTING, said)


def test_a_right_that_is_taken_away_at_work_is_named(secured: Secured, metered: SecuredMeter) -> None:
    grant = next(g for g in of(metered, "worker") if g.name.endswith("usage.rejected") and g.operation.name == "WRITE")
    for earlier in metered.workers:  # those that lost their rights in the tests before have ended
        earlier.kill()
    worker = metered.open_worker(who="worker")
    secured.take([grant])
    until(lambda: named(grant) in refusal(metered), "the right to be gone")
    try:
        metered.produce("recognition.jobs.completed", {"value": b"junk"})
        assert worker.ended() == STEP_FAILED, worker.said()
    finally:
        secured.give([grant])
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert named(grant) in line
    assert "Traceback" not in worker.said()
