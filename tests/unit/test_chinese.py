"""What people are told in Chinese: all of it, as a billing department writes it."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Message
from starlette.requests import Request

from meter.commands import HANDLERS
from meter.contracts import Mode
from meter.ledger import Book, Cause
from meter.models import KINDS, JobCompleted, PriceBookCommand
from meter.rejects import Code
from meter.rules import Clock
from streams.http.callers import Role
from streams.http.problems import Problem, api_problem
from streams.http.words import REFUSALS, WORDS, reason, word
from tests.browser.messages import HTTP, actions, catalogue, codes, messages, sentences

#: Words that read oddly to a cloud vendor's billing department, and what it says.
GLOSSARY = {
    "被拒": "异常记录", "风险金额": "待核实金额", "迟到": "补计", "(?<!四)舍入": "尾差", "流水": "收支明细",
    "价格区": "计费地域", "开户": "新建账户", "令牌": "访问密钥", "(?<!操作)审计": "操作审计", "命令": "操作",
    "识别计量": "识别计费", "运营": "管理员", "证明": "核验信息", "从日志验证": "按日志核验", "读模型": "查询库",
    "投影": "同步进度", "(?<!出账)截止": "出账截止时间", "宽限(?!期)": "宽限期", "查看于": "检查时间",
    "预计账单": "预估账单", "付入": "充值金额", "惯用方式": "请通过您平时的付款方式", "这些天": "所选时间段内无用量",
    "没有符合的": "没有符合条件的", "CNY|人民币": "元",
    # One word for one thing.
    "计量": "计费", "[借贷]项单": "通知单", "未付(?!清)": "待支付", "撤销": "退回",
    "(?<!银行)账号": "账户", "请求体": "请求内容", "时差": "时区偏移", "世界协调": "协调世界时",
}  # fmt: skip
#: What is said instead, and what was right.
BETTER = """
    异常记录 待核实金额 补计 尾差 收支明细 计费地域 新建账户 访问密钥 操作审计 识别计费 管理员 核验信息 按日志核验
    查询库 同步进度 出账截止时间 宽限期 检查时间 预估账单 客户充值金额 请通过您平时的付款方式 所选时间段内无用量
    没有符合条件的账户 停服 欠费 账期 协议价
"""
#: Names that are the same in Chinese: of formats, products, fields and commands, and examples.
LATIN = re.compile(
    r"meter token create --role operator|2026-11-24T10:20:30\+08:00|12:00|application/json|CloudEvents|ap-tokyo"
    r"|data_base64|Webhook|\bdata\b|Kafka|ASCII|UTF-8|JSON|CSV|\bID\b|%\(\w+\)s|\{[1-9]\}"
)
CHINESE = "[\u4e00-\u9fff]"
#: ASCII punctuation that has a full-width form; a slash, a hyphen, and the signs within a figure have none.
NARROW = re.compile(r",(?![0-9]{3})|[;:?!()\"'<>\[\]]|\.(?![0-9])|\.\.\.")
SAMPLE = "x1"


def kept() -> list[Message]:
    return [message for message in catalogue("zh") if message.id]


def texts(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (str(message.string),)


def of_prose(text: str) -> str:
    """A text without what is the same in every language."""
    return LATIN.sub("", text).replace("%%", "")


def test_every_message_is_there_in_chinese() -> None:
    found = {(message.context, str(message.id)): message for message in kept()}
    asked = {(message.context, str(message.id)) for message in messages() if message.id}
    assert sorted(key for key in asked if key not in found or not all(texts(found[key]))) == []
    assert sorted(key for key in found if key not in asked) == [], "python -m tests.browser.messages drops them"


def test_chinese_has_full_width_punctuation() -> None:
    assert {
        str(message.id): message.string for message in kept() for t in texts(message) if NARROW.search(of_prose(t))
    } == {}


def test_chinese_has_no_english_left() -> None:
    assert {str(m.id): m.string for m in kept() for t in texts(m) if re.search(r"[A-Za-z]", of_prose(t))} == {}


@pytest.mark.parametrize("odd", GLOSSARY)
def test_chinese_is_as_a_billing_department_writes_it(odd: str) -> None:
    assert [t for m in kept() for t in texts(m) if re.search(odd, t)] == [], f"say {GLOSSARY[odd]}"


def test_the_better_words_are_the_ones_that_are_used() -> None:
    everything = "".join(t for m in kept() for t in texts(m))
    assert [one for one in BETTER.split() if one not in everything] == []


def test_every_code_is_a_sentence_in_chinese() -> None:
    assert sorted(codes() - set(REFUSALS)) == []
    assert [code for code in REFUSALS if not re.search(CHINESE, word("zh", "refusal", code))] == []
    assert [code for code in REFUSALS if not word("zh", "refusal", code).endswith("。")] == []


NAMES: dict[str, list[str]] = {
    "code": list(Code), "cause": list(Cause), "book": list(Book), "kind": list(KINDS), "role": list(Role),
    "clock": list(Clock), "mode": list(Mode), "action": sorted(actions() | set(HANDLERS) - {"tick"}),
    "field": sorted({name for handler in HANDLERS.values() for name in handler.model.model_fields} - {"v", "type"}
                    | {field.alias or name for name, field in JobCompleted.model_fields.items()}
                    | set(PriceBookCommand.model_fields) - {"v"}),
}  # fmt: skip


@pytest.mark.parametrize("what", NAMES)
def test_every_name_of_the_contract_has_its_word(what: str) -> None:
    assert [name for name in NAMES[what] if not re.search(CHINESE, word("zh", what, name))] == []
    assert [name for name in WORDS[what] if not re.search(CHINESE, word("zh", what, name))] == []


@pytest.mark.parametrize("sentence", sorted(sentences()))
def test_what_a_refusal_says_is_told_in_chinese(sentence: str) -> None:
    told = reason("zh", "nothing of the kind", re.sub(r"\{[1-9]\}", SAMPLE, sentence))
    assert told != reason("zh", "nothing of the kind", "")
    assert not re.search(r"[A-Za-z]", of_prose(told.replace(SAMPLE, ""))), told


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("unknown_account", "there is no account 'A': open it first", "账户 A 不存在，请先新建账户。"),
        ("bad_fields", "duration_s: must be a number or a decimal string", "时长（秒）：须为数字。"),
        ("bad_fields", "set.region: Input should be a valid string", "地域：须为文本。"),
        ("not_json", "not JSON: Expecting value: line 1 column 3 (char 2)", "不是有效的 JSON，第 1 行第 3 列有误。"),
        (
            "not_redriven",
            "it would be refused again: unknown_region: region: unknown region 'ap-x'",
            "重新提交仍会失败：地域“ap-x”不存在。",
        ),
        ("unknown_region", "region: unknown region ''", "地域“（空）”不存在。"),
        ("unknown_kind", "kinds: unknown kind 'x'", "识别类型“x”不存在。"),
        (
            "bad_duration",
            "duration_s: must be more than 0 and at most 31536000 seconds, got '0'",
            "时长（秒）：须大于 0 且不超过 31,536,000 秒，实际为“0”。",
        ),
        ("bad_fields", "what nobody has said yet", "有字段缺失或填写有误。"),
        ("of another version", "what nobody has said yet", "请求未被受理。"),
    ],
)
def test_a_refusal_says_what_it_is_about(code: str, said: str, told: str) -> None:
    assert reason("zh", code, said) == told
    assert reason("en", code, said) == said


class Shown(HTMLParser):
    """The texts of a template that a reader sees as they are: outside of expressions, and not of what is code."""

    SEEN = ("aria-label", "title", "placeholder", "alt")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in {"code", "script"}
        self.found += [value for name, value in attrs if name in self.SEEN and value]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in {"code", "script"}

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.found.append(data)


SAME = {"CSV", "JSON", "SHA-256", "mtr_…", "* = 0.25\nap-tokyo = 0.30"}


def test_templates_say_nothing_but_by_the_catalogue() -> None:
    said = {}
    for path in sorted((HTTP / "console" / "templates").glob("*.html")):
        bare = re.sub(r"{% trans.*?{% endtrans %}|{#.*?#}|{{.*?}}|{%.*?%}", "", path.read_text(), flags=re.DOTALL)
        reader = Shown()
        reader.feed(bare)
        if words := [
            text
            for text in _words(reader.found)
            if text not in {"CSV", "JSON", "SHA-256", "* = 0.25\nap-tokyo = 0.30", "mtr_…"}
        ]:
            said[path.name] = words
    assert said == {}


def _words(found: list[str]) -> Iterator[str]:
    return (text.strip() for text in found if re.search(r"[A-Za-z]{2,}", text))


HEADING = re.compile(r'<th scope="col"[^>]*>\{\{ (?:_|pgettext)\((?:"([^"]*)", )?"([^"]*)"\) \}\}')


def test_no_column_is_headed_by_a_unit_or_by_what_it_counts() -> None:
    """On a phone the heading stands before each figure: 元 12.04 and 任务 3 are no Chinese."""
    kept = catalogue("zh")
    bare = {"元", "元/分钟", "任务", "记录"}
    found = {
        (path.name, kept.get(name, context or None).string)  # type: ignore[union-attr]
        for path in (HTTP / "console" / "templates").glob("*.html")
        for context, name in HEADING.findall(path.read_text())
    }
    assert len(found) > 60
    assert sorted(each for each in found if each[1] in bare) == []


def test_messages_wait_for_delivery_and_records_for_their_price() -> None:
    kept = catalogue("zh")
    assert [kept.get("Waiting", context).string for context in (None, "messages")] == [  # type: ignore[union-attr]
        "待计费",
        "待推送",
    ]


@pytest.mark.parametrize(
    ("asked", "tag", "detail", "message"),
    [
        ("zh-CN,zh;q=0.9", "zh-Hans", "地域：须为文本。", "须为文本。"),
        ("fr", "en", "region: Input should be a valid string", "Input should be a valid string"),
    ],
)
def test_the_api_says_what_is_wrong_in_the_language_that_is_asked_for(
    asked: str, tag: str, detail: str, message: str
) -> None:
    errors = [{"code": "bad_fields", "field": "region", "message": "Input should be a valid string"}]
    text = "region: Input should be a valid string"
    request = Request({"type": "http", "headers": [(b"accept-language", asked.encode())]})
    answer = api_problem(request, Problem(422, "bad_fields", text, errors=errors))
    said = json.loads(bytes(answer.body))
    assert (answer.headers["Content-Language"], answer.headers["Vary"]) == (tag, "Accept-Language")
    assert (said["code"], said["title"], said["status"]) == ("bad_fields", "Unprocessable Content", 422)
    assert said["errors"] == [{"code": "bad_fields", "field": "region", "message": message}]
    assert said["detail"] == detail
