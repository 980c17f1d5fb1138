"""What happened in January 2019 on one meter, and its read model in two stores: all of it made once for these tests."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr
from sqlalchemy import Engine

from streams.settings import Settings
from streams.store.database import open_engine
from tests.integration.money import CHINA, InProcess, advance, told
from tests.integration.running import METER, Meter, job, lines

#: An id that nothing may read as anything but an id.
ODD = 'né/"<b>,😀'
A_FIRST = "B20190101-559aead08264d579"


class Stage(NamedTuple):
    """The meter, and the URL of each store by its name."""

    meter: Meter
    urls: dict[str, str]

    def settings(self, store: str, **others: object) -> Settings:
        """The settings of a process that uses one of the stores."""
        return Settings(
            bootstrap_servers=self.meter.bootstrap_servers,
            topic_prefix=self.meter.prefix,
            app_id=self.meter.app_id,
            data_dir=self.meter.data_dir,
            database_url=SecretStr(self.urls[store]),
            **others,  # type: ignore[arg-type]
        )

    def engine(self, store: str) -> Engine:
        return open_engine(self.settings(store))

    def run(self, store: str, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """A command, with one of the stores."""
        return self.meter.run(*arguments, database_url=self.urls[store], **settings)

    def project(self) -> None:
        """Bring both stores up to the topics as they are."""
        started = [
            subprocess.Popen(
                [METER, "projector", "rebuild"],
                env=self.meter.environment(database_url=url, web_port=0),
                stderr=subprocess.PIPE, text=True, cwd=self.meter.root,
            )
            for url in self.urls.values()
        ]  # fmt: skip
        for process in started:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said


def play(kafka: str, root: Path) -> Meter:
    """January 2019. A pays and is refunded; B pays late and is stopped meanwhile; M agrees on a month and a price."""
    meter = InProcess(kafka, root, instance_id="worker")
    meter.create("--clock", "simulated").open_worker()
    _submit(meter, "2019-01-01T20:00:00", [
        job(job_id="a1", completed_at=f"2019-01-01T12:00:00{CHINA}"),
        job(job_id="a2", region="ap-tokyo", duration_s="61.5", kinds=["text", "face"],
            completed_at=f"2019-01-01T13:00:00.123456{CHINA}"),
        job(job_id="b1", account_id="B", completed_at=f"2019-01-01T13:00:00{CHINA}"),
        job(job_id=ODD, account_id=ODD, region="eu-frankfurt", duration_s=60, completed_at="2019-01-01T12:00:00Z"),
    ])  # fmt: skip
    told(meter, "topup", "A", "--amount", "100")
    told(meter, "topup", ODD, "--amount", "1")
    told(meter, "contract", "M", "--from", "2019-02-01", "--mode", "monthly", "--price", "*=0.25")
    advance(meter, "2019-01-02T18:00:00")
    _submit(meter, "2019-01-02T18:30:00", [
        job(job_id="a3-late", duration_s=600, completed_at=f"2019-01-01T23:00:00{CHINA}"),
        job(job_id="a4", region="ap-guangzhou", duration_s=1, completed_at=f"2019-01-02T18:20:00{CHINA}"),
    ])  # fmt: skip
    told(meter, "refund", "A", "--bill", A_FIRST, "--ticket", "T-1", "--amount", "1.80")
    told(meter, "adjust", "A", "--amount", "2.50", "--reason", 'a "present", with thanks')
    advance(meter, "2019-01-03T19:00:00")
    told(meter, "topup", "B", "--amount", "16.80", "--command-id", "payment-b")
    _submit(meter, "2019-02-02T10:00:00", [
        job(job_id="m1", account_id="M", region="ap-tokyo", completed_at=f"2019-02-02T09:00:00{CHINA}"),
    ])  # fmt: skip
    advance(meter, "2019-03-01T18:00:00")
    return meter


def _submit(meter: Meter, at: str, jobs: list[dict[str, object]]) -> None:
    """Jobs that are recorded at an instant of the simulated clock."""
    done = meter.run("submit", "-", "--at", f"{at}{CHINA}", given=lines(*jobs))
    assert done.returncode == 0, done.stderr
    meter.wait_folded()
