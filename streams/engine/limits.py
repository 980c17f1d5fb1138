"""How large steps are and how often they come: what the consumer, the queues and the owners must agree on."""

from typing import NamedTuple


class Limits(NamedTuple):
    """A worker has these; the simulation hands in small ones, so that much happens in few records."""

    #: Records of one step. Larger steps are cheaper, smaller ones are quicker.
    step_records: int = 8_000
    #: An input with more than this in its queue is not fetched. Each by itself: completions may have to wait for
    #: commands.
    queue_records: int = 16_000
    #: Small steps of a partition begin at least so far apart: a transaction costs the broker most of it.
    step_interval_s: float = 0.03
    #: How soon to look again when completions wait for commands.
    commands_retry_s: float = 0.25
    #: How soon to ask the broker for the time again while intake is paused.
    paused_retry_s: float = 2.0
    #: What the broker's clock said so long ago is what it says now.
    fresh_s: float = 1.0
    #: How often the dedupe index is put on disk.
    save_interval_s: float = 15.0
    #: The longest slice of what is due: completions wait for no more than this.
    slice_s: float = 0.010
    #: The fewest due actions of a slice.
    least_actions: int = 10
    #: A slice is done in blocks: the other partitions' steps wait for several answers of the broker's meanwhile.
    block_actions: int = 40
