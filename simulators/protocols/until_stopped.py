"""Work that goes on until it is told to stop, or until it fails, which its caller must hear."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Raises what `work` raised; cancelled once `stop` is set, and waited for."""
    ended = asyncio.ensure_future(stop.wait())
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([ended, working], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        ended.cancel()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
