"""Bringing a store to this version's tables, whoever comes first; one of a newer version is left alone."""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from streams.errors import RefusalToStartError
from streams.store.database import is_postgres, shown, store_errors, writing
from streams.store.schema import metadata
from streams.store.views import create_views, drop_views

MIGRATIONS = Path(__file__).with_name("migrations")
#: Of PostgreSQL's advisory locks: those who migrate at the same moment do so one after the other.
_LOCK = 0x6D657465_72


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the store to this version. Returns the revision before (None: it was empty) and the one now.

    Raises StoreLostError (StoreRefusedError), and RefusalToStartError where a newer version has written it.
    """
    with store_errors(engine), writing(engine) as connection:
        if is_postgres(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = _known_revision(engine, connection)
        if before != newest():
            drop_views(connection)
            _run(connection)
            create_views(connection)
        return before, newest()


def check_store(engine: Engine) -> None:
    """See that the store has this version's tables. Raises StoreLostError or RefusalToStartError, saying what to do."""
    with store_errors(engine), engine.connect() as connection:
        revision = _known_revision(engine, connection)
        if revision is None:
            raise RefusalToStartError(f"nothing was projected into {shown(engine)} yet: run `meter projector`")
        if revision != newest():
            raise RefusalToStartError(
                f"the store {shown(engine)} does not have the tables of this version: run `meter projector migrate`"
            )


def newest() -> str:
    """The revision of this version's tables."""
    (head,) = _scripts().get_heads()
    return head


def _known_revision(engine: Engine, connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise RefusalToStartError(
            f"the store {shown(engine)} was written by a newer version of the meter (its tables are {revision}): "
            "use that version, or another store"
        )
    return revision


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _run(connection: Connection) -> None:
    scripts = _scripts()
    steps = scripts._upgrade_revs  # noqa: SLF001 - as `alembic upgrade` asks for them; it would make a connection of its own
    context = EnvironmentContext(_config(), scripts, fn=lambda revision, _: steps("heads", revision))
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    with context:
        context.run_migrations()
