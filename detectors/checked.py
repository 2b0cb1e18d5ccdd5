"""What is sifted out before anything is judged: values that the quantity cannot have.

A check (`Detector.checks`) says by sensor between which values a reading is one at all. A value outside is
strange: the check's own tracks see it, and where a rule in force tells people of it, nothing else does: no
limit, window, baseline or neighbour. Where no such rule looks nobody would know, so it is judged as others.
A device that itself says "over range" vouches for its direction: it counts as the end of the range.
"""

from __future__ import annotations

import numpy as np

from detectors.program import Program
from schemas.reading import Quality
from schemas.rule import Rule

TOLD = frozenset({"live", "canary"})


def tells(rule: Rule) -> bool:
    """Whether people hear of what this rule finds, at any hour."""
    return rule.mode in TOLD and rule.schedule is None


class Checks:
    """Of one program, by row."""

    def __init__(self, program: Program) -> None:
        n = len(program.sensors)
        self.lanes = frozenset(i for i, lane in enumerate(program.lanes) if lane.detector.checks is not None)
        self.low, self.high = np.full(n, -np.inf), np.full(n, np.inf)
        self.withholds = np.zeros(n, bool)
        for i in sorted(self.lanes):
            lane = program.lanes[i]
            assert lane.detector.checks is not None
            low, high = lane.detector.checks(lane.table)
            self.low[lane.row] = np.maximum(self.low[lane.row], low[lane.kind])
            self.high[lane.row] = np.minimum(self.high[lane.row], high[lane.kind])
            self.withholds[lane.row] |= np.array([tells(rule) for rule in lane.rules], bool)[lane.rule]

    def sift(
        self, row: np.ndarray, value: np.ndarray, quality: np.ndarray, scored: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The values as they are judged, which of them are, and the positions of strange ones; `scored` says
        which readings may be judged at all."""
        if not self.lanes:
            return value, scored, np.empty(0, np.int64)
        inside = (value >= self.low[row]) & (value <= self.high[row])
        strange = np.flatnonzero(scored & ~inside)
        if not len(strange):
            return value, scored, strange
        value, scored = value.copy(), scored.copy()
        withheld = self.withholds[row[strange]]
        vouched = strange[withheld & (quality[strange] == int(Quality.over_range))]
        value[vouched] = np.clip(value[vouched], self.low[row[vouched]], self.high[row[vouched]])
        scored[strange[withheld]] = False
        scored[vouched] = True
        return value, scored, np.setdiff1d(strange, vouched, assume_unique=True)
