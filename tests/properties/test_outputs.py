"""The fold writes its outputs by hand: they are the bytes that the pydantic models write of the same content."""

import base64
import json
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meter import topics
from meter.models import KINDS, CommandResult, DayTotal, Header, Origin, PricedJob, Rejected, Source
from meter.outputs import account_texts, json_text, rejected_value, total_key, total_value
from meter.prices import PriceBook, PriceBooks
from meter.records import ORIGIN_HEADER
from meter.regions import REGION_CODES, ZONE_OF, ZONES
from meter.rejects import Code, Refusal
from meter.rollup import Total
from meter.rules import Rules
from tests.builders import NOON_MS, Partition, completion, encode, results_of

AWKWARD = ['"', "\\", "/", "\x00", "\x1f", "\x7f", "\b\f\n\r\t", "\u2028\u2029", "\ufeff", "😀", "é", "</script>", "'"]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=6).map("".join),
)
RULES = Rules(meter_id="test", partitions=1)
origins = st.one_of(
    st.none(), st.builds(Origin, topic=texts, partition=st.integers(0, 1023), offset=st.integers(0, 2**62))
)
book_prices = st.decimals(0, 999_999, places=8, allow_nan=False, allow_infinity=False)
sources = st.builds(
    Source,
    topic=st.sampled_from(topics.INPUTS),
    partition=st.integers(0, 1023),
    offset=st.integers(0, 2**62),
    timestamp=st.integers(0, 2**53),
)


@settings(max_examples=400, deadline=None)
@given(
    texts,
    texts,
    st.sampled_from(sorted(REGION_CODES)),
    st.sets(st.sampled_from(KINDS), min_size=1),
    st.integers(1, 31_536_000_000),
    origins,
    st.tuples(texts, book_prices),
    st.integers(0, 2**40),
)
@example('"\\\u2028😀\x00', "\x1f'", "Tokyo", {"face"}, 1, None, ("\x7f", Decimal("0E-8")), 0)
def test_priced_jobs_are_what_the_model_writes(
    job_id: str,
    account_id: str,
    region: str,
    kinds: set[str],
    duration_ms: int,
    origin: Origin | None,
    book: tuple[str, Decimal],
    offset: int,
) -> None:
    version, price = book
    partition = Partition(RULES)
    partition.state.terms.books = PriceBooks(
        (PriceBook(version, "2026-01-01", tuple((zone, price) for zone in ZONES)),)
    )
    partition.state.position.next[topics.REROUTED] = offset
    value = completion(
        job_id=job_id,
        account_id=account_id,
        region=region,
        kinds=sorted(kinds, reverse=True),
        duration_s=f"{Decimal(duration_ms).scaleb(-3):f}",
    )
    headers = () if origin is None else ((ORIGIN_HEADER, origin.model_dump_json().encode()),)
    step = partition.fold(value, topic=topics.REROUTED, headers=headers)

    minutes = -(-duration_ms // 60_000)
    wanted = PricedJob(
        job_id=job_id,
        account_id=account_id,
        region=REGION_CODES[region],
        kinds=tuple(sorted(kinds)),
        completed_at="2026-01-01T12:00:00+08:00",
        day="2026-01-01",
        duration_s=duration_ms,
        minutes=minutes,
        unit_price=price,
        amount=price * minutes,
        price_version=version,
        source=Source(topic=topics.REROUTED, partition=0, offset=offset, timestamp=NOON_MS),
        origin=origin,
    )
    assert step.outputs.priced == [(account_id.encode(), wanted.canonical())]
    assert PricedJob.read(step.outputs.priced[0][1]) == wanted


@settings(max_examples=300, deadline=None)
@given(
    texts,
    st.sampled_from(sorted(ZONE_OF)),
    st.dates(),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.decimals(0, 10**30, places=8),
)
def test_daily_totals_are_what_the_model_writes(
    account: str, region: str, day: Any, jobs: int, minutes: int, amount: Decimal
) -> None:
    key = (account, region, day.isoformat())
    wanted = DayTotal(
        account_id=account,
        region=region,
        day=key[2],
        jobs=jobs,
        minutes=minutes,
        amount=amount,
    )
    assert total_value(key, Total(jobs, minutes, amount)) == wanted.canonical()
    assert total_key(key) == json.dumps(key, ensure_ascii=False, separators=(",", ":")).encode()


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(Code),
    texts,
    st.none() | texts,
    st.none() | st.decimals(0, 10**12, places=8),
    st.none() | st.binary(max_size=50),
    st.none() | st.binary(max_size=50),
    st.lists(st.tuples(texts, st.none() | st.binary(max_size=10)), max_size=3),
    sources,
)
def test_rejects_are_what_the_model_writes(
    code: Code,
    message: str,
    account_id: str | None,
    amount: Decimal | None,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    source: Source,
) -> None:
    def base64_of(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    wanted = Rejected(
        code=code,
        message=message,
        account_id=account_id,
        amount_at_risk=amount,
        currency=None if amount is None else "CNY",
        key=base64_of(key),
        record=base64_of(value),
        headers=tuple(Header(key=name, value=base64_of(data)) for name, data in headers),
        source=source,
    )
    refusal = Refusal(code, message, account_id)
    written = rejected_value(refusal, amount_at_risk=amount, key=key, value=value, headers=headers, source=source)
    assert written == wanted.canonical()
    assert Rejected.read(written) == wanted


@settings(deadline=None)
@given(texts)
def test_text_is_written_as_pydantic_writes_it(text: str) -> None:
    source = Source(topic="t", partition=0, offset=0, timestamp=0)
    canonical = CommandResult(command_id=text, partition=0, status="done", source=source).canonical()
    assert f'"command_id":{json_text(text)},'.encode() in canonical
    assert json.loads(json_text(text)) == text
    assert account_texts(text) == (text.encode(), json_text(text))


ORDER = {
    "priced": "v job_id account_id region kinds completed_at day duration_s minutes unit_price amount currency "
    "price_version source origin",
    "daily": "v account_id region day jobs minutes amount currency",
    "rejected": "v code message account_id job_id amount_at_risk currency key record headers source",
    "results": "v command_id partition status code message digest source",
}


def test_the_fields_come_in_the_order_of_the_contract() -> None:
    origin = encode({"topic": topics.COMPLETED, "partition": 3, "offset": 9})
    partition = Partition(RULES)
    step = partition.fold(
        completion(), completion(duration_s=1), topic=topics.REROUTED, headers=((ORIGIN_HEADER, origin),)
    )
    answer = partition.fold(b'{"command_id":"c","type":"dance"}', topic=topics.COMMANDS)
    assert results_of(answer)[0].code == "unknown_command"
    written = {
        "priced": step.outputs.priced[0][1],
        "daily": next(iter(step.daily()))[1],
        "rejected": step.outputs.rejected[0][1],
        "results": answer.outputs.results[0][1],
    }
    assert {name: " ".join(json.loads(value)) for name, value in written.items()} == ORDER
    assert not any(b" " in value for name, value in written.items() if name in {"priced", "daily"})
