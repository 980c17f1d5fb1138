"""A process that prices jobs without end and saves its dedupe index now and then, to be killed in the middle of it.

What it "committed" is a line on its standard output before it goes into the index, as a transaction comes before it.
"""

import sys
from pathlib import Path

from meter.dedupe import Sighting
from streams.engine.seen import DiskSeen

BATCH = 700


def main(directory: Path, start: int) -> None:
    seen = DiskSeen.open(directory, 0, "meter", "cluster/topic")
    at = start
    while True:
        sys.stdout.write(f"{at + BATCH}\n")
        sys.stdout.flush()
        seen.add((f"job-{n}", Sighting(n, n)) for n in range(at, at + BATCH))
        at = seen.priced_next = at + BATCH
        if at // BATCH % 3 == 0:
            seen.save()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
