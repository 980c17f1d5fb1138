"""The bugs that are planted into workers, and how each is known: a run is red as wanted only if its own bug was found.

A planted bug writes a line each time when it bites. A run whose bug has not bitten proves nothing, however red it is,
and a run that is red for another reason has found another bug.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

SKIP, DOUBLE, GHOST, TEAR = "skip", "double", "ghost", "tear"
#: In the folder of a run.
BITES = "bites"


def loses_a_record(finding: str) -> bool:
    """A step read fewer records than there are."""
    return any(said < is_so for said, is_so in _figures(r"says read (\d+), recounted (\d+)", finding))


def prices_twice(finding: str) -> bool:
    """A step priced more than was to be priced."""
    more = any(said > is_so for said, is_so in _figures(r"says priced (\d+), recounted (\d+)", finding))
    return more or re.search(r"priced \d+ times", finding) is not None


def publishes_outside_a_step(finding: str) -> bool:
    """More is priced than the journal counts, and nothing else of a step is too much."""
    behind = _figures(r"usage\.priced holds (\d+) from \d+ on, the journal counts (\d+)", finding)
    in_all = _figures(r"usage\.priced\[\d+\] holds (\d+) records, the journal says (\d+)", finding)
    return any(holds > counted for holds, counted in behind + in_all) and "usage.daily" not in finding


def commits_half_a_step(finding: str) -> bool:
    """Totals, which every step that prices has, are too many or too few."""
    behind = _figures(r"usage\.daily holds (\d+) from \d+ on, the journal counts (\d+)", finding)
    in_all = _figures(r"usage\.daily\[\d+\] holds (\d+) records, the journal says (\d+)", finding)
    return any(holds != counted for holds, counted in behind + in_all)


#: What each bug must have caused.
FAULTS: dict[str, Callable[[str], bool]] = {
    SKIP: loses_a_record,
    DOUBLE: prices_twice,
    GHOST: publishes_outside_a_step,
    TEAR: commits_half_a_step,
}


def bite(file: Path, fault: str) -> None:
    """Note that a bug bites now; the line is there whatever becomes of the process."""
    with file.open("a") as bites:
        bites.write(f"{fault}\n")


def bites_of(file: Path, fault: str) -> int:
    """How often a bug has bitten."""
    return file.read_text().split().count(fault) if file.exists() else 0


def judged(fault: str, bites: int, findings: Iterable[str]) -> tuple[bool, str]:
    """Whether a run with a bug is red for that bug, and why or why not."""
    if not bites:
        return False, f"{fault} has not bitten: the run proves nothing"
    own = next((finding for finding in findings if FAULTS[fault](finding)), None)
    if own is None:
        return False, f"{fault} has bitten {bites} times, and no finding is of its kind"
    return True, f"{fault} has bitten {bites} times, and is found: {own}"


def _figures(words: str, finding: str) -> list[tuple[int, int]]:
    return [(int(found[1]), int(found[2])) for found in re.finditer(words, finding)]
