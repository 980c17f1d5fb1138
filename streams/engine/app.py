"""The Faust app: its settings, its start and its stop. What it does with a completion, `engine/agent.py` says."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import faust
from yarl import URL

from meter.rules import Rules
from streams.engine.agent import add_agent, add_table, meter_chunks
from streams.engine.assembly import Engine, assemble
from streams.engine.assignor import MeterAssignor
from streams.engine.consumer import ChunkTransport
from streams.engine.table import CommittedTable
from streams.engine.tables import OwnedTables
from streams.errors import BrokerLostError
from streams.observe.gate import pages_alone
from streams.process.waiting import AskedToStop, unless
from streams.settings import Settings

#: Faust wants a URL, which holds one server, and connects to none: the clients are ours, and know them all.
NOWHERE = URL("kafka://bootstrap-servers")
#: How long a stop may take. Whoever asked for it waits longer than this before a kill.
STOP_PATIENCE_S = 20.0
#: How long a start may go on that is to be stopped.
START_PATIENCE_S = 2.0


class MeterApp(faust.App):
    """A Faust app with this meter's settings, rules, owners and metrics."""

    engine: Engine

    def _create_directories(self) -> None:
        """Faust keeps nothing on disk here."""

    async def _on_partitions_revoked(self, revoked: Any) -> None:
        """A rebalance begins: nothing stops for it. What this worker has lost, the next assignment says."""

    async def _on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        if not self.should_stop:
            await super()._on_partitions_assigned(assigned, generation_id)

    def on_rebalance_return(self) -> None:
        """A rebalance is over where Faust's own recovery would begin."""
        super().on_rebalance_return()
        self.on_rebalance_end()

    async def start_fetching(self) -> None:
        """Start the task that fetches, if it does not run: Faust's own recovery would have started it."""
        await self._fetcher.maybe_start()

    async def wait_for_crash(self) -> None:
        """Until something of Faust's has failed; `crash_reason` says why."""
        await self._crashed.wait()

    def pages_server(self) -> Any:
        """aiohttp's server of the pages, once it has started."""
        return self.web._runner.server  # noqa: SLF001 - Faust tells nobody


def create_app(settings: Settings, rules: Rules, fail: Callable[[BaseException], None]) -> MeterApp:
    """The app of one worker; `fail` ends the process."""
    app = MeterApp(
        settings.app_id,
        broker=str(NOWHERE),
        Table=CommittedTable,
        TableManager=OwnedTables,
        store="memory://",
        datadir=str(settings.data_dir),
        topic_partitions=rules.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        PartitionAssignor=MeterAssignor,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_session_timeout=settings.session_timeout_s,
        broker_request_timeout=max(30.0, settings.session_timeout_s * 2),
        broker_commit_interval=2.0,
        consumer_group_instance_id=settings.instance_id,
        web_enabled=settings.web_port != 0,
        web_bind=settings.web_host,
        web_port=settings.web_port or 6066,
        web_host=settings.web_host,
        web_router_enabled=False,
        web_tables_enabled=False,
        web_application_options={"middlewares": [pages_alone(settings.web_host)]},
        worker_redirect_stdouts=False,
    )
    app.transport = ChunkTransport([NOWHERE], app)
    totals_of = add_table(app, rules)
    app.engine = assemble(settings, rules, app.consumer.clients, meter_chunks, totals_of, fail)
    add_agent(app, app.engine)
    return app


async def stop_when(app: MeterApp, asked: asyncio.Event, fail: Callable[[BaseException], None]) -> None:
    """Run until asked to stop; then finish the steps in flight, save, and leave the group."""
    await start(app, asked, fail)
    watch = asyncio.ensure_future(app.engine.guards.run())
    crashed = asyncio.ensure_future(app.wait_for_crash())
    waiting = asyncio.ensure_future(asked.wait())
    await asyncio.wait([crashed, waiting, watch], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if watch.done():
        # Without them nothing is settled, and nobody is told what is held or silent.
        fail(watch.exception() or RuntimeError("the watches have ended"))
    if crashed.done():
        # At once: an orderly stop of what has crashed may never end.
        fail(app.crash_reason or RuntimeError("the app crashed"))
    crashed.cancel()
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch
    # Without a Kafka an orderly stop never ends; what a kill would lose, which is nothing, is lost then.
    lost = BrokerLostError(f"Kafka has not let this worker go for {STOP_PATIENCE_S:.0f} s: ended all the same")
    too_late = asyncio.get_running_loop().call_later(STOP_PATIENCE_S, fail, lost)
    await app.engine.stop()
    await app.stop()
    too_late.cancel()


async def start(app: MeterApp, asked: asyncio.Event, fail: Callable[[BaseException], None]) -> None:
    """Start it. Only what has started can be stopped in order; where that takes too long, nothing is lost by a kill."""
    starting = asyncio.ensure_future(app.start())
    try:
        await unless(asked, asyncio.shield(starting))
    except AskedToStop:
        await asyncio.wait([starting], timeout=START_PATIENCE_S)
        if not starting.done():
            fail(BrokerLostError("asked to stop before Kafka had let this worker start: nothing was begun"))
    await starting
