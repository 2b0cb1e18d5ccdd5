"""Starts again what dies of Mosquitto, Kafka and PostgreSQL, for as long as a city runs.

A broker that `stack down` stopped is left alone; one that was killed, or crashed, is started at once, and
after ever longer pauses while it keeps dying. It does not wait until it answers: the services do.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from cityvigil import stack
from cityvigil.errors import CannotRun
from cityvigil.supervisor import LIVED_S, PAUSE_S

log = logging.getLogger(__name__)

LOOK_S = 0.2


async def keep_alive(data: Path) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    died: dict[str, int] = {}
    raised_at: dict[str, float] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        for name in await asyncio.to_thread(stack.fallen, data):
            since = loop.time() - raised_at.get(name, -LIVED_S)
            died[name] = died.get(name, 0) if since < LIVED_S else 0
            if since < PAUSE_S[min(died[name], len(PAUSE_S) - 1)]:
                continue
            log.warning("%s is gone: starting it again", name)
            try:
                await asyncio.to_thread(stack.raise_up, data, [name])
            except CannotRun as error:
                log.error("%s: %s", name, error)
            died[name] += 1
            raised_at[name] = loop.time()
