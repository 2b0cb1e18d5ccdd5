"""What `readings` is in this database, and how the historian writes to it: a table in spans, or a hypertable.

Found out once per connection, because a migration may turn the one into the other. Which readings are
written, and that each is written once, is decided elsewhere and the same for both.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import psycopg

from streams import hypertable, span_tables
from streams.copy_rows import copy_in
from streams.spans import Span


class ReadingsTable(Protocol):
    @property
    def says(self) -> str:
        """For the log."""

    async def make_room(self, connection: psycopg.AsyncConnection, times: np.ndarray, city_us: int) -> None:
        """Before a transaction whose readings have these times."""

    async def copy(self, connection: psycopg.AsyncConnection, records: np.ndarray) -> None:
        """Within the transaction."""

    async def tend(self, connection: psycopg.AsyncConnection, city_us: int, rows_s: float) -> None:
        """Now and then, beside the writing, on a connection in autocommit."""


class InSpans:
    """Plain PostgreSQL: a table for each span of time."""

    says = "a table in spans, plain PostgreSQL: no compression, no retention"

    def __init__(self, spans: list[Span], width_us: int) -> None:
        self._spans = spans
        self._width_us = width_us

    async def make_room(self, connection: psycopg.AsyncConnection, times: np.ndarray, city_us: int) -> None:
        self._spans = await span_tables.make_missing(connection, times, self._spans, city_us, self._width_us)

    async def copy(self, connection: psycopg.AsyncConnection, records: np.ndarray) -> None:
        await copy_in(connection, records)

    async def tend(self, connection: psycopg.AsyncConnection, city_us: int, rows_s: float) -> None:
        await span_tables.tend(connection, city_us, rows_s)


async def found(connection: psycopg.AsyncConnection, width_us: int) -> ReadingsTable:
    """`width_us` is that of new spans, where there are spans."""
    if table := await hypertable.found(connection):
        return table
    return InSpans([table.span for table in await span_tables.tables(connection)], width_us)
