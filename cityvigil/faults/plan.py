"""What is killed and in which order: a list of steps from a seed. Pure.

First each target alone, then what only several workers can show, then rounds in random order, in which some
are killed while others still start. The same seed gives the same steps; how long they take, the machine says.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from cityvigil.errors import CannotRun

WORKERS = ("detect", "detect-2")
SERVICES = ("ingest", *WORKERS, "record", "dispatch", "bypass", "console")
TARGETS = (*SERVICES, "mosquitto", "kafka", "postgres")
BROKERS = frozenset({"mosquitto", "kafka", "postgres"})
LEAPING = ("ingest", "detect-2")
"""Whose clocks leap: who dates readings, and who dates alerts."""
PAUSE_S = 30.0
ASLEEP_S = 8.0
"""Longer than the session of a worker: others take its partitions."""


LEAPS_S = (3600, -3600, 0)
"""To where the clock of a `clock` step goes, one after the other: how far from the true time."""

Kind = Literal["kill", "pause", "replace", "asleep", "join", "clock"]


@dataclass(frozen=True, slots=True)
class Step:
    """`kill`: kill -9 of the targets, `gaps_s` apart, each started again by whoever keeps it alive.
    `pause`: SIGSTOP for `PAUSE_S`, then SIGCONT. `replace`: SIGSTOP, another takes its place, SIGCONT.
    `asleep`: the first is paused while the other is replaced.
    `join`: a third worker joins, then the first one dies for good, then a new one comes for it.
    `clock`: kill -9, then its wall clock leaps (`LEAPS_S`), then kill -9 again."""

    kind: Kind
    targets: tuple[str, ...]
    gaps_s: tuple[float, ...] = ()
    pause_s: float = PAUSE_S

    @property
    def name(self) -> str:
        return f"{self.kind} {' + '.join(self.targets)}"


def plan(seed: int, rounds: int, only: Collection[str] = TARGETS, *, several: bool = True) -> list[Step]:
    """In turn, then `rounds` times all of `only` in random order; `several`: what takes two workers."""
    rng = random.Random(seed)
    steps = [Step("kill", (target,)) for target in TARGETS if target in only]
    if several and set(WORKERS) <= set(only):
        steps += [Step("join", ("detect-3", "detect")), Step("pause", ("detect-2",))]
    if several and "ingest" in only:
        steps.append(Step("replace", ("ingest",)))
    steps += [Step("clock", (target,)) for target in LEAPING if target in only]
    for _ in range(rounds):
        steps += _round(rng, [target for target in TARGETS if target in only])
    return steps


def short(seed: int) -> list[Step]:
    """Each kind of step once, and one round in random order: what a suite has time for."""
    return [
        *_round(random.Random(seed), list(TARGETS)),
        Step("join", ("detect-3", "detect")),
        Step("asleep", ("detect-2", "ingest"), pause_s=ASLEEP_S),
        Step("clock", ("ingest",)),
    ]


def _round(rng: random.Random, targets: list[str]) -> list[Step]:
    """Each target once, alone or just before or after one or two others."""
    rng.shuffle(targets)
    steps = []
    while targets:
        size = min(len(targets), rng.choice((1, 2, 2, 3)))
        together, targets = targets[:size], targets[size:]
        gaps = tuple(_gap(rng) for _ in together[1:])
        steps.append(Step("kill", tuple(together), gaps))
    return steps


def _gap(rng: random.Random) -> float:
    """At the same moment, while it is not yet there again, or while it starts."""
    return round(rng.choice((0.0, rng.uniform(0.1, 1.0), rng.uniform(1.0, 4.0))), 2)


def targets(text: str) -> tuple[str, ...]:
    """Of "detect,kafka". Raises CannotRun; "detect" means every worker."""
    asked = {part.strip() for part in text.split(",")}
    if unknown := asked - set(TARGETS):
        raise CannotRun(f"no target is called {sorted(unknown)[0]!r}: expected some of {', '.join(TARGETS)}")
    if "detect" in asked:
        asked |= set(WORKERS)
    return tuple(target for target in TARGETS if target in asked)
