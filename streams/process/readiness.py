"""A process tells the one that started it, once, that it does its work: through a pipe that it was given for that.

So `meter up` knows it of processes without pages too, and of those that come back.
"""

import os
from contextlib import suppress

#: Names the pipe. No setting, so not METER_...
VARIABLE = "RECOGNITION_METER_READY"
READY = "ready\n"


def announce() -> None:
    """Tell it, if there is somebody to be told."""
    _tell(READY)


def give_up(reason: str) -> None:
    """Tell why it will never be."""
    _tell(f"{reason}\n")


def _tell(text: str) -> None:
    if (descriptor := os.environ.pop(VARIABLE, None)) is not None:
        with suppress(OSError), os.fdopen(int(descriptor), "w") as pipe:  # whoever started it may be gone
            pipe.write(text)
