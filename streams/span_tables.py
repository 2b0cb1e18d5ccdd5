"""The tables of spans: made when a reading needs one, indexed when they can afford it.

A table begins with a block index (BRIN), which costs nothing and finds a sensor in 40 ms among five million
rows sorted by batch; the exact index (sensor, time) makes writing three times slower. So the exact one is
built, beside the writing, once the span is over or little is coming in, and taken away again from an open
span when much comes. Nothing is ever detached or deleted here.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import psycopg
from psycopg import sql

from schemas.clock import to_datetime, to_us
from streams.spans import Span, missing

log = logging.getLogger(__name__)

SCHEMA = "readings_spans"
LOCK = 0x6369_7479_0002  # the advisory lock of those who make spans
QUIET_ROWS_S = 50_000.0  # below it the exact index keeps up with ease
BUSY_ROWS_S = 120_000.0  # above it the exact index would take the time that writing needs
CLOSED_AFTER_US = 10 * 60 * 1_000_000  # city time: stragglers of a span that is over


class Table(NamedTuple):
    """A span's table: whether it has the exact index, and whether that one is whole (not half built)."""

    span: Span
    indexed: bool
    whole: bool


def index_change(table: Table, city_us: int, rows_s: float) -> str | None:
    """What to do about a table's exact index: "build", "drop", "rebuild" (a build was interrupted) or None.

    >>> index_change(Table(Span(0, 60), False, False), 0, rows_s=200_000.0) is None
    True
    >>> index_change(Table(Span(0, 60), False, False), CLOSED_AFTER_US + 60, rows_s=200_000.0)
    'build'
    """
    closed = table.span.end + CLOSED_AFTER_US <= city_us
    if not closed and rows_s > BUSY_ROWS_S:
        return "drop" if table.indexed else None
    if table.indexed:
        return None if table.whole else "rebuild"
    return "build" if closed or rows_s < QUIET_ROWS_S else None


async def tables(connection: psycopg.AsyncConnection) -> list[Table]:
    """Every span there is, in the order of time."""
    found = await connection.execute(
        """
        select pg_get_expr(c.relpartbound, c.oid), x.indexrelid is not null, coalesce(x.indisvalid, false)
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        left join pg_class e on e.relname = c.relname || '_exact' and e.relnamespace = c.relnamespace
        left join pg_index x on x.indexrelid = e.oid
        where i.inhparent = 'readings'::regclass
        """
    )
    rows = await found.fetchall()
    bounds = await _bounds(connection, [text for text, _, _ in rows])
    return sorted(Table(span, indexed, whole) for span, (_, indexed, whole) in zip(bounds, rows, strict=True))


async def _bounds(connection: psycopg.AsyncConnection, texts: list[str]) -> list[Span]:
    """From "FOR VALUES FROM ('...') TO ('...')"; PostgreSQL itself reads the times, in any of its zones."""
    pairs = [(text.split("'")[1], text.split("'")[3]) for text in texts]
    found = await connection.execute(
        "select a::timestamptz, b::timestamptz"
        " from unnest(%s::text[], %s::text[]) with ordinality as t (a, b, n) order by n",
        [[start for start, _ in pairs], [end for _, end in pairs]],
    )
    return [Span(to_us(start), to_us(end)) for start, end in await found.fetchall()]


async def make_missing(
    connection: psycopg.AsyncConnection, times: np.ndarray, spans: list[Span], city_us: int, width: int
) -> list[Span]:
    """The spans after every one of `times` has one; `spans`, the caller's last knowledge, is left alone.

    In a transaction of its own: attaching a table keeps no reader or writer out.
    """
    if not missing(times, spans, city_us, width):
        return spans
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        there = [table.span for table in await tables(connection)]
        new = missing(times, there, city_us, width)
        for span in new:
            await _make(connection, span)
    return sorted(there + new)


async def _make(connection: psycopg.AsyncConnection, span: Span) -> None:
    names = {
        "table": sql.Identifier(SCHEMA, span.name),
        "blocks": sql.Identifier(f"{span.name}_blocks"),
        "start": sql.Literal(to_datetime(span.start)),
        "end": sql.Literal(to_datetime(span.end)),
    }
    for command in (
        # Nothing in it is ever changed. Each doubling is enough for a look at it, and at its end it is whole.
        "create table {table} (like public.readings)"
        " with (autovacuum_vacuum_insert_scale_factor = 1.0, autovacuum_analyze_scale_factor = 1.0)",
        "create index {blocks} on {table} using brin (sensor, time)"
        " with (pages_per_range = 16, autosummarize = on)",
        "alter table public.readings attach partition {table} for values from ({start}) to ({end})",
    ):
        await connection.execute(sql.SQL(command).format(**names))
    log.info("made span %s", span.name)


async def tend(connection: psycopg.AsyncConnection, city_us: int, rows_s: float) -> None:
    """Builds and takes away exact indexes, and lets block indexes learn of new pages. Needs autocommit."""
    for table in await tables(connection):
        names = {
            "table": sql.Identifier(SCHEMA, table.span.name),
            "exact": sql.Identifier(f"{table.span.name}_exact"),
            "exact_there": sql.Identifier(SCHEMA, f"{table.span.name}_exact"),
        }
        change = index_change(table, city_us, rows_s)
        if change in ("drop", "rebuild"):
            await connection.execute(
                sql.SQL("drop index concurrently if exists {exact_there}").format(**names)
            )
        if change in ("build", "rebuild"):
            await connection.execute(
                sql.SQL("create index concurrently {exact} on {table} (sensor, time)").format(**names)
            )
        if change:
            log.info("span %s: %s exact index", table.span.name, change)
        elif not table.indexed:
            await connection.execute(
                "select brin_summarize_new_values(%s::regclass)", [f"{SCHEMA}.{table.span.name}_blocks"]
            )
