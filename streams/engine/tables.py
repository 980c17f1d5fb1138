"""Faust's table manager, without changelogs: partitions are opened by their owners, in the background."""

from typing import Any

from faust.tables.manager import TableManager
from faust.types import TP

from streams.engine.assembly import Engine


class OwnedTables(TableManager):
    """Keeps its tables out of Faust's own recovery, and tells the owners of each new assignment."""

    def add(self, table: Any) -> Any:
        """Register a table; it has no changelog topic."""
        self[table.name] = table
        return table

    async def on_start(self) -> None:
        """Start at once: there is nothing to wait for."""
        await self._update_channels()
        await self.recovery.start()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """A new assignment. Short work only: heartbeats start when this returns.

        Faust's own recovery would stop the flow of all partitions for it. Messages of the generation before are
        dropped on their way to the agent, so those partitions that stay are read again from where their owners are.
        """
        app, consumer = self.app, self.app.consumer
        self.recovery.completed.set()
        engine: Engine = app.engine
        engine.owners.assign(assigned, generation_id, app.assignor.standby)
        app.flow_control.resume()
        consumer.resume_flow()
        await app.start_fetching()
        await engine.readings.again()
        self.on_actives_ready()
        self.on_standbys_ready()
