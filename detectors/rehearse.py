"""A rule's own tests, run through the fold that runs live: readings in, messages out, as the test expects.

A trial is a small city: one gateway, the tested sensor, and others that report just before it. Nothing of a
real registry or log is looked at, and nothing is published.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from detectors.fold import Partition
from detectors.program import compile_program
from detectors.trial import Expected, parse_expected, parse_values
from schemas.catalogue import catalogue
from schemas.clock import to_us
from schemas.control import Control, Tick
from schemas.frame import SEGMENT, Frame, SegmentFlag
from schemas.reading import RECORD
from schemas.registry import Gateway, Registry, Sensor, Zone
from schemas.rule import Rule, Selector, Trial

GATEWAY, ZONE, ASSET = "gw-test", "zone-test", "asset-test"
SECOND_US = 1_000_000
TICK_US = 240 * SECOND_US  # rarer ticks are an outage of our own, over which holds pause
CLOSE_S = 2.0  # a tick comes a second after its reading


class Outcome(NamedTuple):
    """What a trial said; `problem` is None if that is what was expected."""

    trial: Trial
    said: tuple[Expected, ...]
    problem: str | None


def rehearse(rule: Rule, trial: Trial) -> Outcome:
    """Raises TrialError for texts that say nothing (cityvigil/rule_checks.py names their place)."""
    category = trial.category or next(iter(rule.selector.categories), "")
    expected = [parse_expected(text) for text in trial.expect]
    registry = _registry(category, trial, rule.selector, _tags(rule))
    program = compile_program(registry, [replace(rule, mode="live")], 0)
    start = to_us(dt.datetime.fromisoformat(trial.start))
    partition = Partition(program)
    said = []
    for message in partition.fold(_log(registry, trial, start)):
        if message.subject != f"sensor/{GATEWAY}/p1":
            continue
        if message.change != "update" or any(one.change == "update" for one in expected):
            at_s = (to_us(message.observed_at) - start) / SECOND_US
            said.append(Expected(message.change, message.level, at_s))
    if len(said) == len(expected) and all(map(_agree, expected, said)):
        return Outcome(trial, tuple(said), None)
    reasons = "".join(f"; unguarded: {one.reason}" for one in program.unguarded if one.sensor == 1)
    return Outcome(
        trial,
        tuple(said),
        f"expected {_text(expected)}, got {_text(said)}{reasons}",
    )


def _agree(expected: Expected, said: Expected) -> bool:
    return (
        expected.change == said.change
        and expected.level in (None, said.level)
        and (expected.at_s is None or abs(expected.at_s - (said.at_s or 0.0)) <= CLOSE_S)
    )


def _text(messages: list[Expected]) -> str:
    return ", ".join(
        f"{m.change}{f' {m.level}' if m.level else ''}{f' at {m.at_s:g} s' if m.at_s is not None else ''}"
        for m in messages
    ) or "nothing"  # fmt: skip


def _tags(rule: Rule) -> tuple[str, ...]:
    """Of the tested sensor: those that the rule selects by, and its group's."""
    by = rule.members.by if rule.members else "zone"
    return rule.selector.tags if by in ("zone", "asset") else (*rule.selector.tags, f"{by}:test")


def _registry(category: str, trial: Trial, selector: Selector, tags: tuple[str, ...]) -> Registry:
    """The tested sensor is one that the rule selects."""
    zone, at = next(iter(selector.zones), ZONE), next(iter(selector.assets), ASSET)
    registry = Registry(version=1)
    registry.apply(Zone(zone, "district", "测试片区", "test zone", 0))
    registry.apply(Gateway(GATEWAY, zone, interval_s=trial.every_s))
    params = {"interval_s": trial.every_s, **trial.params}
    sensors = [(category, params, at, tags), *(
        (other.category, {"interval_s": trial.every_s}, at if other.same_asset else f"asset-{i}", other.tags)
        for i, other in enumerate(trial.others)
    )]  # fmt: skip
    for number, (key, own, asset, worn) in enumerate(sensors, 1):
        row = catalogue()[key]
        registry.apply(
            Sensor(number, GATEWAY, f"p{number}", key, row.unit, zone, asset, params=own, tags=worn)
        )
    return registry


def _log(registry: Registry, trial: Trial, start: int) -> list[Frame | Control]:
    """A frame for each report and a tick after it, and ticks between rare ones."""
    own = parse_values(trial.values)
    others = [parse_values(other.values) for other in trial.others]
    every_us = round(trial.every_s * SECOND_US)
    log: list[Frame | Control] = []
    for i, value in enumerate(own):
        at = start + i * every_us
        values = [*(v[min(i, len(v) - 1)] for v in others), value]
        numbers = [*range(2, len(others) + 2), 1]
        records = np.zeros(len(values), RECORD)
        records["time"], records["value"], records["sensor"] = at, values, numbers
        records = records[np.isfinite(records["value"])]
        segment = np.zeros(1, SEGMENT)
        segment["epoch"], segment["sequence"], segment["count"] = 1, i + 1, len(records)
        segment["received_at"] = segment["received_wall"] = at + SECOND_US
        segment["flags"] = SegmentFlag.sequenced
        log.append(Frame(segment, records, (GATEWAY,)))
        for tick in range(at + SECOND_US, at + every_us, TICK_US):
            log.append(Tick("test", 1, tick, tick))
    return log
