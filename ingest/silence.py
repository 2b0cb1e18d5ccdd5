"""Which gateways have not been heard of for longer than their allowance, in city time.

Pure. Only time in which ingest could hear counts, so neither a broker that was away nor a restart of ours
makes every gateway silent: at its start each registered gateway has one allowance. A gateway that the log's
last tick called silent stays silent until it is heard.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.registry import Registry

LONGEST_STEP_US = 5_000_000
"""Of wall time: what a process that was suspended did not hear is not silence of others."""

LEAST_WALL_US = 10_000_000
"""Where the city's time runs faster than people's, connecting and a slow machine take so much of ours."""


class Hearing:
    def __init__(self, scale: float, silent: Iterable[str] = ()) -> None:
        self._scale = scale
        self._least_us = round(LEAST_WALL_US * scale) if scale > 1 else 0
        self._heard_us = 0  # city time for which we have been able to hear
        self._last_wall_us: int | None = None
        self._heard: dict[str, int] = {}
        self._silent = set(silent)

    def heard(self, gateway: str) -> None:
        self._heard[gateway] = self._heard_us
        self._silent.discard(gateway)

    def lost(self, gateway: str) -> None:
        """It is known to be gone: silent from now on, until it is heard."""
        self._silent.add(gateway)

    def pass_time(self, wall_us: int, *, hearing: bool) -> None:
        """Time has passed up to `wall_us`, in which we could hear, or not."""
        if self._last_wall_us is not None and hearing:
            step = min(max(wall_us - self._last_wall_us, 0), LONGEST_STEP_US)
            self._heard_us += round(step * self._scale)
        self._last_wall_us = wall_us

    def silent(self, registry: Registry, partitions: int) -> list[tuple[str, ...]]:
        """The silent gateways of each partition, sorted. A gateway new to the registry gets its allowance."""
        found: list[list[str]] = [[] for _ in range(partitions)]
        for gateway, entry in registry.gateways.items():
            allowance_us = max(round(entry.allowance_s * 1_000_000), self._least_us)
            if gateway not in self._heard:
                self._heard[gateway] = self._heard_us
            if gateway in self._silent or self._heard_us - self._heard[gateway] > allowance_us:
                self._silent.add(gateway)
                found[registry.partition_of(gateway) % partitions].append(gateway)
        return [tuple(sorted(some)) for some in found]
