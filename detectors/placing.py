"""Which rule watches which sensor, and in which lane: arrays of rows, not sensors one by one.

Sensors of one category, parameters and interval are bound alike and once, those that look around once for
each place that tells alike. A row takes the first lane of its kind where it is free; tracks with windows
stand apart, for speed. What becomes of a lane is detectors/program.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from detectors.around import Around, Key
from detectors.binding import relevant
from detectors.contract import Bound, Detector
from detectors.known import Known
from detectors.members import groups
from detectors.registry import DETECTORS
from schemas.catalogue import catalogue
from schemas.registry import Gateway, Sensor
from schemas.rule import Rule

Drafts = dict[tuple[str, int], list["Draft"]]


class Places(NamedTuple):
    """The sensors and gateways of a program; arrays are by row."""

    sensors: tuple[Sensor, ...]
    zones: tuple[str, ...]
    gateways: tuple[Gateway, ...]
    gateway: np.ndarray
    rows_of: dict[str, np.ndarray]  # by category, ascending
    around: Around


class LeftOut(NamedTuple):
    """Rows of which a rule leaves something out, and why."""

    rule: str
    rows: np.ndarray
    reasons: tuple[str, ...]


class Draft:
    """A lane while it is being filled; by row the rule and the bound of its track."""

    def __init__(self, detector: Detector, rows: int) -> None:
        self.detector = detector
        self.rule = np.full(rows, -1, np.int32)
        self.bound = np.zeros(rows, np.int32)
        self.bounds: list[Bound] = []

    def put(self, rows: np.ndarray, rule: int, bound: Bound) -> None:
        self.rule[rows], self.bound[rows] = rule, len(self.bounds)
        self.bounds.append(bound)

    def tracks(self) -> tuple[np.ndarray, np.ndarray, tuple[Bound, ...]]:
        """Rows that have one, the kind of each, and the bound of each kind, as they come by row."""
        rows = np.flatnonzero(self.rule >= 0)
        used, first, kind = np.unique(self.bound[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(used), np.int32)
        rank[order] = np.arange(len(used))
        return rows, rank[kind], tuple(self.bounds[number] for number in used[order].tolist())


class Alike(NamedTuple):
    """Sensors for which every rule is bound alike, but for what stands around them."""

    rows: np.ndarray  # ascending
    sensor: Sensor  # the first of them
    every_s: float  # the gateway's interval
    params: tuple[tuple[str, float], ...]  # what they have in common beside it


def alike(places: Places) -> dict[str, list[Alike]]:
    """By category; those that the catalogue does not have are left out."""
    intervals = [gateway.interval_s for gateway in places.gateways]
    found: dict[str, list[Alike]] = {}
    for category, rows in places.rows_of.items():
        if category not in catalogue():
            continue
        numbers: dict[tuple[float, tuple[tuple[str, float], ...]], int] = {}
        written: dict[object, int] = {}  # the same in another order is the same
        of = []
        for row, gateway in zip(rows.tolist(), places.gateway[rows].tolist(), strict=True):
            params, every_s = places.sensors[row].params, intervals[gateway]
            key = every_s, *params.items()
            if key not in written:
                written[key] = numbers.setdefault((every_s, relevant(params)), len(numbers))
            of.append(written[key])
        kinds = list(numbers)
        found[category] = [
            Alike(part, places.sensors[int(part[0])], *kinds[number])
            for number, part in enumerate(_split(rows, np.array(of, np.int64)))
        ]
    return found


def _split(rows: np.ndarray, by: np.ndarray) -> list[np.ndarray]:
    """Rows of one number together, by number."""
    order = np.argsort(by, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(by[order])) + 1)


def place_rules(places: Places, rules: Sequence[Rule], known: Known) -> tuple[Drafts, list[LeftOut]]:
    drafts: Drafts = {}
    left_out: list[LeftOut] = []
    of_category = alike(places)
    for number, rule in enumerate(rules):
        detector = DETECTORS[rule.detector]
        size = len(places.gateways if detector.looks_at == "gateways" else places.sensors)
        if detector.looks_at == "gateways":
            bounds = _of_gateways(rule, detector, places)
        elif detector.bind_group is not None:
            bounds = _of_groups(rule, detector, places, left_out)
        else:
            bounds = _of_sensors(rule, detector, places, of_category, known)
        for rows, bound in bounds:
            if bound.reasons:
                left_out.append(LeftOut(rule.name, rows, bound.reasons))
            if bound.levels:
                _place(
                    drafts.setdefault((detector.name, bound.width), []), detector, size, rows, number, bound
                )
    return drafts, left_out


def _place(
    lanes: list[Draft], detector: Detector, size: int, rows: np.ndarray, rule: int, bound: Bound
) -> None:
    for draft in lanes:
        free = draft.rule[rows] < 0
        if free.any():
            draft.put(rows[free], rule, bound)
            rows = rows[~free]
    if len(rows):
        lanes.append(Draft(detector, size))
        lanes[-1].put(rows, rule, bound)


def _of_gateways(rule: Rule, detector: Detector, places: Places) -> Iterator[tuple[np.ndarray, Bound]]:
    for i, gateway in enumerate(places.gateways):
        if not rule.selector.zones or gateway.zone in rule.selector.zones:
            yield np.array([i]), detector.bind(rule, None, None, gateway.interval_s)


def _of_groups(
    rule: Rule, detector: Detector, places: Places, left_out: list[LeftOut]
) -> Iterator[tuple[np.ndarray, Bound]]:
    assert detector.bind_group is not None
    found, lacking = groups(rule, places.sensors, places.zones, places.rows_of, each=detector.each)
    left_out += [LeftOut(rule.name, np.array([row]), (reason,)) for row, reason in lacking]
    for row, members in found:
        category = catalogue()[places.sensors[row].category or ""]
        yield np.array([row]), detector.bind_group(rule, category, members)


def _of_sensors(
    rule: Rule,
    detector: Detector,
    places: Places,
    of_category: dict[str, list[Alike]],
    known: Known,
) -> Iterator[tuple[np.ndarray, Bound]]:
    selector = rule.selector
    everywhere = not (selector.zones or selector.assets or selector.tags)
    for key in dict.fromkeys(selector.categories or of_category):
        for rows, sensor, every_s, params in of_category.get(key, ()):
            if not everywhere:
                rows = np.array([row for row in rows.tolist() if _fits(rule, places, row)], np.int64)
            if not len(rows):
                continue
            made_of = rule.name, rule.version, key, every_s, params
            if detector.bind_among is None:
                bind = partial(detector.bind, rule, sensor, catalogue()[key], every_s)
                yield rows, known.bound(made_of, bind)
                continue
            for part, around in _by_key(places.around, rows):
                among = partial(detector.bind_among, rule, sensor, catalogue()[key], every_s, around)
                bound = known.bound((*made_of, around), among)
                if not bound.looked_around:
                    yield rows, bound
                    break
                yield part, bound


def _fits(rule: Rule, places: Places, row: int) -> bool:
    sensor = places.sensors[row]
    return rule.selector.fits(places.zones[row], sensor.asset, sensor.tags)


def _by_key(around: Around, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Key]]:
    """Rows of one category that find the same kinds of sources."""
    _, first, place = np.unique(around.place[rows], return_index=True, return_inverse=True)
    keys: dict[Key, int] = {}
    of = [keys.setdefault(around.key(int(rows[i])), len(keys)) for i in first.tolist()]
    yield from zip(_split(rows, np.array(of, np.int64)[place]), keys, strict=True)


def by_row(found: Iterable[LeftOut]) -> Iterator[tuple[int, str, str]]:
    """(row, rule, reason), rule by rule and in it by row."""
    last: list[LeftOut] = []
    for one in found:
        if last and last[0].rule != one.rule:
            yield from _in_order(last)
            last = []
        last.append(one)
    yield from _in_order(last)


def _in_order(found: list[LeftOut]) -> Iterator[tuple[int, str, str]]:
    if not found:
        return
    rows = np.concatenate([one.rows for one in found])
    of = np.repeat(np.arange(len(found)), [len(one.rows) for one in found])
    order = np.argsort(rows, kind="stable")
    for row, number in zip(rows[order].tolist(), of[order].tolist(), strict=True):
        for reason in found[number].reasons:
            yield row, found[number].rule, reason
