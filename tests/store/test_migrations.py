"""The migrations are one line: each follows the one before it by number, and the last makes the tables of today."""

import re
from pathlib import Path

from streams.store import migrate

VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"


def test_each_migration_follows_the_one_before() -> None:
    found = []
    for path in sorted(VERSIONS.glob("0*.py")):
        text = path.read_text()
        number, before = (re.search(rf"^{name} = (.*)$", text, re.MULTILINE) for name in ("revision", "down_revision"))
        assert number is not None
        assert before is not None
        found.append((path.name[:4], number[1].strip('"'), before[1].strip('"')))
    numbers = [f"{count + 1:04}" for count in range(len(found))]
    assert found == list(zip(numbers, numbers, ["None", *numbers[:-1]], strict=True))
