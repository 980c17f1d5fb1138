"""A key that stands twice in an object: of two amounts nobody can say which is meant, so neither is taken."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from meter import topics
from meter.commands import command_digest
from meter.keys import repeats_a_key
from meter.rules import Clock, Rules
from streams.cli import main
from streams.completions.redrive import Kept, Resend, prepare, read_changes
from streams.errors import Exit, SettingError
from streams.http.bodies import read_json
from streams.http.ingest import EVENT as EVENT_TYPE
from streams.http.ingest import EVENTS, PLAIN, check_items, read_items
from streams.http.problems import Problem
from streams.published.read import PartitionOffset
from streams.store.decode import OutwardRecord, command_row
from tests.builders import NOON_MS, Headers, Partition, completion, price_book, priced_of, rejects_of, results_of
from tests.recount.count import PartitionCount, Record
from tests.recount.rules import NotMetered, read

TYPE = "recognition.job.completed.v1"
BINARY = (("ce_specversion", b"1.0"), ("ce_type", TYPE.encode()))
WHOLE = json.dumps(completion())
EVENT = {"specversion": "1.0", "id": "e", "source": "/s", "type": TYPE}
TOP_UP = {
    "v": 1, "command_id": "c", "type": "top_up", "issued_at": "2026-01-01T12:00:00+08:00", "account_id": "A",
    "amount": "5.00",
}  # fmt: skip


def with_more(document: Any, more: str) -> bytes:
    """A document with further keys, as they are written."""
    text = document if isinstance(document, str) else json.dumps(document)
    return f"{text[:-1]},{more}}}".encode()


def event(data: str) -> str:
    return f'{json.dumps(EVENT)[:-1]},"data":{data}}}'


LONGER = with_more(WHOLE, '"duration_s":1')
TWICE: list[tuple[bytes, Headers]] = [
    (with_more(WHOLE, '"duration_s":3600'), ()),
    (with_more(WHOLE, '"duration_s": 1'), ()),
    (with_more(WHOLE, '"duration_s" \n\t: 1'), ()),
    (with_more(WHOLE, '"\\u0064uration_s":1'), ()),
    (with_more(WHOLE, '"kinds":["face"]'), ()),
    (with_more(WHOLE, '"job_id":"job-2"'), ()),
    (with_more(WHOLE, '"account_id":"B"'), ()),
    (with_more(WHOLE, '"x":1,"x":1'), ()),
    (with_more(WHOLE, '"":1,"":1'), ()),
    (with_more(WHOLE, '"x":{"a":[{"b":1,"c":{},"b":1}]}'), ()),
    (with_more(WHOLE, '"x":"{","\\"":1,"\\u0022":2'), ()),
    (with_more(WHOLE, '"é":1,"\\u00e9":2'), ()),
    (with_more(json.dumps(completion(duration_s="60", kinds=["face", "face"])), '"region":"ap-tokyo"'), ()),
    (with_more(WHOLE, '"duration_s":1'), BINARY),
    (with_more(event(WHOLE), '"type":"other"'), ()),
    (with_more(event(WHOLE), f'"data":{WHOLE}'), ()),
    (event(with_more(WHOLE, '"duration_s":1').decode()).encode(), ()),
    (with_more(EVENT, f'"data_base64":"{base64.b64encode(LONGER).decode()}"'), ()),
]

ONCE = [
    (with_more(WHOLE, '"x":{"job_id":1,"x":{"x":1}},"y":[{"a":1},{"a":1}]'), ()),
    (with_more(WHOLE, '"x":"\\"duration_s\\":1,\\"duration_s\\":2"'), ()),
    (with_more(WHOLE, '"Duration_s":1,"duration_s ":2'), ()),
    (with_more(WHOLE, '"é":1,"e\\u0301":2'), ()),
    (with_more(WHOLE, '"n":1e400,"m":' + "9" * 5000), ()),
    (json.dumps(completion(), indent=2).encode(), ()),
    (event(WHOLE).encode(), ()),
]


@pytest.mark.parametrize(("value", "headers"), TWICE)
def test_a_completion_with_a_key_twice_is_refused_and_counted_so_by_whoever_recounts(
    value: bytes, headers: Headers
) -> None:
    (reject,) = rejects_of(Partition().fold(value, headers=headers))
    assert (reject.code, "more than once" in reject.message) == ("duplicate_key", True)
    with pytest.raises(NotMetered, match="duplicate_key"):
        read(value, list(headers))


@pytest.mark.parametrize(("value", "headers"), ONCE)
def test_the_same_key_in_two_objects_or_in_a_text_is_no_such_thing(value: bytes, headers: Headers) -> None:
    assert not repeats_a_key(value)
    (job,) = priced_of(Partition().fold(value, headers=headers))
    assert job.amount == "16.80"
    assert read(value, list(headers)).duration_ms == 3_600_000


def test_what_is_clear_of_a_refused_record_is_kept() -> None:
    (reject,) = rejects_of(Partition().fold(with_more(WHOLE, '"duration_s":1')))
    assert (reject.account_id, reject.job_id, reject.amount_at_risk) == ("A", "job-1", None)
    (reject,) = rejects_of(Partition().fold(with_more(WHOLE, '"account_id":"B"')))
    assert (reject.account_id, reject.job_id, reject.amount_at_risk) == (None, "job-1", "16.80")
    (reject,) = rejects_of(Partition().fold(event(with_more(WHOLE, '"x":1,"x":1').decode()).encode()))
    assert (reject.account_id, reject.job_id, reject.amount_at_risk) == ("A", "job-1", "16.80")


@pytest.mark.parametrize(("nested", "code"), [(b'{"a":1,"a":', "not_json"), (b'{"a":1,"a":NaN}', "not_json")])
def test_what_is_no_json_is_that_first(nested: bytes, code: str) -> None:
    (reject,) = rejects_of(Partition().fold(nested))
    assert reject.code == code


def test_a_record_with_a_key_twice_can_be_sent_again_where_that_key_is_corrected() -> None:
    (reject,) = rejects_of(Partition().fold(with_more(WHOLE, '"duration_s":1')))
    where = PartitionOffset(0, 0)
    assert isinstance(prepare(where, reject, {}, 1), Kept)
    other = prepare(where, reject, {"region": b'"ap-tokyo"'}, 1)
    assert isinstance(other, Kept)
    assert "duration_s" in other.reason
    assert isinstance(prepare(where, reject, {"duration_s": b'"3600"'}, 1), Resend)


@pytest.mark.parametrize(
    ("value", "command_id"),
    [
        (with_more(TOP_UP, '"amount":"500.00"'), "c"),
        (with_more(TOP_UP, '"amount":"5.00"'), "c"),
        (with_more(TOP_UP, '"\\u0061mount":"500.00"'), "c"),
        (with_more(TOP_UP, '"type":"adjustment"'), "c"),
        (with_more(TOP_UP, '"account_id":"B"'), "c"),
        (with_more(TOP_UP, '"command_id":"d"'), ""),
        (with_more(TOP_UP, '"note":{"a":1,"a":2}'), "c"),
        (with_more(TOP_UP | {"command_id": 72}, '"amount":"5.00"'), ""),  # a number is not the id "72"
        (with_more(TOP_UP, '"\\ud800":1,"amount":"5.00"'), "c"),
        (with_more(TOP_UP, '"account_id":7'), "c"),
        (with_more(price_book(), '"prices":{}'), "command-1"),
        (json.dumps(price_book()).replace('": "0.56"', '": "0.56", "Mainland China": "5.6"').encode(), "command-1"),
    ],
)
def test_a_command_with_a_key_twice_is_refused_under_its_id(value: bytes, command_id: str) -> None:
    partition = Partition()
    (result,) = results_of(partition.fold(value, topic=topics.COMMANDS))
    assert (result.code, result.command_id) == ("duplicate_key", command_id)
    count = PartitionCount(0, 1)
    count.fold([Record(topics.COMMANDS, 0, 0, NOON_MS, value)])
    ((_, recounted, answer),) = count.commands.answers
    assert (answer.code, recounted, answer.account_id) == (result.code, command_id, result.account_id)
    if command_id == "c":
        (after,) = results_of(partition.fold(TOP_UP, topic=topics.COMMANDS))
        assert after.code == "id_reused"
        assert command_digest(value) != command_digest(json.dumps(TOP_UP).encode())


@pytest.mark.parametrize("body", [b'{"amount":"1","amount":"2"}', b'{"a":[{"b":1,"\\u0062":1}]}'])
def test_a_body_with_a_key_twice_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_json(body)
    assert (refused.value.status_code, refused.value.code) == (400, "duplicate_key")


@pytest.mark.parametrize(("kind", "status"), [(PLAIN, 400), (EVENT_TYPE, 400), (EVENTS, 422)])
async def test_completions_by_http_with_a_key_twice_are_refused(kind: str, status: int) -> None:
    document = LONGER if kind == PLAIN else event(LONGER.decode()).encode()
    items = read_items(kind, [], document if kind != EVENTS else b"[" + document + b"," + document + b"]")
    with pytest.raises(Problem) as refused:
        await check_items(items, Rules(meter_id="m", clock=Clock.SIMULATED))
    assert refused.value.status_code == status
    assert {error["code"] for error in refused.value.extra["errors"]} == {"duplicate_key"}


def test_a_price_file_with_a_key_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "book.json"
    file.write_text('{"version": "1", "prices": {"Mainland China": "0.1", "Mainland China": "0.2"}}')
    assert main(["prices", "publish", str(file)]) == Exit.WRONG_SETTING
    assert "'Mainland China' stands in an object more than once" in capsys.readouterr().err


def test_a_correction_that_is_given_twice_is_refused() -> None:
    with pytest.raises(SettingError, match="more than once"):
        read_changes(["duration_s=1", "duration_s=2"])


def test_the_read_model_shows_of_a_command_what_is_clear() -> None:
    row = command_row(OutwardRecord(0, 7, b"c", with_more(TOP_UP, '"account_id":"B"'), NOON_MS))
    assert row[2:5] == ("c", "top_up", None)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["account", "topup", "A", "5", "--command-id", "a", "--command-id", "b"], "--command-id"),
        (["quote", "--region", "Tokyo", "--duration=1", "--duration", "2"], "--duration"),
        (["totals", "--account=A", "--account=B"], "--account"),
    ],
)
def test_an_option_that_is_given_twice_is_refused(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Exit.WRONG_SETTING
    assert capsys.readouterr().err == f"meter: {name} is given more than once: which is meant?\n"


def test_options_that_may_come_again_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejects", "redrive", "0:0", "--set", "x=1", "--set", "y=2"]) == Exit.WRONG_SETTING
    assert "takes field=value" in capsys.readouterr().err
