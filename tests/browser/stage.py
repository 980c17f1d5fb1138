"""What the browser looks at: two weeks of a meter with a simulated clock; worker, projector and API are processes."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

from streams.broker.ports import free_port
from streams.commands.placing import place
from streams.commands.writing import new_command
from streams.kafka.rights import AUDITOR
from streams.kafka.topics import check
from streams.settings import Settings
from tests.integration.running import METER, PATIENCE_S, Meter, lines, until

FIRST = datetime(2019, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
#: Days of usage; the last of them is today.
DAYS = 14
TODAY = (FIRST + timedelta(days=DAYS - 1)).date()

RICH = ("starlight-video", "harbour-news", "mountain-sports", "lotus-education", "panda-kids")
#: The days at whose early afternoon everything is settled that is due; the last is today.
LOOKS = (1, 2, 10, 12, DAYS - 1)

#: Paid nothing in, and used something from the first day on.
STOPPED = "studio-42"
#: The same, from the day before the last on: it has a day left.
IN_ARREARS = "quiet-cinema"
SCRIPT = "<script>alert('me')</script>"
AWKWARD = "a/b \"c\" 'd' ?#%2F 🎬"
REGIONS = ("ap-guangzhou", "ap-shanghai", "na-siliconvalley", "ap-tokyo", "eu-frankfurt", "ap-singapore", "ap-mumbai")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An hour of a day of the stage, 0 the first."""
    return FIRST + timedelta(days=day, hours=hour, minutes=minute)


def a_job(account: str, name: str, moment: datetime, seconds: object, region: str = "ap-guangzhou") -> dict[str, Any]:
    """A completion."""
    return {
        "job_id": name,
        "account_id": account,
        "region": region,
        "kinds": ["face", "text"],
        "duration_s": seconds,
        "completed_at": moment.isoformat(),
    }


def usage() -> list[dict[str, Any]]:
    """Two weeks of jobs in the order of their time, with some that are refused."""
    rng = Random(42)
    jobs = [a_job("A", "guide-example", at(0, 0, 1), 3600, "Mainland China")]
    for day in range(DAYS):
        jobs += [_random_job(rng, account, day, number) for account in RICH for number in range(rng.randint(3, 7))]
        jobs += [a_job("A", f"a-{day}", at(day, 9), 1800 + 60 * day)]
        jobs += [a_job(SCRIPT, f"s-{day}", at(day, 10), 600), a_job(AWKWARD, f"w-{day}", at(day, 11), 700)]
    jobs += [a_job(STOPPED, f"u-{day}", at(day, 8), 5400, "ap-tokyo") for day in range(3)]
    jobs += [a_job(IN_ARREARS, "q-1", at(DAYS - 2, 8), 7200, "ap-singapore")]
    today = DAYS - 1
    jobs += [
        a_job("harbour-news", "typo", at(today, 9), 4000, "ap-atlantis"),
        a_job("panda-kids", "zero", at(today, 9), 0),
        a_job(SCRIPT, "<b>bold</b>", at(today, 9), 900) | {"kinds": ["<img src=x>"]},
        a_job("A", "guide-example", at(today, 9), 7200),
    ]
    # What a producer gets wrong, it gets wrong again and again.
    jobs += [a_job("mountain-sports", f"wrong-{n:02}", at(1, 7, n), 600, "") for n in range(25)]
    jobs += [a_job("mountain-sports", "large", at(3, 7), 987_654)]
    return sorted(jobs, key=lambda job: str(job["completed_at"]))


def _random_job(rng: Random, account: str, day: int, number: int) -> dict[str, Any]:
    moment = at(day, rng.randrange(13), rng.randrange(60))
    scale = 1 + 2 * (len(RICH) - RICH.index(account))
    seconds = round(600 * scale * rng.uniform(0.4, 2.4), 3)
    return a_job(account, f"job-{day:02}-{number:02}", moment, seconds, REGIONS[rng.randrange(2 + RICH.index(account))])


class Stage:
    """The meter, its processes, and tokens for whoever looks."""

    def __init__(self, meter: Meter, folder: Path, port: int) -> None:
        self.meter = meter
        self.address = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._settings = Settings(
            bootstrap_servers=meter.bootstrap_servers, topic_prefix=meter.prefix, app_id=meter.app_id
        )
        self.sessions: dict[str, Any] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Fill the log, and start everything that shows it."""
        self.meter.create("--clock", "simulated")
        self.meter.open_worker()
        self._fill()
        self.run("projector", web_port=0)
        self.tokens = {"operator": self.token("operator"), "A": self.token("account", "A")}
        self.tokens[STOPPED] = self.token("account", STOPPED)
        self.run("api", http_port=self._port, http_requests_per_s=0)
        until(self._answers, "the API to answer")
        until(self._is_projected, "everything to be projected")

    def _fill(self) -> None:
        asyncio.run(self._commands())
        jobs, begin = usage(), 0
        for day in LOOKS:
            end = next((n for n, job in enumerate(jobs) if job["completed_at"] >= at(day, 13).isoformat()), len(jobs))
            done = self.meter.run("submit", "-", "--anyway", given=lines(*jobs[begin:end]))
            assert "acknowledged" in done.stdout + done.stderr, done.stderr
            self.advance(at(day, 14))
            begin = end

    async def _commands(self) -> None:
        rules = await check(self._settings, AUDITOR)
        at_ms = int(at(0, 0).timestamp() * 1000)

        async def give(kind: str, account: str, **fields: Any) -> None:
            command = new_command(kind, rules, at_ms, account_id=account, **fields)
            outcome = await place(self._settings, rules, command, at_ms=at_ms, timeout_s=PATIENCE_S)
            assert [answer.status for answer in outcome.answers.values()] == ["done"], outcome

        accounts = (*RICH, "A", SCRIPT, AWKWARD)
        await asyncio.gather(*[give("open_account", account) for account in accounts])
        amounts = {account: "170.00" if account == "A" else "20000.00" for account in accounts}
        await asyncio.gather(*[give("top_up", account, amount=amount) for account, amount in amounts.items()])
        await give("low_balance", "A", threshold="50.00")
        prices = {"*": "0.25", "ap-tokyo": "0.30"}
        await give("contract", "starlight-video", effective_from="2019-01-05", prices=prices)

    def advance(self, moment: datetime) -> None:
        """It becomes later."""
        self.command("clock", "advance", "--to", moment.isoformat())

    def command(self, *arguments: str) -> None:
        """A command that must do well."""
        done = self.meter.run(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)

    def token(self, role: str, account: str | None = None) -> str:
        """A new token."""
        whose = [] if account is None else ["--account", account]
        return str(self.meter.ask("token", "create", "--role", role, *whose, "--label", account or role)["token"])

    def submit(self, *jobs: dict[str, Any]) -> None:
        """Completions by the HTTP API, as a service reports them."""
        headers = {"Authorization": f"Bearer {self.tokens['operator']}", "Content-Type": "application/json"}
        request = Request(f"{self.address}/v1/jobs", json.dumps(jobs).encode(), headers)
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 202

    def run(self, *arguments: str, **settings: object) -> None:
        """Start one of its processes."""
        log = (self._folder / f"{arguments[0]}.log").open("ab")
        with log:
            environment = self.meter.environment(**settings)
            process = subprocess.Popen(
                [METER, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(process)

    def stop(self) -> None:
        """End them all."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/healthz", timeout=5) as page:
                return bool(json.load(page)["kafka"])
        except OSError:
            return False

    def _is_projected(self) -> bool:
        topics = self.meter.ask("projector", "status")
        return len(topics) > 5 and not any(topic["lag"] for topic in topics)


@contextmanager
def staged(kafka: str, folder: Path, port: int = 0) -> Iterator[Stage]:
    """A stage that is open for the block."""
    with Meter(kafka, folder, partitions=2) as meter:
        stage = Stage(meter, folder, port or free_port())
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()
