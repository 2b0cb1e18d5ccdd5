"""Which faults the simulated city is given, and until when each must have been told.

Kinds, magnitudes between two limits and levels stand in `city_faults.csv`, chains of faults across networks
in `city_cascades.csv`; where, when and how strongly comes from a seed. `due_s` is D_max: what the catalogue's
row itself takes (report interval, hold, window), the time in which the fault develops, and the time that an
officer has to acknowledge an alert of that level. It was fixed before a run was looked at.
"""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from detectors.expression import Condition, For, parse_cell
from detectors.hold import parse_hold
from schemas.catalogue import Category, catalogue
from schemas.default_rules import cells
from simulators.city import WHOLE
from simulators.effects import STRIKE_S, Bend, Effect, strikes
from simulators.faults import GATHERS_S, FaultSpec
from simulators.kinds import KINDS, Kind
from simulators.weather import LAGS_S

ACKNOWLEDGE_S = {1: 60, 2: 300, 3: 900, 4: 7200}
"""By level: what is lost while nobody is told must be less than what is lost while nobody answers."""
MINUTE_S = 60
DAY_S = 86_400
OWN_REPORTS = 10
"""Reports after which a fault of our own device must have been told."""
DEVELOPS_WITHIN_S = 4 * 3600
FULLY = 0.99
LEARNED = ("dev", "drop", "resid", "dev_curve")
WAITS = ("sum", "mean", "min", "growth")
"""Windows that must be full; a rate or a maximum tells at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row of `city_faults.csv`. Without a level nothing may be told."""

    kind: str
    least: float
    most: float
    level: int | None
    minutes: int


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault of a play; `cascade` names the chain that it is part of."""

    spec: FaultSpec
    due_s: float
    cascade: str = ""


@dataclass(frozen=True, slots=True)
class Play:
    """Faults that happen side by side in one copy of the city, which goes on for `minutes`."""

    faults: tuple[Planted, ...]
    minutes: int
    step_s: int = MINUTE_S


@functools.cache
def asked() -> dict[str, Asked]:
    return {
        row["kind"]: Asked(
            row["kind"],
            float(row["least"] or 0),
            float(row["most"] or 0),
            int(row["level"]) if row["level"] else None,
            int(row["minutes"]),
        )
        for row in _rows("city_faults.csv")
    }


@functools.cache
def cascades() -> dict[str, list[tuple[str, int]]]:
    """name -> kinds with minutes after the first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in _rows("city_cascades.csv"):
        found.setdefault(row["cascade"], []).append((row["kind"], int(row["after_min"])))
    return found


def plays(zones: Sequence[str], rng: np.random.Generator, kinds: Iterable[str] = ()) -> list[Play]:
    """Every kind once (or those of `kinds`), side by side where they do not meet."""
    chosen = set(kinds) or {kind for kind in asked() if KINDS[kind].trouble is None}
    order = [kind for kind in asked() if kind in chosen]
    found = []
    for _, alike in itertools.groupby(sorted(order, key=_length), key=_length):
        shuffled = list(alike)
        rng.shuffle(shuffled)
        shuffled.sort(key=lambda kind: "all" not in _meets(kind))
        found += [_play(slots, rng) for slots in _side_by_side(shuffled, len(zones), rng, zones)]
    return found


def chain_plays(zones: Sequence[str], rng: np.random.Generator, names: Iterable[str] = ()) -> list[Play]:
    """Every cascade once, each in a zone of its own."""
    order = list(names) or list(cascades())
    rng.shuffle(order)
    found = []
    for begin in range(0, len(order), len(zones)):
        faults = []
        for zone, name in zip(
            rng.permutation(zones).tolist(), order[begin : begin + len(zones)], strict=False
        ):
            since_min = int(rng.integers(5, 30))
            faults += [_planted(kind, zone, since_min + after, rng, name) for kind, after in cascades()[name]]
        found.append(_of(faults))
    return found


def due_s(kind: str) -> float:
    """D_max from the onset on, in seconds.

    >>> due_s("main-burst"), due_s("fire-tank-empty") / 60, due_s("gas-seep") / 60
    (660, 66.0, 152.0)
    """
    row = asked()[kind]
    if row.level is None:
        return row.minutes * MINUTE_S
    facts = KINDS[kind]
    most = ACKNOWLEDGE_S[row.level] + _develops_s(facts, (row.least + row.most) / 2)
    if facts.telemetry is not None or kind == "sensor-drift":
        return min(most + OWN_REPORTS * _interval_s(facts.category), row.minutes * MINUTE_S)
    assert facts.category is not None
    return min(most + _takes_s(catalogue()[facts.category], row.level), row.minutes * MINUTE_S)


def _takes_s(row: Category, level: int) -> float:
    levels, hold, _ = cells()[row.key]
    if level not in levels:
        return _interval_s(row.key)
    read = parse_hold(hold)
    longest = 0.0
    for group in parse_cell(levels[level]):
        took = 0.0
        for condition in group.conditions:
            usual = For() if isinstance(read, str) else read.of(level, condition.term.name)
            took = max(took, _condition_s(row, condition, condition.hold or usual))
        longest = max(longest, took)
    return longest


def _condition_s(row: Category, condition: Condition, hold: For) -> float:
    term = condition.term
    at_once = row.edge and term.name not in LEARNED
    every = MINUTE_S if at_once else _interval_s(row.key)
    held = hold.us / 1e6 if hold.us else hold.reports * every if not hold.within_us else hold.within_us / 1e6
    window = (
        term.span_us / 1e6 if term.name in WAITS else DAY_S if term.name in ("resid", "dev_curve") else 0.0
    )
    return every + held + window


@functools.cache
def _interval_s(category: str | None) -> float:
    """At which the city's sensors of a category report."""
    return next((p.interval_s for n in WHOLE for p in n.plan if p.category == category), MINUTE_S)


def _develops_s(kind: Kind, magnitude: float) -> float:
    """Until the fault is fully there; 0 for what grows without end."""
    if kind.sky is not None:
        return GATHERS_S
    if kind.trouble is not None:
        return GATHERS_S + LAGS_S["wet"]
    return _ramp_s(kind.bend, magnitude) if kind.bend is not None else 0.0


def _ramp_s(effect: Effect, magnitude: float) -> float:
    zero, one = np.zeros(1), np.ones(1)

    def at(since_s: float) -> float:
        return float(effect(Bend(zero, since_s, magnitude, one, one, zero))[0])

    end, middle = at(DEVELOPS_WITHIN_S), at(DEVELOPS_WITHIN_S / 2)
    if end == 0 or abs(end - middle) > (1 - FULLY) * abs(end):
        return 0.0
    steps = range(0, DEVELOPS_WITHIN_S, MINUTE_S)
    return float(next(s for s in steps if abs(at(s) - end) <= (1 - FULLY) * abs(end)))


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("cityvigil.quality").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _length(kind: str) -> int:
    """Plays of a few hours, of half a day, and of days."""
    return int(np.searchsorted((240, 720), asked()[kind].minutes))


def _side_by_side(
    kinds: Sequence[str], zones: int, rng: np.random.Generator, names: Sequence[str]
) -> list[list[tuple[str, str]]]:
    """Kinds to zones of plays: no two of one network in a zone, the sky and gateways alone."""
    taken: list[list[set[str]]] = []
    found: list[list[tuple[str, str]]] = []
    for kind in kinds:
        mine = _meets(kind)
        places = [
            (play, zone)
            for play, used in enumerate(taken)
            for zone in range(zones)
            if not (used[zone] & mine or "all" in used[zone] or ("all" in mine and used[zone]))
        ]
        if not places:
            taken.append([set() for _ in range(zones)])
            found.append([])
            places = [(len(taken) - 1, int(rng.integers(zones)))]
        play, zone = places[int(rng.integers(len(places)))]
        taken[play][zone] |= mine
        found[play].append((kind, names[zone]))
    return found


def _meets(kind: str) -> set[str]:
    facts = KINDS[kind]
    if facts.sky is not None or facts.category is None:
        return {"all"}
    return {facts.network, *(catalogue()[touch.category].domain for touch in facts.touches)}


def _play(slots: list[tuple[str, str]], rng: np.random.Generator) -> Play:
    faults = [_planted(kind, zone, int(rng.integers(5, 60)), rng) for kind, zone in slots]
    return _of(faults)


def _of(faults: Sequence[Planted]) -> Play:
    """Bursts take steps finer than a minute to be seen."""
    minutes = round(max(f.spec.onset_s + f.spec.duration_s for f in faults) / 60) + 15
    bursts = any(KINDS[fault.spec.kind].bend is strikes for fault in faults)
    return Play(tuple(faults), minutes, STRIKE_S if bursts else MINUTE_S)


def _planted(kind: str, zone: str, since_min: int, rng: np.random.Generator, cascade: str = "") -> Planted:
    row = asked()[kind]
    magnitude = float(rng.uniform(row.least, row.most))
    unit = None if row.level is None else "-"
    spec = FaultSpec(kind, zone, since_min * 60.0, row.minutes * 60.0, magnitude, row.level, unit)
    return Planted(spec, due_s(kind), cascade)
