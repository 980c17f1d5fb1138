"""A machine of a test's making: a clock that is wrong (`clock.py`), a disk of a few MiB (`disk.py`)."""
