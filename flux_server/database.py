"""The database: one engine behind `read` and `write` transactions, on SQLite or PostgreSQL.

Tables are declared next to the concept that owns them, on the `metadata` of this module. Nothing outside a
`write` block changes a row, and what a block announces is heard only after its commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    MetaData,
    Select,
    String,
    Subquery,
    Table,
    cast,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeEngine

from flux_server.bell import Bell
from flux_server.errors import UnavailableError

__all__ = [
    "SYSTEM",
    "Database",
    "OneTransaction",
    "actor_of",
    "announce",
    "insert",
    "metadata",
    "one_of",
    "rows",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SYSTEM = "flux"
"""Who acts when nobody was asked to."""

_ANNOUNCED = "flux.announced"
_ACTOR = "flux.actor"


class Database:
    """Transactions on one database, and the bell that their commits ring."""

    def __init__(self, url: str, *, bell: Bell | None = None) -> None:
        self.bell = bell or Bell()
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._reader = self._engine(begin="BEGIN DEFERRED", pool_size=8)
        # SQLite has one writer at a time; one connection queues writers fairly where its busy handler would starve.
        self._writer = self._engine(begin="BEGIN IMMEDIATE", pool_size=1) if self.is_sqlite else self._reader

    def _engine(self, *, begin: str, pool_size: int) -> AsyncEngine:
        # Errors name their statements' parameters, and end up in the log.
        if not self.is_sqlite:
            return create_async_engine(
                self.url, pool_size=pool_size, pool_pre_ping=True, hide_parameters=True
            )
        engine = create_async_engine(
            self.url, pool_size=pool_size, max_overflow=0, pool_timeout=60, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _configure_sqlite)

        def begin_transaction(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine.sync_engine, "begin", begin_transaction)
        return engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that sees one moment of the database throughout.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        together = self._together()
        if together is not None and together.connection is not None:
            yield together.connection  # nobody else sees yet what it has written
            return
        async with _connected(self._reader) as connection:
            if not self.is_sqlite:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self, actor: str = SYSTEM) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at the end of the block, then rings what it announced.

        The history says that `actor` changed what it changes. Within `one_transaction`, join that one.

        Raises:
            UnavailableError: the database cannot be reached.
        """
        together = self._together()
        async with self._transaction(actor) if together is None else together.join(actor) as connection:
            yield connection

    @asynccontextmanager
    async def one_transaction(
        self, begun: Callable[[AsyncConnection], Awaitable[None]]
    ) -> AsyncIterator[OneTransaction]:
        """Make everything that this block writes one transaction: from the first `write` to the block's end.

        `begun` is called in the transaction before anything is written. A block that raises has changed nothing.
        """
        together = OneTransaction(self, begun)
        token = _together.set(together)
        try:
            yield together
        except BaseException:
            await together.undo()
            raise
        finally:
            together.is_over = True
            _together.reset(token)
        await together.commit()

    @asynccontextmanager
    async def _transaction(self, actor: str) -> AsyncIterator[AsyncConnection]:
        async with _connected(self._writer) as connection:
            topics: set[str] = set()
            connection.sync_connection.info.update({_ANNOUNCED: topics, _ACTOR: actor})  # type: ignore[union-attr]  # it is connected
            async with connection.begin():
                yield connection
        for topic in topics:
            self.bell.ring(topic)

    def _together(self) -> OneTransaction | None:
        together = _together.get()
        # A task that was started in the block and outlives it writes on its own.
        return together if together and together.database is self and not together.is_over else None

    async def close(self) -> None:
        """Close every connection."""
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()


class OneTransaction:
    """The one transaction of a block of `Database.one_transaction`; `connection` is None until it has begun."""

    def __init__(self, database: Database, begun: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        self.database = database
        self.connection: AsyncConnection | None = None
        self.is_over = False
        self._begun = begun
        self._open = AsyncExitStack()

    @asynccontextmanager
    async def join(self, actor: str) -> AsyncIterator[AsyncConnection]:
        """Write in the transaction as `actor`; what fails undoes what was written before it too."""
        try:
            if self.connection is None:
                transaction = self.database._transaction(actor)
                self.connection = await self._open.enter_async_context(transaction)
                await self._begun(self.connection)
            self.connection.sync_connection.info[_ACTOR] = actor  # type: ignore[union-attr]  # it is connected
            yield self.connection
        except BaseException:
            await self.undo()
            raise

    async def undo(self) -> None:
        """Forget what was written; a later write begins anew."""
        if self.connection is not None:
            self.connection.sync_connection.info[_ANNOUNCED].clear()  # type: ignore[union-attr]  # it is connected
            self._open.push_async_callback(self.connection.rollback)
        await self.commit()

    async def commit(self) -> None:
        """Keep what was written, then ring what it announced."""
        self.connection = None
        await self._open.aclose()


_together: ContextVar[OneTransaction | None] = ContextVar("flux.together", default=None)


def announce(connection: AsyncConnection, topic: str) -> None:
    """Ring `topic` once the transaction of `connection` has committed."""
    connection.sync_connection.info[_ANNOUNCED].add(topic)  # type: ignore[union-attr]  # it is connected


def actor_of(connection: AsyncConnection) -> str:
    """Return who acts in the `write` transaction of `connection`."""
    return str(connection.sync_connection.info[_ACTOR])  # type: ignore[union-attr]  # it is connected


def insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Start an INSERT that knows ON CONFLICT, in the dialect of `connection`."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def rows(
    connection: AsyncConnection, columns: Mapping[str, TypeEngine[Any]], data: Sequence[Sequence[object]]
) -> Subquery:
    """Return `data` as a table to join with or to insert from: one parameter, however many rows there are."""
    json = msgspec.json.encode(data).decode()
    if connection.dialect.name == "sqlite":
        element = func.json_each(json).table_valued("value").c.value
        values: list[ColumnElement[Any]] = [
            func.json_extract(element, f"$[{place}]", type_=kind)
            for place, kind in enumerate(columns.values())
        ]
    else:
        element = func.json_array_elements(cast(literal(json, String()), JSON)).column_valued("element")
        values = [cast(element.op("->>")(place), kind) for place, kind in enumerate(columns.values())]
    named = [value.label(name) for name, value in zip(columns, values, strict=True)]
    return select(*named).subquery("rows")


def one_of(connection: AsyncConnection, values: Iterable[str]) -> Select[Any]:
    """Return the values for `in_`: one parameter and one statement, however many there are.

    PostgreSQL compares each of many single parameters with every row that it looks at; this it hashes.
    """
    return select(rows(connection, {"value": String()}, [(value,) for value in values]).c.value)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except (OSError, DBAPIError, PoolTimeoutError) as error:
            raise UnavailableError("the server's database cannot be reached now; try again") from error
        yield connection


def _configure_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ARG001  the event passes both
    connection.isolation_level = None  # SQLAlchemy's "begin" event says BEGIN, the driver must not
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "busy_timeout = 30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
