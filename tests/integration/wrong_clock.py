"""`python -m tests.integration.wrong_clock FILE worker`: the product's command on a machine whose clock is wrong.

The file says by how many seconds it is ahead, and may be written anew while the worker runs.
"""

import sys
import time
from pathlib import Path

from streams.cli import main
from streams.engine.clocks import MachineClock

if __name__ == "__main__":
    ahead = Path(sys.argv[1])

    def wrong_ms(_: MachineClock) -> int:
        return time.time_ns() // 1_000_000 + 1000 * int(ahead.read_text())

    setattr(MachineClock, "wall_ms", wrong_ms)  # noqa: B010 - it takes the class's own method's place
    sys.exit(main(sys.argv[2:]))
