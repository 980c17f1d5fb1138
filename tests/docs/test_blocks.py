"""The commands of the documents, run as a new user types them."""

import subprocess
from pathlib import Path

import pytest

from streams.broker.jars import class_path, default_cache_dir
from tests.docs.markdown import DocumentStep, matches, steps
from tests.docs.run_blocks import BlockError, Shell, fresh_clone, run_document, run_step

ROOT = Path(__file__).parents[2]
#: A sdist has no history to clone.
IN_A_CLONE = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a fresh clone is made of a clone")
WITH_COMMANDS = ("README.md", "docs/tutorial.md", "docs/commands.md")


@IN_A_CLONE
@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_a_document_does_what_it_says(name: str, tmp_path: Path) -> None:
    class_path(default_cache_dir(), print)  # fetched here where they are missing: the limits are for the commands
    assert run_document(name, tmp_path) > 0


def test_no_document_with_commands_is_left_out() -> None:
    documents = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    assert {str(path.relative_to(ROOT)) for path in documents if steps(path)} == set(WITH_COMMANDS)


def test_readme_and_tutorial_begin_with_what_a_newcomer_has() -> None:
    assert "make demo" in steps(ROOT / "README.md")[0].script
    assert "make setup" in steps(ROOT / "docs/tutorial.md")[0].script


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("a\nb\n", "a  \nb\n\n"),
        ("3 records in ... s", "3 records in 0.1 s\n"),
        ("first\n...\nlast", "first\nmore\nand more\nlast\n"),
        ("2026-11-24T10:00:00Z  A", "2027-01-01T23:59:59Z  A"),
        ("", "\n"),
    ],
)
def test_output_that_is_as_the_document_says(expected: str, actual: str) -> None:
    assert matches(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [("", "a"), ("a", ""), ("16.80", "16.81"), ("a ... c", "a b"), ("a", "a\nb"), ("a.c", "abc")],
)
def test_output_that_is_not(expected: str, actual: str) -> None:
    assert not matches(expected, actual)


def test_blocks_become_commands_with_what_they_print(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "```sh\none\ntwo\n```\n```json\n{}\n```\n```console\n$ a \\\n> b   # (exit code 3)\nout\n\n"
        "more\n$ c   # a moment later\n```\n"
    )
    assert steps(document) == [
        DocumentStep("set -e\none\ntwo\nset +e\n", 2),
        DocumentStep("a \\\nb   # (exit code 3)\n", 9, 3, "out\n\nmore"),
        DocumentStep("c   # a moment later\n", 14, 0, "", True),
    ]


@pytest.mark.parametrize("text", ["```sh\nls\n", "```console\nls\n```\n"])
def test_a_block_without_end_or_prompt_is_an_error(text: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="line"):
        steps(document)


class TestShell:
    """One shell for a document."""

    @pytest.fixture
    def shell(self, tmp_path: Path) -> Shell:
        return Shell(tmp_path, tmp_path)

    def test_what_one_step_sets_the_next_one_has(self, shell: Shell) -> None:
        with shell:
            run_step(shell, DocumentStep("set -e\nname=value; cd /\nset +e\n", 1))
            run_step(shell, DocumentStep("echo $name $PWD\n", 2, 0, "value /"))

    @pytest.mark.parametrize(
        "step",
        [
            DocumentStep("set -e\nfalse\ntrue\nset +e\n", 1),
            DocumentStep("false\n", 1, 0, ""),
            DocumentStep("true   # (exit code 1)\n", 1, 1, ""),
            DocumentStep("echo 1\n", 1, 0, "2"),
            DocumentStep("echo 1\n", 1, 0, ""),
        ],
    )
    def test_what_fails_or_prints_something_else_is_found(self, shell: Shell, step: DocumentStep) -> None:
        with shell, pytest.raises(BlockError):
            run_step(shell, step)

    def test_what_takes_too_long_is_found(self, shell: Shell) -> None:
        with shell, pytest.raises(BlockError, match="no end after"):
            shell.run("tail -f /dev/null\n", 0.2)

    def test_a_moment_later_is_waited_for(self, shell: Shell) -> None:
        with shell:
            run_step(shell, DocumentStep("n=$((n + 1)); echo $n   # a moment later\n", 1, 0, "2", True))

    def test_there_is_no_java_and_no_setting_of_the_meter(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("METER_DATA_DIR", "/elsewhere")
        with shell:
            assert shell.run("command -v java\n", 5).exit_code == 1
            assert shell.run("env | grep METER_\n", 5).exit_code == 1

    def test_what_was_left_running_is_ended(self, shell: Shell, tmp_path: Path) -> None:
        with shell:
            ready, said = tmp_path / "ready", tmp_path / "said"
            waits = f"trap 'echo ended > {said}; exit' TERM; echo > {ready}; while :; do sleep 0.05; done"
            script = f'sh -c "{waits}" & until [ -e {ready} ]; do sleep 0.01; done\n'
            shell.run(script, 5)
        assert said.read_text() == "ended\n"


@IN_A_CLONE
def test_the_clone_is_what_is_committed_and_make_installs_nothing_into_it(tmp_path: Path) -> None:
    clone = fresh_clone(tmp_path)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True).stdout
    assert head == subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    plan = subprocess.run(["make", "-n", "setup"], cwd=clone, check=True, capture_output=True, text=True).stdout
    assert "pip" not in plan
