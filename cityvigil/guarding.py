"""What nobody watches, and what is watched only once something has been learned: a picture for the console.

Made in a thread when the registry or the rules have changed and every quarter of an hour, of what detect
would compile and of detect's own newest snapshots; whoever asks gets the newest picture at once. Where no
snapshot can be read all that is to be learned counts as not learned.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from cityvigil.unguarded import Unjudged, unjudged
from schemas.registry import Registry
from schemas.rule import Rule
from streams.state import Snapshots

log = logging.getLogger(__name__)

AGAIN_S = 900.0

Picture = Mapping[int, list[Unjudged]]


class Guarding:
    """`snapshots` opens them anew: detect may begin to keep some later than this process."""

    def __init__(self, snapshots: Callable[[], Snapshots | None]) -> None:
        self._snapshots = snapshots
        self._seen: object = None
        self._begun_at = float("-inf")
        self._making: asyncio.Task[Picture] | None = None
        self._picture: Picture | None = None

    @property
    def picture(self) -> Picture | None:
        """By sensor; None before the first. Raises whatever went wrong in making it."""
        if self._making is not None and self._making.done():
            self._picture, self._making = self._making.result(), None
        return self._picture

    def counts(self) -> dict[str, int]:
        """Sensors: with something unjudged for want of parameters or others, still learning, and of these
        with nothing else that guards them."""
        picture = self.picture
        if picture is None:
            return {}
        learning = [parts for parts in picture.values() if any(one.learns for one in parts)]
        return {
            "unguarded": sum(not all(one.learns for one in parts) for parts in picture.values()),
            "learning": len(learning),
            "learning_alone": sum(any(one.alone for one in parts) for parts in learning),
        }

    def look(self, registry: Registry, rules: Mapping[str, Rule], version: object) -> None:
        """Begins another picture if this one is of another version, or old. Copies what it is given."""
        new = version != self._seen or time.monotonic() - self._begun_at >= AGAIN_S
        _ = self.picture  # takes over what is finished
        if self._making is not None or not new:
            return
        self._seen, self._begun_at = version, time.monotonic()
        mine = Registry(
            dict(registry.zones), dict(registry.gateways), dict(registry.sensors), dict(registry.by_number)
        )
        making = asyncio.to_thread(self._made, mine, list(rules.values()))
        self._making = asyncio.create_task(making, name="guarding")

    def _made(self, registry: Registry, rules: list[Rule]) -> Picture:
        try:
            return unjudged(registry, rules, self._snapshots())
        except OSError as error:
            log.warning("detect's snapshots cannot be read, so nothing counts as learned: %s", error)
            return unjudged(registry, rules, None)

    async def close(self) -> None:
        if self._making is not None:
            await asyncio.wait({self._making})
