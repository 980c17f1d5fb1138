"""Two bootstrap servers, of which one is dead: everything works as with the other alone."""

from pathlib import Path

import pytest

from streams.broker.ports import free_port
from tests.integration.running import Meter, job


@pytest.mark.parametrize("servers", ["127.0.0.1:{dead},{kafka}", "{kafka}, 127.0.0.1:{dead}"])
def test_a_worker_and_commands_with_a_dead_server_in_the_list(kafka: str, tmp_path: Path, servers: str) -> None:
    with Meter(servers.format(dead=free_port(), kafka=kafka), tmp_path) as meter:
        worker = meter.create().open_worker()
        meter.submit(*(job(account_id=account) for account in "ABCD"))
        assert len(meter.ask("totals")["totals"]) == 4
        assert meter.run("topics", "check").returncode == 0
        meter.verified()
        assert worker.stop() == 0
