"""`meter demo`: watch it work."""

from typing import Annotated

import typer

from streams.broker.connect import settings_of_command
from streams.demo import run


def demo(seed: Annotated[int, typer.Option(help="Of the day of traffic; the same seed, the same day.")] = 1) -> int:
    """Watch it work: a day of traffic, a SIGKILL, and the proof.

    Kafka, two workers, a day of traffic with duplicates, conflicts and
    broken records among it, a worker killed midway, totals, and the proof
    that nothing was lost or counted twice.

    Example:
      meter demo --seed 7
    """
    return run(settings_of_command(), seed)
