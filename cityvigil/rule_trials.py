"""`cityvigil rules test`: rules' own tests, run through the fold that runs live (detectors/rehearse.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from detectors.registry import DETECTORS
from detectors.rehearse import rehearse
from schemas.rule import Rule


@dataclass(slots=True)
class Tried:
    """Of several rules: how many tests held, a line for each that did not, and who has none."""

    held: int = 0
    problems: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)


def tried(rules: Iterable[tuple[str, Rule]]) -> Tried:
    """Each rule with where it stands. A trial has one gateway, so rules about gateways have no tests."""
    found = Tried()
    for where, rule in rules:
        if not rule.tests and DETECTORS[rule.detector].looks_at != "gateways":
            found.untested.append(rule.name)
        for trial in rule.tests:
            outcome = rehearse(rule, trial)
            if outcome.problem is None:
                found.held += 1
            else:
                found.problems.append(f"{where}: {rule.name}, {trial.name!r}: {outcome.problem}")
    return found
