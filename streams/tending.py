"""When the upkeep of the readings' table is due beside the writing, and when it is given up.

It is due now and then, and at once when a rush of rows begins: then an exact index is in the way. What is
under way when a rush begins is given up first, as building an index for minutes would take a core from the
alerts. What upkeep is, the table decides (streams/span_tables.py, streams/hypertable.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from streams.span_tables import BUSY_ROWS_S

log = logging.getLogger(__name__)

TEND_S = 10.0
LOOK_S = 1.0

Upkeep = Callable[[float], Awaitable[None]]
"""Takes the rows a second that come in. May be cancelled at any time, and begins anew then."""


async def tend(upkeep: Upkeep, rows: Callable[[], int], wall_us: Callable[[], int]) -> None:
    """Until cancelled. `rows` counts up what was written. Raises what `upkeep` raised."""
    rushing = False
    while True:
        rows_s = await _due(rows, wall_us, rushing)
        rushing = rows_s > BUSY_ROWS_S
        rush_s = await _done(upkeep(rows_s), rows, wall_us, rushing)
        if rush_s is not None:
            log.info("%.0f rows/s: upkeep is given up for a rush", rush_s)
            rushing = True
            await upkeep(rush_s)


async def _due(rows: Callable[[], int], wall_us: Callable[[], int], rushing: bool) -> float:
    """Rows a second over the time until upkeep is due, which is at once when a rush begins."""
    before, since = rows(), wall_us()
    while True:
        lately_s = await _lately(rows, wall_us, asyncio.sleep(LOOK_S))
        if lately_s > BUSY_ROWS_S and not rushing:
            return lately_s
        if (passed_s := (wall_us() - since) / 1e6) >= TEND_S:
            return (rows() - before) / passed_s


async def _done(
    upkeep: Awaitable[None], rows: Callable[[], int], wall_us: Callable[[], int], rushing: bool
) -> float | None:
    """None when it is through; the rows a second of the rush for which it was given up."""
    working = asyncio.ensure_future(upkeep)
    try:
        while not working.done():
            lately_s = await _lately(rows, wall_us, asyncio.wait({working}, timeout=LOOK_S))
            if lately_s > BUSY_ROWS_S and not rushing and not working.done():
                return lately_s
        working.result()
        return None
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _lately(rows: Callable[[], int], wall_us: Callable[[], int], wait: Awaitable[object]) -> float:
    before, since = rows(), wall_us()
    await wait
    return (rows() - before) * 1e6 / max(wall_us() - since, 1)
