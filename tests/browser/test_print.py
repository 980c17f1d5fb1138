"""A bill on paper: Chromium prints it to PDF, and the PDF's text is read back."""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader
from sqlalchemy import insert

from meter.money import decimal_text
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from streams.store.schema import bill, bill_line
from tests.api.serving import Api
from tests.browser.looking import Visitors
from tests.browser.stage import Stage
from tests.unit.test_console import fill_one_account

PARTIES = """
[issuer]
name = "示例云计算有限公司"
tax_number = "91110000000000000X"
address = "北京市海淀区示例路 1 号"
bank = "示例银行北京分行"
bank_account = "0200 1234 5678"

[customers."A"]
name = "星光视频（北京）有限公司"
tax_number = "91110000MA00000000"
"""
#: Letters that a PDF names by their radicals.
RADICALS = str.maketrans({"\u2ea0": "民", "\u2ec6": "角", "\u2ed3": "长", "\u6236": "户"})
#: So many lines that the sums would stand alone on a page for some of them, whatever fits on one.
LENGTHS = (3, 13, 14, 15, 16, 17, 18, 90)


def bill_id(length: int) -> str:
    return f"B201901-{length:016}"


@pytest.fixture(scope="module")
def printer(stage: Stage, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    """Whoever looks at bills of some lengths."""
    folder = tmp_path_factory.mktemp("print")
    parties = folder / "parties.toml"
    parties.write_text(PARTIES)
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder, parties_file=parties)
    engine = open_engine(settings)
    migrate(engine)
    with writing(engine) as connection:
        fill_one_account(connection, "A")
        for position, length in enumerate(LENGTHS):
            lines = lines_of(length)
            connection.execute(insert(bill).values(bill_of(length, position)))
            connection.execute(insert(bill_line), lines)
    engine.dispose()
    with Api(settings, console=True) as api, Visitors(stage, browser, api.url) as them:
        yield them


def lines_of(length: int) -> list[dict[str, object]]:
    return [
        {"bill_id": bill_id(length), "line": line, "account_id": "A", "kind": "usage", "region": "ap-tokyo",
         "day": f"2019-01-{line % 31 + 1:02}", "jobs": 1, "minutes": 60, "unit_price": Decimal("0.34"),
         "amount": Decimal("20.40"), "original_bill_id": None}
        for line in range(length)
    ]  # fmt: skip


def bill_of(length: int, position: int) -> dict[str, object]:
    total = Decimal("20.40") * length
    published = {
        "v": 1, "bill_id": bill_id(length), "account_id": "A", "period": "2019-01", "mode": "monthly", "lines": [],
        "total": decimal_text(total), "payable": decimal_text(total), "rounding": "0.00", "currency": "CNY",
        "issued_at": "2019-02-01T12:00:00+08:00",
        "proof": {"journal": {"partition": 0, "from": 1, "to": 9}, "cut": "2019-02-01T12:00:00+08:00",
                  "prices_hash": "h", "rules_version": 1, "meter_version": "1"},
    }  # fmt: skip
    return {
        "bill_id": bill_id(length), "partition": 0, "position": position, "account_id": "A", "period": "2019-01",
        "mode": "monthly", "total": total, "payable": total, "rounding": Decimal("0.00"),
        "issued_at": datetime(2019, 2, 1, 4, tzinfo=UTC), "lines": length, "value": json.dumps(published),
    }  # fmt: skip


def printed(printer: Visitors, length: int, language: str) -> list[str]:
    """The text of each page, without blanks, and with letters in the one form that stands for all."""
    page = printer.somebody(language=language, scheme="dark")
    page.goto(f"/console/bills/{bill_id(length)}/print")
    pages = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True))).pages
    return [re.sub(r"\s", "", unicodedata.normalize("NFKC", each.extract_text())).translate(RADICALS) for each in pages]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_page_has_the_heads_and_sums_are_with_the_last_lines(printer: Visitors, length: int) -> None:
    pages = printed(printer, length, "zh-CN")
    with_lines = [page for page in pages if "东京" in page]
    assert sum(page.count("东京") for page in pages) == length
    assert all("内容识别日期用量(分钟)单价(元/分钟)金额(元)" in page for page in with_lines)
    (with_sum,) = [page for page in pages if "大写金额" in page]
    assert with_sum.count("东京") >= 3
    assert "应付(元)" in with_sum
    assert len(pages) == len(with_lines)


def test_a_long_bill_takes_more_pages_than_one(printer: Visitors) -> None:
    assert len(printed(printer, 90, "zh-CN")) >= 3


def test_a_bill_names_issuer_customer_and_the_amount_in_capitals(printer: Visitors) -> None:
    (text,) = printed(printer, 3, "zh-CN")
    for said in (
        "示例云计算有限公司", "91110000000000000X", "北京市海淀区示例路1号", "示例银行北京分行", "020012345678",
        "星光视频(北京)有限公司", "91110000MA00000000", "本账单不是发票。", "大写金额人民币陆拾壹元贰角", "61.20",
    ):  # fmt: skip
        assert said in text, said
    (english,) = printed(printer, 3, "en-GB")
    for said in (
        "Thisbillisnota发票(taxinvoice).",
        "人民币陆拾壹元贰角",
        "Issuer示例云计算有限公司",
        "Payable,CNY61.20",
    ):
        assert said in english, said
