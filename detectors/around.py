"""Which other sensors a rule looks at from where a sensor stands: at its asset, in its zone, or by number.

Made once for a program. A source that nobody around tells leaves its condition unjudged; which rows it
means is settled when tracks are laid out, once for all that stand at one place. What these rows told is
gathered in detectors/newest.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from schemas.inputs import Part
from schemas.registry import Sensor

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
    """The rows of column j of a track are rows[first : first + many], itself left out where they are counted.
    Tracks of one place share them."""

    row: np.ndarray  # [tracks], their own
    kind: np.ndarray  # [tracks]
    first: np.ndarray  # [tracks, columns]
    many: np.ndarray
    counting: np.ndarray  # [kinds, columns]
    within_us: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    rows: np.ndarray  # flat
    low: np.ndarray
    high: np.ndarray

    def told_by(self, track: int) -> np.ndarray:
        """The rows behind columns of one sensor each; those that nobody tells are left out."""
        rows: np.ndarray = self.rows[self.first[track][self.many[track] > 0]]
        return rows


NO_SOURCES = Sources(np.empty(0, np.int64), np.empty(0, np.int32), *(np.empty((0, 0), np.int64),) * 2,
                     np.empty((0, 0), bool), np.empty((0, 0), np.int64), *(np.empty((0, 0)),) * 2,
                     np.empty(0, np.int64), *(np.empty(0),) * 2)  # fmt: skip
"""Of tracks that look at nothing else."""

Key = tuple[frozenset[str], frozenset[str], frozenset[int]]
NOWHERE = frozenset[str]()


def by_category(sensors: Sequence[Sensor]) -> dict[str, np.ndarray]:
    """Rows, ascending."""
    found: dict[str, list[int]] = {}
    for row, sensor in enumerate(sensors):
        found.setdefault(sensor.category or "", []).append(row)
    return {category: np.array(rows, np.int64) for category, rows in found.items()}


class Around:
    """`rows_of`: all rows by category."""

    def __init__(
        self, sensors: Sequence[Sensor], zones: Sequence[str], rows_of: dict[str, np.ndarray]
    ) -> None:
        self._sensors, self._zones = sensors, zones
        zone_of, zone_names = _numbered(zones)
        asset_of, asset_names = _numbered([sensor.asset or "" for sensor in sensors])
        self.place = zone_of * max(len(asset_names), 1) + asset_of
        """By row; sensors of one place have zone and asset in common."""
        self._by_zone = _by_place(zone_of, zone_names, rows_of)
        self._by_asset = _by_place(asset_of, asset_names, rows_of)
        self._row: dict[int, int] = {}
        self._of_zone = _categories(self._by_zone)
        self._of_asset = _categories(self._by_asset) | {"": NOWHERE}

    def peers(self) -> dict[tuple[str, str], np.ndarray]:
        """(category, zone) -> rows that may speak for or against a neighbour."""
        serving = np.array([sensor.state == "in-service" for sensor in self._sensors], bool)
        return {(category, zone): rows[serving[rows]] for (zone, category), rows in self._by_zone.items()}

    def row(self, number: int) -> int | None:
        if not self._row:
            self._row.update((sensor.sensor, row) for row, sensor in enumerate(self._sensors))
        return self._row.get(number)

    def key(self, row: int) -> Key:
        """Sensors of one category and parameters with equal keys find the same kinds of sources; those of one
        place, category and parameters have one."""
        sensor, zone = self._sensors[row], self._zones[row]
        category = sensor.category or ""
        here, at_asset = self._of_zone[zone], self._of_asset[sensor.asset or ""]
        if len(self._by_zone[zone, category]) == 1:
            here = here - {category}  # itself is no other sensor
        if sensor.asset and len(self._by_asset[sensor.asset, category]) == 1:
            at_asset = at_asset - {category}
        linked = (int(n) for name, n in sensor.params.items() if name.startswith("input."))
        return here, at_asset, frozenset(n for n in linked if self.row(n) is not None)

    def near(self, row: int, source: Source) -> Iterator[tuple[int, Part]]:
        """The rows that may tell a source at the place of `row`, itself among them, the nearest first."""
        sensor = self._sensors[row]
        for part in source.parts:
            if source.scope == "asset" and sensor.asset:
                yield from ((other, part) for other in self._at(self._by_asset, sensor.asset, part))
            if source.scope != "asset" or not source.counting:
                yield from ((other, part) for other in self._at(self._by_zone, self._zones[row], part))

    def _at(self, by_place: dict[tuple[str, str], np.ndarray], place: str, part: Part) -> list[int]:
        found = by_place.get((place, part.category))
        return [] if found is None else found.tolist()


def _numbered(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    numbers: dict[str, int] = {}
    of = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return of, list(numbers)


def _by_place(
    place_of: np.ndarray, names: list[str], rows_of: dict[str, np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    found = {}
    for category, rows in rows_of.items():
        place = place_of[rows]
        order = np.argsort(place, kind="stable")
        there, first = np.unique(place[order], return_index=True)
        for number, part in zip(there.tolist(), np.split(rows[order], first[1:]), strict=True):
            found[names[number], category] = part
    return found


def _categories(by_place: dict[tuple[str, str], np.ndarray]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for place, category in by_place:
        found.setdefault(place, set()).add(category)
    return {place: frozenset(categories) for place, categories in found.items()}


def told(key: Key, source: Source) -> bool:
    """Whether anybody around tells a source."""
    in_zone, at_asset, linked = key
    if source.scope == "number":
        return source.number in linked
    wanted = {part.category for part in source.parts}
    if source.scope == "asset":
        return bool(wanted & (at_asset if source.counting else in_zone | at_asset))
    return bool(wanted & in_zone)


def lay_out(
    around: Around, rows: np.ndarray, kind: np.ndarray, wanted: Sequence[tuple[Source, ...]]
) -> Sources | None:
    """The sources of tracks, by kind; None if there are none."""
    width = max((len(sources) for sources in wanted), default=0)
    if not width:
        return None
    shape = len(wanted), width
    counting, within = np.zeros(shape, bool), np.zeros(shape, np.int64)
    factor, offset = np.ones(shape), np.zeros(shape)
    named = np.full(shape, -1)  # the row, where a number says which
    at_places: list[tuple[int, int, Source]] = []
    for number, sources in enumerate(wanted):
        for j, source in enumerate(sources):
            counting[number, j], within[number, j] = source.counting, source.within_us
            factor[number, j], offset[number, j] = source.factor, source.offset
            if source.scope != "number":
                at_places.append((number, j, source))
            elif (row := around.row(source.number)) is not None:
                named[number, j] = row
    flat = _Flat(named[named >= 0])
    first = np.where(named >= 0, np.cumsum(named >= 0).reshape(shape) - 1, 0)[kind]
    many = (named >= 0).astype(np.int64)[kind]
    tracks_of = _together(kind, len(wanted)) if at_places else []
    for number, j, source in at_places:
        for tracks, near in _near(around, rows, tracks_of[number], source):
            first[tracks, j], many[tracks, j] = flat.add(near)
    return Sources(rows, kind, first, many, counting, within, factor, offset, *flat.arrays())


class _Flat:
    """Rows one behind the other, and between what values they count."""

    def __init__(self, rows: np.ndarray) -> None:
        counts = Part("").counts
        self._rows: list[int] = rows.tolist()
        self._low, self._high = [counts.low] * len(rows), [counts.high] * len(rows)

    def add(self, found: Iterable[tuple[int, Part]]) -> tuple[int, int]:
        """Where they begin, and how many they are."""
        before = len(self._rows)
        for row, part in found:
            self._rows.append(row)
            self._low.append(part.counts.low)
            self._high.append(part.counts.high)
        return before, len(self._rows) - before

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self._rows, np.int64), np.array(self._low), np.array(self._high)


def _together(number: np.ndarray, count: int) -> list[np.ndarray]:
    """The places of each number."""
    ends = np.cumsum(np.bincount(number, minlength=count))
    return np.split(np.argsort(number, kind="stable"), ends[:-1])


def _near(
    around: Around, rows: np.ndarray, tracks: np.ndarray, source: Source
) -> Iterator[tuple[np.ndarray, Iterable[tuple[int, Part]]]]:
    """Tracks of one place, and what tells the source to them: of those that are counted all, else one."""
    _, of, place = np.unique(around.place[rows[tracks]], return_index=True, return_inverse=True)
    for first, group in zip(of.tolist(), _together(place, len(of)), strict=True):
        group = tracks[group]
        near = around.near(int(rows[tracks[first]]), source)
        if source.counting:
            yield group, near
            continue
        nearest = next(near, None)
        if nearest is None:
            continue
        itself = rows[group] == nearest[0]
        yield group[~itself], [nearest]
        if itself.any() and (second := next((o for o in near if o[0] != nearest[0]), None)) is not None:
            yield group[itself], [second]
