"""A meter with some history for the store to tell: bills, arrears, a stop and its end, refunds, contracts, refusals."""

import json

from tests.integration.running import Meter, job, lines
from tests.recount.billing import bill_id_of
from tests.recount.placement import owner

CHINA = "+08:00"
ODD = "x'\"/<script>\0\uf8ff😀%_"
CONTRACTED = "harbour news/北京"


def advance(meter: Meter, to: str) -> None:
    done = meter.run("clock", "advance", "--to", f"{to}{CHINA}")
    assert done.returncode == 0, done.stderr


def account(meter: Meter, *arguments: str, refused: bool = False) -> None:
    done = meter.run("account", *arguments)
    assert done.returncode == int(refused), done.stderr


def submit(meter: Meter, at: str, *jobs: dict[str, object]) -> None:
    done = meter.run("submit", "-", "--at", f"{at}{CHINA}", given=lines(*jobs))
    assert done.returncode == 0, done.stderr


def set_stage(meter: Meter) -> None:
    """Three days of five accounts; it ends in the evening of 2019-01-03. A worker must run."""
    account(meter, "open", "A", "--at", f"2019-01-01T08:00:00{CHINA}")
    account(meter, "topup", "A", "--amount", "20", "--command-id", "payment-1")
    account(meter, "limit", "A", "--below", "5")
    account(meter, "open", "A", refused=True)
    _payment_of_another_amount(meter)
    account(
        meter, "contract", CONTRACTED, "--from", "2019-02-01", "--mode", "monthly", "--price", "*=0.30",
        "--price", "ap-tokyo=0.12345678", "--grace-hours", "72",
    )  # fmt: skip
    account(meter, "contract", CONTRACTED, "--from", "2019-03-01", "--mode", "monthly")
    _publish_book(meter)
    noon = f"2019-01-01T12:00:00{CHINA}"
    regions = ("Mainland China", "ap-tokyo", "na-ashburn")
    jobs = [
        job(job_id=f"job-{number}", account_id=name, region=region, kinds=kinds, duration_s=61.5 * number + 1,
            completed_at=noon)
        for name in ("A", "B", ODD, CONTRACTED, "empty-handed")
        for number, (region, kinds) in enumerate(zip(regions, (["face"], ["text", "face"], ["speech"]), strict=True))
    ]  # fmt: skip
    jobs.append(job(job_id="an hour", account_id="A", completed_at=noon))
    submit(meter, "2019-01-01T12:30:00", *jobs, *jobs[:3])  # the last three once more: duplicates
    meter.wait_folded()  # else what is rerouted could overtake the job that it is a conflict with
    _refusals(meter, noon)
    advance(meter, "2019-01-02T18:00:00")
    submit(meter, "2019-01-02T18:30:00", job(job_id="late", account_id="A", completed_at=noon),
           job(job_id="put right", account_id="B", completed_at=noon))  # fmt: skip
    account(meter, "refund", "A", "--bill", "B20190101-559aead08264d579", "--ticket", "T-1", "--amount", "1.5")
    account(meter, "adjust", "A", "--amount", "-0.50", "--reason", "booked twice")
    advance(meter, "2019-01-03T18:00:00")
    account(meter, "topup", "B", "--amount", "100", "--command-id", "payment-b")
    _corrections(meter)
    meter.wait_folded()


def _corrections(meter: Meter) -> None:
    """Notes of every kind, a bill that is credited whole while it is open, and what is not to begin."""
    account(meter, "charge", "B", "--amount", "1.50", "--reason", ODD)
    account(meter, "reverse", "B", "--topup", "payment-b")
    account(meter, "reverse", "B", "--topup", "payment-b", refused=True)
    account(meter, "credit", "B", "--bill", bill_id_of("B", "2019-01-01"), "--line", "1", "--amount", "0.10",
            "--reason", "a gift")  # fmt: skip
    for line, amount in (("1", "0.28"), ("2", "0.63"), ("3", "0.93")):  # 0.28 + 0.6272 + 0.924, payable 1.83
        account(meter, "credit", ODD, "--bill", bill_id_of(ODD, "2019-01-01"), "--line", line, "--amount", amount,
                "--reason", "never ran", refused=line == "3")  # fmt: skip
    account(meter, "credit", ODD, "--bill", bill_id_of(ODD, "2019-01-01"), "--line", "3", "--amount", "0.92",
            "--reason", "never ran")  # fmt: skip
    account(meter, "contract", "A", "--from", "2127-01-01", "--command-id", "a typo")
    account(meter, "withdraw", "A", "--contract", "a typo")
    _publish_book(meter, "2127")
    done = meter.run("prices", "withdraw", "2127-02")
    assert done.returncode == 0, done.stderr


def _payment_of_another_amount(meter: Meter) -> None:
    """By a program that does not look whether the id was used: it gets the same answer, and no money."""
    (first,) = [row for row in meter.rows("meter.commands") if row["command_id"] == "payment-1"]
    value = json.dumps(first | {"amount": "999"}).encode()
    record = {"value": value, "key": b"payment-1", "timestamp": 1546300800000}  # 2019-01-01T08:00+08:00
    meter.produce("meter.commands", record | {"partition": owner("A", meter.partitions)})
    meter.wait_folded()


def _publish_book(meter: Meter, year: str = "2019") -> None:
    zones = json.loads(meter.run("prices", "show", "--json").stdout)["books"][0]["prices"]
    book = {"version": f"{year}-02", "effective_from": f"{year}-02-01", "prices": dict.fromkeys(zones, "0.31")}
    path = meter.root / "book.json"
    path.write_text(json.dumps(book))
    done = meter.run("prices", "publish", str(path))
    assert done.returncode == 0, done.stderr


def _refusals(meter: Meter, noon: str) -> None:
    """Refused records of several kinds, one of which is put right later."""
    stamp = 1546317000000  # 2019-01-01T12:30+08:00
    bad = [
        b"\xff\0 no JSON",
        json.dumps(job(account_id="A", kinds=["smell"], completed_at=noon)).encode(),
        json.dumps(job(account_id="A", job_id="an hour", duration_s=7200, completed_at=noon)).encode(),
        json.dumps(job(account_id="B", job_id="put right", kinds=["smell"], completed_at=noon)).encode(),
        json.dumps(job(account_id=ODD, region="Atlantis", completed_at=noon)).encode(),
    ]
    records = [
        {"value": value, "key": key, "timestamp": stamp, "headers": [("h", b"\xff")]}
        for value, key in zip(bad, (None, b"A", b"A", b"B", ODD.encode()), strict=True)
    ]
    meter.produce("recognition.jobs.completed", *records)
    meter.produce("meter.commands", {"value": b"\xff\0{", "key": b"?", "timestamp": stamp, "partition": 0})
    meter.wait_folded()
