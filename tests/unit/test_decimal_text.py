"""The check that amounts become text by one function sees the others: it runs wherever mypy does."""

import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "lint" / "decimal_text.py"
WAYS = """
from decimal import Decimal
amount = Decimal("0E-8")
maybe: Decimal | None = amount
pair: tuple[int, Decimal] = (1, amount)
width = 3
plain = f"{amount:f}"
count = f"{pair[0]}"
a = f"{amount}"  # wrong
b = str(amount)  # wrong
c = "{}".format(amount)  # wrong
d = f"{maybe}"  # wrong
e = f"{pair[1]!r}"  # wrong
f = f"{pair}"  # wrong
h = amount.__str__()  # wrong
i = f"{amount:{width}}"  # wrong
print(amount)  # wrong
"""


def test_each_way_to_make_text_of_an_amount_but_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ways.py").write_text(WAYS)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nplugins = {PLUGIN}\nfollow_imports = silent\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "ways.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "[decimal-text]" in line}
    assert found == {number for number, line in enumerate(WAYS.splitlines(), 1) if "# wrong" in line}, done.stdout


def test_the_check_is_part_of_mypys_run() -> None:
    assert "tests/lint/decimal_text.py" in (PLUGIN.parents[2] / "pyproject.toml").read_text()
