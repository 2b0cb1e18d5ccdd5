"""What a partition remembers of its log: by sensor, by gateway, by track, and the open episodes.

Plain data that folding changes (detectors/fold.py) and a snapshot copies (detectors/snapshot.py). `changed`
marks the rows that, with all their tracks, may differ from what they were when it was last cleared; what is
kept by gateway or by episode is small and not marked. Decides nothing.
"""

from __future__ import annotations

import numpy as np

from detectors.checked import Checks
from detectors.intake import NEVER, Intake
from detectors.newest import nowhere
from detectors.program import Program
from detectors.tracks import Tracks
from schemas.alert import Alert

Key = tuple[str, str, str]  # rule, mode, subject


class Memory:
    def __init__(self, program: Program) -> None:
        n = len(program.sensors)
        self.program = program
        self.checks = Checks(program)
        self.intake = Intake(program, self.checks)
        self.tracks = [Tracks(lane) for lane in program.lanes]
        self.last_at = np.full(n, NEVER)  # event time of the newest scored reading
        self.last_value = np.full(n, np.nan)
        self.last_received = np.full(n, NEVER)
        # The same of those that were only checked, where that is newer; rows of which it may be so.
        self.checked_at, self.checked_ahead = np.full(n, NEVER), np.empty(0, np.int64)
        self.place = nowhere(n)  # room for detectors/rounds.py
        self.blind_at = np.zeros(n, np.int64)  # the gateway's blind time then
        self.heard_at = np.full(n, NEVER)  # newest event time of any reading
        self.heard_work = np.full(n, NEVER)  # the gateway's working time then
        self.changed = np.ones(n, bool)
        self.open: dict[Key, Alert] = {}
        self.owed: list[Alert] = []
