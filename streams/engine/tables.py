"""Faust's table manager, without changelogs: partitions are opened by their owners, in the background."""

from typing import Any

from faust.tables.manager import TableManager
from faust.types import TP


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
        """Short work only: heartbeats start when this returns."""
        await self.app.owners.assign(assigned)
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
