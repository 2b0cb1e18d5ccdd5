"""Rules compiled against the registry, for the sensors of one partition.

A program is immutable and holds only facts; what happened is kept by fold.Partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schemas.registry import Gateway, Registry, Sensor
from schemas.rule import Rule


class Unguarded(NamedTuple):
    """A part of a rule that does not look at a sensor, and why."""

    sensor: int
    rule: str
    reason: str


@dataclass(frozen=True)
class Program:
    partition: int
    sensors: tuple[Sensor, ...]  # by number; a row of every array is one of them
    gateways: tuple[Gateway, ...]
    rules: tuple[Rule, ...]
    unguarded: tuple[Unguarded, ...]


def compile_program(registry: Registry, rules: Sequence[Rule], partition: int) -> Program:
    """The program of the sensors whose zone lies in `partition`; drafts are left out."""
    gateways = tuple(
        entry for name, entry in sorted(registry.gateways.items()) if registry.partition_of(name) == partition
    )
    names = {entry.gateway for entry in gateways}
    sensors = tuple(
        entry
        for _, entry in sorted(registry.by_number.items())
        if entry.gateway in names and entry.category is not None and entry.state == "in-service"
    )
    live = tuple(rule for rule in rules if rule.mode != "draft")
    return Program(partition, sensors, gateways, live, ())
