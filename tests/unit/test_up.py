"""What `meter up` does with something that cannot be started again: it goes on trying."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.broker import BrokerError
from streams.processes import Backoff, Ended, Process
from streams.settings import Settings
from streams.up import _Up


class OnAFullDisk:
    """Something that runs again once there is room."""

    name = "Kafka"

    def __init__(self) -> None:
        self.backoff = Backoff()
        self.is_full = True

    def restart(self, ended: Callable[[Ended], None]) -> None:
        if self.is_full:
            raise BrokerError("cannot start Kafka in .meter: [Errno 28] No space left on device")


def test_what_cannot_be_started_for_want_of_room_is_tried_again_until_there_is() -> None:
    said: list[str] = []
    settings = Settings.model_validate({"bootstrap_servers": "127.0.0.1:1"})
    up, kafka = _Up(settings, 1, 0, said.append), OnAFullDisk()
    due: Any = kafka
    for _ in range(2):
        up._due = [(0.0, due)]
        up._restart_due()
        assert [who for _, who in up._due] == [due]
        assert said.pop().endswith("tried again: cannot start Kafka in .meter: [Errno 28] No space left on device")
    kafka.is_full = False
    up._due = [(0.0, due)]
    up._restart_due()
    assert (up._due, said) == ([], [])


@pytest.mark.parametrize(("asked", "is_told"), [({}, "False"), ({"http_access_log": True}, "True")])
def test_a_terminal_has_no_line_for_each_request_unless_it_was_asked_for(asked: dict[str, Any], is_told: str) -> None:
    settings = Settings.model_validate({"bootstrap_servers": "127.0.0.1:1"} | asked)
    process = Process("api", "api", settings, print, where="here")
    assert process._environment["METER_HTTP_ACCESS_LOG"] == is_told
