"""Which other sensors a rule looks at from where a sensor stands: at its asset, in its zone, or by number.

Made once for a program. A source that nobody around tells leaves its condition unjudged; which rows it
means is settled when tracks are laid out, and their newest values are gathered where they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from schemas.inputs import Part
from schemas.registry import Sensor

Newest = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(rows, index of what asks for each) -> newest value and its time at that place of the log."""
NEVER = np.iinfo(np.int64).min


class Source(NamedTuple):
    """One column of inputs: `factor` x value + `offset` of the first sensor found, or how many count."""

    name: str
    scope: str  # asset (else its zone) | zone | number
    parts: tuple[Part, ...]
    counting: bool
    within_us: int
    factor: float = 1.0
    offset: float = 0.0
    number: int = 0  # of the sensor, where a site parameter names it


class Sources(NamedTuple):
    """[tracks, columns] or flat: the rows of column j of a track are rows[first : first + many]."""

    first: np.ndarray
    many: np.ndarray
    counting: np.ndarray
    within_us: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray


Key = tuple[frozenset[str], frozenset[str], frozenset[int]]


class Around:
    def __init__(self, sensors: Sequence[Sensor], zones: Sequence[str]) -> None:
        self._sensors, self._zones = sensors, zones
        self._by_zone: dict[tuple[str, str], list[int]] = {}
        self._by_asset: dict[tuple[str, str], list[int]] = {}
        self._row = {sensor.sensor: row for row, sensor in enumerate(sensors)}
        of_zone: dict[str, set[str]] = {}
        of_asset: dict[str, set[str]] = {}
        for row, sensor in enumerate(sensors):
            category = sensor.category or ""
            self._by_zone.setdefault((zones[row], category), []).append(row)
            of_zone.setdefault(zones[row], set()).add(category)
            if sensor.asset:
                self._by_asset.setdefault((sensor.asset, category), []).append(row)
                of_asset.setdefault(sensor.asset, set()).add(category)
        self._of_zone = {zone: frozenset(found) for zone, found in of_zone.items()}
        self._of_asset = {asset: frozenset(found) for asset, found in of_asset.items()}

    def key(self, row: int) -> Key:
        """Sensors of one category and parameters with equal keys find the same kinds of sources."""
        sensor, zone = self._sensors[row], self._zones[row]
        here = self._of_zone[zone]
        if len(self._by_zone[zone, sensor.category or ""]) == 1:
            here = here - {sensor.category or ""}  # itself is no other sensor
        linked = (int(n) for name, n in sensor.params.items() if name.startswith("input."))
        at_asset = self._of_asset.get(sensor.asset or "", frozenset())
        if len(self._by_asset.get((sensor.asset or "", sensor.category or ""), ())) == 1:
            at_asset = at_asset - {sensor.category or ""}
        return here, at_asset, frozenset(n for n in linked if n in self._row)

    def rows(self, row: int, source: Source) -> list[tuple[int, Part]]:
        """The rows that tell a source; one at most unless it counts."""
        if source.scope == "number":
            return [(self._row[source.number], Part(""))] if source.number in self._row else []
        sensor, found = self._sensors[row], []
        for part in source.parts:
            at_asset = self._by_asset.get((sensor.asset or "", part.category), [])
            in_zone = self._by_zone.get((self._zones[row], part.category), [])
            places = [at_asset, in_zone] if source.scope == "asset" else [in_zone]
            for rows in places[:1] if source.counting else places:
                others = (other for other in rows if other != row)
                if source.counting:
                    found += [(other, part) for other in others]
                elif (first := next(others, None)) is not None:
                    return [(first, part)]
        return found


def told(key: Key, source: Source) -> bool:
    """Whether anybody around tells a source."""
    in_zone, at_asset, linked = key
    if source.scope == "number":
        return source.number in linked
    wanted = {part.category for part in source.parts}
    if source.scope == "asset":
        return bool(wanted & (at_asset if source.counting else in_zone | at_asset))
    return bool(wanted & in_zone)


def lay_out(around: Around, rows: Sequence[int], wanted: Sequence[tuple[Source, ...]]) -> Sources | None:
    """The sources of tracks; None if there are none."""
    width = max((len(sources) for sources in wanted), default=0)
    if not width:
        return None
    shape = (len(rows), width)
    flat: list[tuple[int, Part]] = []
    start, count = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    counting, within = np.zeros(shape, bool), np.zeros(shape, np.int64)
    factor, offset = np.ones(shape), np.zeros(shape)
    for track, (row, sources) in enumerate(zip(rows, wanted, strict=True)):
        for j, source in enumerate(sources):
            found = around.rows(row, source)
            start[track, j], count[track, j] = len(flat), len(found)
            counting[track, j], within[track, j] = source.counting, source.within_us
            factor[track, j], offset[track, j] = source.factor, source.offset
            flat += found
    return Sources(
        start,
        count,
        counting,
        within,
        factor,
        offset,
        np.array([row for row, _ in flat], np.int64),
        np.array([part.counts.low for _, part in flat]),
        np.array([part.counts.high for _, part in flat]),
    )


def gather(
    sources: Sources, track: np.ndarray, at: np.ndarray, newest: Newest
) -> tuple[np.ndarray, np.ndarray]:
    """Each track's inputs [n, columns] as they stand when it asks at `at`, and when they were measured.

    NaN where nobody has told anything of late; a count of none is 0 from sensors never heard, too.
    """
    counts = sources.many[track]
    n, width = counts.shape
    flat_counts = counts.ravel()
    total = int(flat_counts.sum())
    out, when = np.full(n * width, np.nan), np.full(n * width, NEVER)
    if total:
        cell = np.repeat(np.arange(n * width), flat_counts)
        firsts = np.cumsum(flat_counts) - flat_counts
        place = np.repeat(sources.first[track].ravel() - firsts, flat_counts) + np.arange(total)
        value, seen = newest(sources.rows[place], cell // width)
        fresh = (seen != NEVER) & (np.abs(at[cell // width] - np.where(seen == NEVER, 0, seen))
                                   <= sources.within_us[track].ravel()[cell])  # fmt: skip
        counted = fresh & (value >= sources.low[place]) & (value <= sources.high[place])
        is_count = sources.counting[track].ravel()[cell]
        out[cell[~is_count]] = np.where(fresh, value, np.nan)[~is_count]
        when[cell[~is_count]] = seen[~is_count]
        np.maximum.at(when, cell[is_count & counted], seen[is_count & counted])
        out[cell[is_count]] = 0.0
        np.add.at(out, cell[counted & is_count], 1.0)
    out = out.reshape(n, width) * sources.factor[track] + sources.offset[track]
    return out, when.reshape(n, width)
