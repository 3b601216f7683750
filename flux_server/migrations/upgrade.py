"""Bring a database to the schema of this code, or write the migration that would."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from flux_server.database import Database
from flux_server.errors import StartError, UnavailableError

__all__ = ["autogenerate", "upgrade"]

_PLACE = Path(__file__).parent
_LOCK = 0x666C7578  # "flux": PostgreSQL's advisory locks are numbers


async def upgrade(database: Database) -> None:
    """Apply every migration that the database lacks, in one transaction; replicas starting together take turns.

    Raises:
        StartError: the database cannot be reached, or is newer than this code.
    """
    shown = database.url.render_as_string(hide_password=True)
    try:
        if database.is_sqlite:
            # aiosqlite's thread outlives a connection that cannot be opened, and then fails noisily.
            sqlite3.connect(database.url.database or "").close()
        async with database.write() as connection:  # on SQLite the only writer
            if not database.is_sqlite:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_upgrade)
    except (UnavailableError, sqlite3.Error, sa.exc.DBAPIError) as error:
        raise StartError(
            f"the database {shown} cannot be used ({_first_line(error)}); check that it runs, and FLUX_DATABASE_URL"
        ) from error


async def autogenerate(database: Database, message: str) -> None:
    """Write the migration from the database's schema to the metadata's: the start of every schema change."""
    async with database.write() as connection:
        await connection.run_sync(
            lambda raw: command.revision(_config(raw), message=message, autogenerate=True)
        )


def _upgrade(connection: Connection) -> None:
    config = _config(connection)
    present = MigrationContext.configure(connection).get_current_revision()
    try:
        if present is not None:
            ScriptDirectory.from_config(config).get_revision(present)
    except CommandError as error:
        raise StartError(
            f"the database was written by a newer version of Flux (schema {present}); upgrade flux-middleware"
        ) from error
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_PLACE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _first_line(error: Exception) -> str:
    if isinstance(error, UnavailableError) and isinstance(error.__cause__, Exception):
        return _first_line(error.__cause__)
    cause = getattr(error, "orig", None) or error
    return (str(cause) or type(cause).__name__).splitlines()[0]
