"""Which sensors are unguarded 未设防: at least one live condition of theirs cannot be judged, and why.

They are counted and listed, never shown as normal. The answer comes from compiling the rules in force
against the registry, as detect does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from detectors.program import compile_program
from schemas.registry import Registry
from schemas.rule import Rule


@dataclass(frozen=True, slots=True)
class Unguarded:
    """Numbers of the sensors; how many sensors each reason stands for."""

    sensors: frozenset[int]
    reasons: Counter[str]


def unguarded(registry: Registry, rules: Iterable[Rule], partitions: int) -> Unguarded:
    """Of all partitions. Takes about a second per 20,000 sensors."""
    rules = list(rules)
    found = {
        (number, reason)
        for partition in range(partitions)
        for number, _, reason in compile_program(registry, rules, partition).unguarded
    }
    return Unguarded(frozenset(number for number, _ in found), Counter(reason for _, reason in found))
