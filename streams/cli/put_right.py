"""Which refused jobs were priced later, by the read model, whose packages need not be installed."""

from collections.abc import Set

from streams.errors import MeterError
from streams.published.read import PartitionOffset
from streams.settings import Settings
from streams.store.database import opened_store, store_errors, store_is_made
from streams.store.migrate import check_store
from streams.store.queries.meter import rules_of
from streams.store.queries.rejects import priced_later
from streams.terminal.output import note


def put_right(settings: Settings, meter_id: str) -> Set[PartitionOffset] | None:
    """The places of those refused whose jobs were priced later; None where this meter has no store, or it is away."""
    if not store_is_made(settings):
        return None
    try:
        with opened_store(settings) as engine:
            check_store(engine)
            with store_errors(engine), engine.connect() as connection:
                rules = rules_of(connection)
                is_ours = rules is not None and rules.meter_id == meter_id
                return {PartitionOffset(*place) for place in priced_later(connection)} if is_ours else None
    except MeterError as error:
        note(f"{error}: what was put right is not known")
        return None
