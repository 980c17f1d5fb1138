"""The simulation gives every command there is: one that it leaves out is compared with no recount."""

from meter.commands import HANDLERS
from tests.simulation.operators import KINDS


def test_every_command_is_given() -> None:
    assert HANDLERS.keys() - set(KINDS) == set()
