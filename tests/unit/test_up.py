"""What `meter up` does with something that cannot be started again: it goes on trying."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from streams.broker import BrokerError
from streams.errors import RefusalToStartError, SettingError
from streams.http.callers import Role
from streams.http.serve import look_at_tokens
from streams.http.tokens import create_token
from streams.settings import Settings
from streams.store.database import opened_store
from streams.store.migrate import migrate
from streams.supervise.only_one import only_one
from streams.supervise.processes import Ended, Process, restarts
from streams.supervise.up import Supervisor, run_up


class OnAFullDisk:
    """Something that runs again once there is room."""

    name = "Kafka"

    def __init__(self) -> None:
        self.backoff = restarts()
        self.is_full = True

    def restart(self, ended: Callable[[Ended], None]) -> None:
        if self.is_full:
            raise BrokerError("cannot start Kafka in .meter: [Errno 28] No space left on device")


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    with only_one(tmp_path / "data", print) as held:
        yield held


def test_what_cannot_be_started_for_want_of_room_is_tried_again_until_there_is(tmp_path: Path, lock: int) -> None:
    said: list[str] = []
    settings = Settings.model_validate({"bootstrap_servers": "127.0.0.1:1", "data_dir": tmp_path / "data"})
    up, kafka = Supervisor(settings, 1, 0, said.append, lock), OnAFullDisk()
    due: Any = kafka
    for _ in range(2):
        up.due = [(0.0, due)]
        up.restart_due()
        assert [who for _, who in up.due] == [due]
        assert said.pop().endswith("tried again: cannot start Kafka in .meter: [Errno 28] No space left on device")
    kafka.is_full = False
    up.due = [(0.0, due)]
    up.restart_due()
    assert (up.due, said) == ([], [])


@pytest.mark.parametrize("is_new", [False, True])
def test_a_data_directory_that_was_deleted_is_not_begun_anew(tmp_path: Path, lock: int, is_new: bool) -> None:
    """`rm -r .meter` ends its Kafka: another would be a meter without a record."""
    data_dir = tmp_path / "data"
    up, kafka = Supervisor(Settings(data_dir=data_dir), 1, 0, print, lock), OnAFullDisk()
    due: Any = kafka
    up.restart_due()
    shutil.rmtree(data_dir)
    with only_one(data_dir, print) if is_new else nullcontext():
        up.due = [(0.0, due)]
        with pytest.raises(RefusalToStartError, match=f"^{data_dir} was deleted or moved while this ran: stopping all"):
            up.restart_due()


@pytest.mark.parametrize(("asked", "is_told"), [({}, "False"), ({"http_access_log": True}, "True")])
def test_a_terminal_has_no_line_for_each_request_unless_it_was_asked_for(asked: dict[str, Any], is_told: str) -> None:
    settings = Settings.model_validate({"bootstrap_servers": "127.0.0.1:1"} | asked)
    process = Process("api", "api", settings, print, where="here")
    assert process.environment["METER_HTTP_ACCESS_LOG"] == is_told


def test_an_api_that_would_be_open_to_all_is_refused_before_anything_starts(tmp_path: Path) -> None:
    given = {"data_dir": tmp_path / "data", "http_host": "0.0.0.0", "http_port": 0, "web_port": 0}
    settings = Settings.model_validate(given | {"bootstrap_servers": "127.0.0.1:1"})
    said: list[str] = []
    with pytest.raises(SettingError, match=r"open to others, and without tokens .*meter token create"):
        run_up(settings, 1, 0, said.append)
    assert said == []
    with opened_store(settings) as engine:
        migrate(engine)
        with engine.begin() as connection:
            create_token(connection, Role.OPERATOR)
    look_at_tokens(settings)
