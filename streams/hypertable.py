"""`readings` as a hypertable of TimescaleDB: written as columns at once where the server can, else as rows.

"Direct compress" writes as fast as a table without any index, at a tenth of its size. But the server goes
back to rows with no more than a warning where the table has a unique index or, before version 2.24, a
continuous aggregate. So whether it works is tried once at the start, on readings that are taken back, and
said. Recompression, retention and aggregates are TimescaleDB's own jobs; nothing is tended here.
"""

from __future__ import annotations

import logging

import numpy as np
import psycopg
from psycopg import sql

from schemas.clock import to_datetime
from schemas.reading import EARLIEST_US, RECORD
from streams.copy_rows import copy_in

log = logging.getLogger(__name__)

DIRECT_FROM_ROWS = 200  # fewer make batches of columns that cost more than rows do
PROBE_ROWS = 1_000

SETTING = "timescaledb.enable_direct_compress_copy"


class Hypertable:
    def __init__(self, version: str, why_rows: str | None) -> None:
        """`why_rows` is None if readings can be written as columns, else why they cannot."""
        self.version = version
        self.why_rows = why_rows

    @property
    def says(self) -> str:
        how = "as columns (direct compress)" if self.why_rows is None else f"as rows: {self.why_rows}"
        return f"a hypertable of TimescaleDB {self.version}, written {how}"

    async def make_room(self, connection: psycopg.AsyncConnection, times: np.ndarray, city_us: int) -> None:
        """TimescaleDB makes its chunks itself."""

    async def copy(self, connection: psycopg.AsyncConnection, records: np.ndarray) -> None:
        """Within the caller's transaction."""
        if self.why_rows is None and len(records) >= DIRECT_FROM_ROWS:
            await connection.execute(f"set local {SETTING} = on".encode())
        await copy_in(connection, records)

    async def tend(self, connection: psycopg.AsyncConnection, city_us: int, rows_s: float) -> None:
        """Done by TimescaleDB's jobs."""


async def found(connection: psycopg.AsyncConnection) -> Hypertable | None:
    """None if `readings` is no hypertable."""
    extension = await connection.execute("select extversion from pg_extension where extname = 'timescaledb'")
    row = await extension.fetchone()
    if row is None:
        return None
    tables = await connection.execute(
        "select compression_enabled from timescaledb_information.hypertables"
        " where hypertable_schema = 'public' and hypertable_name = 'readings'"
    )
    settings = await tables.fetchone()
    if settings is None:
        return None
    why_rows = await _why_rows(connection) if settings[0] else "it has no columnstore"
    table = Hypertable(row[0], why_rows)
    if table.why_rows is not None:
        log.warning("readings are written as rows, not as columns: %s", table.why_rows)
    return table


async def _why_rows(connection: psycopg.AsyncConnection) -> str | None:
    """Copies readings of a time when nobody measured, sees where they are, and takes them back."""
    known = await connection.execute("select current_setting(%s, true)", [SETTING])
    setting = await known.fetchone()
    if setting is None or setting[0] is None:
        return "this version has no direct compress; 2.24 and newer have"
    records = np.zeros(PROBE_ROWS, RECORD)
    records["time"] = EARLIEST_US
    records["sensor"] = np.arange(PROBE_ROWS)
    said: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            said.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute(f"set local {SETTING} = on".encode())
            await copy_in(connection, records)
            as_rows = await _rows_at(connection, EARLIEST_US)
    finally:
        connection.remove_notice_handler(hear)
    if not as_rows:
        return None
    return said[0] if said else "the server put them into rows and does not say why"


async def _rows_at(connection: psycopg.AsyncConnection, time_us: int) -> bool:
    """Whether the chunk of this time holds any reading as a row."""
    chunks = await connection.execute(
        "select chunk_schema, chunk_name from timescaledb_information.chunks"
        " where hypertable_schema = 'public' and hypertable_name = 'readings'"
        " and range_start <= %(at)s and %(at)s < range_end",
        {"at": to_datetime(time_us)},
    )
    [(schema, name)] = await chunks.fetchall()
    query = sql.SQL("select exists (select from only {})").format(sql.Identifier(schema, name))
    row = await (await connection.execute(query)).fetchone()
    return bool(row and row[0])
