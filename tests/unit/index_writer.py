"""A process that prices jobs without end and saves its dedupe index beside that, to be killed in the middle of it.

What it "committed" is a line on its standard output before it goes into the index, as a transaction comes before it.
"""

import sys
import threading
from pathlib import Path

from meter.dedupe import Sighting
from streams.engine.disk_index import DiskIndex

BATCH = 1500
#: Batches that may be added while one save is on its way, so that some are done before the kill.
BATCHES_A_SAVE = 6


def main(directory: Path, start: int) -> None:
    seen = DiskIndex.open(directory, 0, "meter", "cluster/topic")
    at = start
    saving = threading.Thread()
    while True:
        sys.stdout.write(f"{at + BATCH}\n")
        sys.stdout.flush()
        seen.add((f"job-{n}", Sighting(n, n)) for n in range(at, at + BATCH))
        at = seen.priced_next = at + BATCH
        if at // BATCH % BATCHES_A_SAVE == 0 and saving.ident is not None:
            saving.join()
        if not saving.is_alive():
            saving = threading.Thread(target=seen.saving().run)
            saving.start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
