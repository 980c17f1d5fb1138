"""The SQL store for handlers: its work runs in threads, and a store that is away is a 503."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from anyio import to_thread
from sqlalchemy import Connection, Engine

from streams.errors import SettingError
from streams.http.problems import Problem, unavailable
from streams.store.database import StoreLostError, one_moment, store_errors, writing
from streams.store.queries.pages import BadCursorError

Result = TypeVar("Result")


class Store:
    """One engine. `read` and `write` are for handlers; inside a thread `reading` gives the connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._snapshots = one_moment(engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot, in a thread. Raises Problem (503) where the store is away."""
        with _problems(), store_errors(self.engine), self._snapshots.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes, in a thread. Raises Problem (503) where the store is away."""
        with _problems(), store_errors(self.engine), writing(self.engine) as connection:
            yield connection

    async def read(self, question: Callable[[Connection], Result]) -> Result:
        """What a question finds, without holding up the loop."""
        return await to_thread.run_sync(self._in_reading, question)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """What a change gives, committed, without holding up the loop."""
        return await to_thread.run_sync(self._in_writing, change)

    def _in_reading(self, question: Callable[[Connection], Result]) -> Result:
        with self.reading() as connection:
            return question(connection)

    def _in_writing(self, change: Callable[[Connection], Result]) -> Result:
        with self.writing() as connection:
            return change(connection)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except BadCursorError as error:
        raise Problem(404, "bad_cursor", str(error)) from error
    except SettingError as error:
        raise Problem(422, "bad_fields", str(error)) from error
    except StoreLostError as error:
        raise unavailable(
            "store", "the SQL store is away: figures cannot be read, completions still come in"
        ) from error
