"""Garbage collection, for processes that make many objects without cycles."""

import gc


def collect_less() -> None:
    """Leave aside what is there already, and look less often: to look through all of it again and again takes long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
