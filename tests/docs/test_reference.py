"""The reference pages say what the product does: commands, options, settings, metrics, exit codes, the contract."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meter import topics
from meter.billing_models import AccountCommand, AccountService, BillIssued, LedgerEntry, NoteIssued, Notice
from meter.commands import HANDLERS
from meter.intake import read_carefully
from meter.journal import JournalStep
from meter.models import CommandResult, DayTotal, JobCompleted, PriceBookCommand, PricedJob, Rejected
from meter.prices import BUILT_IN
from meter.regions import REGIONS
from meter.rejects import FINAL_CODES, Code, Refusal
from meter.rules import Rules
from streams.errors import Exit
from streams.http.measures import HttpMeasures as Api
from streams.kafka.specs import DAY_MS, FOR_EVER, SPECS
from streams.observe.metrics import Metrics
from streams.settings import PREFIX, Settings
from streams.store.measures import ProjectorMeasures as Projector
from streams.webhooks.measures import WebhookMeasures as Sender
from tests.docs.markdown import blocks, rows, section
from tests.whole_cli import whole_cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MODELS: dict[str, Any] = {
    "usage.priced": PricedJob,
    "usage.daily": DayTotal,
    "usage.rejected": Rejected,
    "meter.command-results": CommandResult,
    "billing.bills": BillIssued,
    "billing.notes": NoteIssued,
    "billing.ledger": LedgerEntry,
    "billing.notices": Notice,
    "account.service": AccountService,
    "meter.commands": PriceBookCommand,
}


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def first_cells(text: str) -> set[str]:
    return {name.strip() for row in rows(text) for name in row[0].split(",")}


def json_blocks(text: str) -> list[str]:
    return [block.text for block in blocks(text) if block.language == "json"]


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command of the CLI, with its long options."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, set[str]]]:
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            yield path, {name for name in options if name.startswith("--")}
        for name, child in (inner or {}).items():
            yield from walk(child, f"{path} {name}")

    return walk(whole_cli(), "meter")


COMMANDS = dict(commands())


def test_every_command_has_its_section_and_no_section_is_of_none() -> None:
    headings = re.findall(r"^### `(meter [a-z ]+)`$", page("commands.md"), re.MULTILINE)
    assert len(headings) > 10
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_section(path: str) -> None:
    text = section(page("commands.md"), f"`{path}`")
    assert set(re.findall(r"--[a-z-]+", re.sub(r"```.*?```", "", text, flags=re.DOTALL))) == COMMANDS[path]


@pytest.mark.parametrize("name", ["README.md", *(str(path.relative_to(ROOT)) for path in sorted(DOCS.glob("**/*.md")))])
def test_commands_that_a_page_speaks_of_exist(name: str) -> None:
    groups = {path.rsplit(" ", 1)[0] for path in COMMANDS}
    text = (ROOT / name).read_text("utf-8")
    spoken_of = re.findall(r"[`$] ?(meter [a-z]+(?: [a-z]+)?)", text.replace("$ ", "$"))
    for words in spoken_of:
        short = " ".join(words.split()[:2])
        assert words in COMMANDS or short in COMMANDS or (words == short and short in groups), words


def test_the_table_of_settings_is_that_of_the_settings() -> None:
    table = section(page("operating.md"), "Settings")
    found = {row[0]: row[1] for row in rows(table) if row[0].startswith(PREFIX)}
    real = {f"{PREFIX}{name.upper()}": str(field.default or "none") for name, field in Settings.model_fields.items()}
    assert found == real


@pytest.mark.parametrize("name", ["commands.md", "operating.md"])
def test_exit_codes_are_all_there(name: str) -> None:
    codes = {row[0] for row in rows(page(name)) if row[0].isdigit()}
    worker = {Exit.OK, Exit.WRONG_SETTING, Exit.REFUSES, Exit.FENCED, Exit.BROKER_LOST, Exit.STEP_FAILED, Exit.NO_ROOM}
    wanted = worker if name == "operating.md" else {*Exit, 130}
    assert codes == {str(int(code)) for code in wanted}


def test_every_metric_is_explained_and_no_other() -> None:
    table = section(page("operating.md"), "Health, metrics, logs")
    explained = set(re.findall(r"`(meter_[a-z_]+)", "\n".join(line for line in table.splitlines() if line[0:1] == "|")))
    real = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in Metrics().registry.collect()
    }
    assert explained == real


def test_every_metric_of_the_other_processes_is_explained_and_no_other() -> None:
    first = "\n".join(row[0] for row in rows(page("operating.md")))
    explained = set(re.findall(r"meter_(?:project|webhook|http)[a-z_]*", first))
    kept = [metric for work in (Projector, Sender, Api) for metric in work().registry.collect()]
    assert explained == {f"{each.name}_total" if each.type == "counter" else each.name for each in kept}


def test_the_topics_are_those_that_are_created() -> None:
    table = {row[0]: row for row in rows(section(page("contract.md"), "Topics"))}
    for spec in SPECS:
        kept = "compacted" if spec.compact else "for ever" if spec.retention_ms == FOR_EVER else "400 days"
        assert table.pop(spec.name)[3].startswith(kept), spec.name
        assert spec.compact or spec.retention_ms in (FOR_EVER, 400 * DAY_MS)
    assert [name for name in table if "." in name] == []


@pytest.mark.parametrize("topic", MODELS)
def test_an_outputs_example_is_what_its_model_writes(topic: str) -> None:
    (text,) = json_blocks(section(page("contract.md"), f"`{topic}`"))
    example = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False).encode()
    model = MODELS[topic]
    if model is PriceBookCommand:
        assert model.model_validate_json(example).model_dump_json().encode() == example
    else:
        assert model.read(example).canonical() == example


@pytest.mark.parametrize("topic", [topics.COMPLETED, *MODELS])
def test_every_field_of_a_record_is_explained_and_no_other(topic: str) -> None:
    model = MODELS.get(topic, JobCompleted)
    text = re.split("Regions, each|#### ", section(page("contract.md"), f"`{topic}`"))[0]
    explained = first_cells(text) - {"field"}
    assert explained == {field.alias or name for name, field in model.model_fields.items()}


def test_every_command_about_an_account_is_explained_with_its_fields() -> None:
    text = section(page("contract.md"), "Commands about an account")
    explained = {kind: set(further.split(", ")) - {"none"} for kind, further, _ in rows(text)[1:]}
    common = {*AccountCommand.model_fields, "type"}
    real = {
        kind: set(handler.model.model_fields) - common for kind, handler in HANDLERS.items() if kind != "price_book"
    }
    assert explained == real
    (example,) = json_blocks(text)
    command = HANDLERS[json.loads(example)["type"]].model.model_validate_json(example)
    assert set(json.loads(example)) == set(type(command).model_fields)


def test_every_code_of_a_refused_command_is_explained_and_no_other() -> None:
    names = ("commands.py", "corrections.py", "command_target.py", "prices.py", "billing_models.py")
    source = "".join((ROOT / "meter" / name).read_text() for name in names)
    codes = set(re.findall(r'(?:Refusal|CustomError)\(\s*"(\w+)"', source))
    assert first_cells(section(page("contract.md"), "Why a command is refused")) - {"code"} == codes | {
        "bad_fields",
        "duplicate_key",
    }


@pytest.mark.parametrize("name", ["README.md", "docs/contract.md"])
def test_the_example_of_a_completion_is_accepted(name: str) -> None:
    text = json_blocks((ROOT / name).read_text("utf-8"))[0]
    assert not isinstance(read_carefully(text.encode(), ()), Refusal)


def test_the_journals_examples_are_a_rules_record_and_a_step() -> None:
    rules, step = json_blocks(section(page("contract.md"), "Journal and rules"))
    assert json.loads(Rules.model_validate_json(rules).model_dump_json()) == json.loads(rules)
    assert list(json.loads(rules)) == list(Rules.model_fields)
    read = JournalStep.model_validate_json(step)
    assert read.canonical() == json.dumps(json.loads(step), separators=(",", ":")).encode()
    assert read.read == read.priced + read.duplicate + read.rejected + read.rerouted + read.commands


def test_every_refusal_is_there_and_which_are_final() -> None:
    table = {row[0]: row[2] for row in rows(section(page("contract.md"), "What is refused"))}
    del table["code"]
    assert set(table) == set(Code)
    assert {code for code, again in table.items() if again == "never"} == FINAL_CODES
    codes = re.search(r"refused with a stable code:\n(.*?)\. One", (ROOT / "README.md").read_text(), re.DOTALL)
    assert codes is not None
    assert set(re.findall(r"`(\w+)`", codes[1])) == set(Code)


def test_the_regions_and_prices_are_those_of_the_product() -> None:
    text = page("contract.md")
    regions = {tuple(row) for row in rows(section(text, "Completions"))}
    assert {(r.code, f"{r.english}, {r.chinese}", r.zone) for r in REGIONS} <= regions
    assert len([row for row in regions if row[0].startswith(("ap-", "na-", "eu-"))]) == len(REGIONS)
    prices = {row[0]: row[1] for row in rows(section(text, "Prices"))}
    assert {zone: str(price) for zone, price in BUILT_IN.prices}.items() <= prices.items()


def links() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("**/*.md"))):
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
            yield str(path.relative_to(ROOT)), target


@pytest.mark.parametrize(("name", "target"), sorted(set(links())))
def test_links_lead_somewhere(name: str, target: str) -> None:
    file, _, anchor = target.partition("#")
    path = (ROOT / name).parent / file if file else ROOT / name
    assert path.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_layout_names_files_that_are_there_and_the_whole_domain() -> None:
    (layout,) = (block.text for block in blocks(page("development.md")) if block.text.startswith("meter/"))
    domain, outside = layout.split("\nstreams/")
    assert set(re.findall(r"\w+\.py", domain)) == {path.name for path in (ROOT / "meter").glob("[!_]*.py")}
    for name in re.findall(r"\w+\.py|\w+/", outside.split("\ntests/")[0]):
        assert (ROOT / "streams" / name).exists(), name


def test_the_targets_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)) - {"help"}
    assert {row[0].removeprefix("make ") for row in rows(section(page("development.md"), "Targets"))[1:]} == targets


def test_what_one_looks_for_is_where_the_development_page_says() -> None:
    asked = rows(section(page("development.md"), "Where is it?"))[1:]
    assert len(asked) >= 10
    for row in asked:
        places = re.findall(r"((?:meter|streams)/[\w/]+\.py)(?:, (\w+(?:\.\w+)?)(?=;|$))?", row[1])
        assert places, row
        for path, name in places:
            source = (ROOT / path).read_text("utf-8")
            for part in filter(None, name.split(".")):
                assert re.search(rf"(?:def|class) {part}\b|^{part}\b.* = ", source, re.MULTILINE), (path, part)
