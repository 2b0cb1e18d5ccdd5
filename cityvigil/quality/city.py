"""The simulated city: every kind of fault told in time, false alerts on quiet days, cascades as one case.

The log that ingest would write is folded by the code that runs live, with the default rules; no service runs.
A city lives quietly until what must be learned is learned, then for some days on which every alert is false;
copies of it at hours of those days misbehave as `city_plan.py` says. Truth is looked at here only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from cityvigil.quality import city_plan
from cityvigil.quality.city_log import CityLog, registry_of
from cityvigil.quality.city_plan import Planted, Play
from cityvigil.quality.one_case import cases_of
from detectors.correlation import LINKS
from detectors.fold import Partition
from detectors.program import Program, compile_program
from schemas.alert import Alert
from schemas.control import Control, Tick
from schemas.default_rules import default_rules
from schemas.frame import Frame
from simulators.city import WHOLE, City
from simulators.faults import S_US, Fault, plant
from simulators.kinds import KINDS
from simulators.simulation import Simulation

START_US = 1_790_000_000_000_000
DAY_MIN = 1440
TICK_MIN = 10
LONG_MIN = 1000
"""Quiet time, and a play longer than that, passes in ticks so far apart; other plays in ticks of a minute."""
AFTER_US = 60 * 60 * S_US
"""What is told so long after a fault's end may still be of it: windows run out, values come back."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is played. `learn_days` of 15 lets what is learned over two weeks speak."""

    zones: int = 4
    density: float = 0.1
    learn_days: int = 15
    quiet_days: int = 2
    draws: int = 1


WHOLE_RUN = Size()
SEEDS = (1, 2)


@dataclass(slots=True)
class Told:
    """What became of one planted fault: when each alert of its sensors was first told."""

    planted: Planted
    fault: Fault
    at_us: dict[str, int] = field(default_factory=dict)  # alert_id -> when
    rules: dict[str, str] = field(default_factory=dict)  # alert_id -> rule
    right: set[str] = field(default_factory=set)  # alerts of its own network
    level_us: dict[str, int] = field(default_factory=dict)  # alert_id -> when it had the expected level


@dataclass(slots=True)
class Seen:
    """What all plays of a seed showed."""

    told: list[Told] = field(default_factory=list)
    false: list[Alert] = field(default_factory=list)
    quiet_false: list[Alert] = field(default_factory=list)
    sensor_days: float = 0.0
    quiet_sensor_days: float = 0.0
    one_case: list[tuple[str, bool]] = field(default_factory=list)  # cascade, whether it was one case


class Living:
    """A city with its log and the partition that has read it."""

    def __init__(self, city: City) -> None:
        self.city = city
        registry = registry_of(city)
        self.program: Program = compile_program(registry, default_rules(judgement_live=True), 0)
        self.simulation = Simulation(city, (), START_US, step_s=60)
        self.log = CityLog(self.simulation, registry)
        self.partition = Partition(self.program)

    def quiet(self, minutes: int) -> list[Alert]:
        """What is told meanwhile."""
        passing = _ticking(self.log.minutes(minutes), TICK_MIN)
        return [alert for entries in passing for alert in self.partition.fold(entries)]

    def plays(self, play: Play) -> Iterator[tuple[int, list[Alert], list[Fault]]]:
        """A copy of the city in which these faults happen, minute by minute."""
        now_us = self.simulation.now_us
        faults = [plant(planted.spec, self.city, now_us, 1.0) for planted in play.faults]
        log = self.log.misbehaving(faults, play.step_s)
        partition = Partition.restore(self.program, self.partition.snapshot())
        every = TICK_MIN if play.minutes > LONG_MIN else 1
        for entries in _ticking(log.minutes(play.minutes), every):
            yield log.now_us, partition.fold(entries), faults


def _ticking(minutes: Iterable[list[Frame | Control]], every: int) -> Iterator[list[Frame | Control]]:
    """So many minutes together, with their last tick."""
    entries: list[Frame | Control] = []
    for number, minute in enumerate(minutes, 1):
        entries += minute
        if number % every == 0:
            yield _one_tick(entries)
            entries = []
    if entries:
        yield _one_tick(entries)


def _one_tick(entries: list[Frame | Control]) -> list[Frame | Control]:
    return [entry for entry in entries if entry is entries[-1] or not isinstance(entry, Tick)]


def run(
    seed: int,
    size: Size = WHOLE_RUN,
    progress: Progress = lambda _: None,
    kinds: Sequence[str] = (),
    chains: Sequence[str] = (),
) -> Seen:
    """One city: what it tells quietly, and what of each fault (all of them, or some kinds and cascades)."""
    living = Living(City.build(seed, zones=size.zones, density=size.density, networks=WHOLE))
    zones = [zone.zone for zone in living.city.zones]
    rng = np.random.default_rng([seed, 6])
    plays = [play for _ in range(size.draws) for play in city_plan.plays(zones, rng, kinds)]
    plays += [play for _ in range(size.draws) for play in city_plan.chain_plays(zones, rng, chains)]
    rng.shuffle(plays)
    seen = Seen()
    progress(f"seed {seed}: {len(living.city.sensors)} sensors learn for {size.learn_days} days")
    seen.quiet_false += [a for a in living.quiet(size.learn_days * DAY_MIN) if a.change == "raise"]
    pauses = np.diff(np.linspace(0, size.quiet_days * DAY_MIN, len(plays) + 1).round().astype(int))
    for number, (play, pause) in enumerate(zip(plays, pauses.tolist(), strict=True), 1):
        if pause:
            seen.quiet_false += [a for a in living.quiet(pause) if a.change == "raise"]
        _watch(living, play, seen)
        progress(f"seed {seed}: play {number} of {len(plays)}")
    sensors = len(living.city.sensors)
    seen.quiet_sensor_days = (size.learn_days + size.quiet_days) * sensors
    seen.sensor_days += seen.quiet_sensor_days
    return seen


def _watch(living: Living, play: Play, seen: Seen) -> None:
    before = {a.alert_id for a in living.partition.open_episodes()}
    told: list[Told] = []
    messages: list[Alert] = []
    for now_us, alerts, faults in living.plays(play):
        told = told or [Told(planted, fault) for planted, fault in zip(play.faults, faults, strict=True)]
        for alert in alerts:
            if alert.alert_id in before or alert.change == "clear":
                continue
            messages.append(alert)
            mine = [one for one in told if _of(alert, one, now_us)]
            for one in mine:
                _note(one, alert, now_us)
            absorbed = bool(mine) and all(one.planted.spec.expected_level is None for one in mine)
            if alert.change == "raise" and (absorbed or not (mine or _follows(alert, told, now_us))):
                seen.false.append(alert)
    cases = cases_of(alert for alert in messages if alert.mode == "live")
    for name in sorted({one.planted.cascade for one in told} - {""}):
        parts = [one for one in told if one.planted.cascade == name]
        homes = [{cases[a] for a in one.at_us if a in cases and a in one.right} for one in parts]
        together = all(homes) and len(set().union(*homes)) == 1
        seen.one_case.append((name, together))
    seen.told += told
    seen.sensor_days += len(living.city.sensors) * play.minutes / DAY_MIN


def _of(alert: Alert, one: Told, now_us: int) -> bool:
    return alert.subject in one.fault.subjects and one.fault.onset_us <= now_us <= one.fault.end_us + AFTER_US


def _note(one: Told, alert: Alert, now_us: int) -> None:
    one.at_us.setdefault(alert.alert_id, now_us)
    one.rules[alert.alert_id] = alert.rule
    if alert.network == KINDS[one.planted.spec.kind].network:
        one.right.add(alert.alert_id)
        expected = one.planted.spec.expected_level
        if expected is not None and alert.level <= expected:
            one.level_us.setdefault(alert.alert_id, now_us)


def _follows(alert: Alert, told: Sequence[Told], now_us: int) -> bool:
    """Whether physics carries a fault of the zone to this sensor: weather and the table of links."""
    for one in told:
        if (
            one.planted.spec.zone != alert.zone
            or not one.fault.onset_us <= now_us <= one.fault.end_us + AFTER_US
        ):
            continue
        kind = KINDS[one.planted.spec.kind]
        if kind.sky is not None and alert.network != "device":
            return True
        causes = {touch.category for touch in kind.touches}
        if any(causes & link.cause and alert.category in link.effect for link in LINKS):
            return True
    return False
