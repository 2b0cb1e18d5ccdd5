"""Has everything compiled that folding needs: `python -m detectors.ready`, once for a version of the source.

Machine code that is there already is loaded, in a fraction of a second; else it takes a quarter of a minute,
which no stream should have to wait. Every detector is asked about nothing at all, by arrays of the kinds that
folding uses.
"""

from __future__ import annotations

import time

import numpy as np

from detectors import episode, learned
from detectors.around import NO_SOURCES
from detectors.contract import Batch, Block, Detector, no_scores
from detectors.newest import gather, nowhere, outside
from detectors.registry import DETECTORS

_NONE = np.empty(0, np.int64)
_KIND = np.empty(0, np.int32)
_NOWHERE = outside(np.empty(0), _NONE, nowhere(0))


def make_ready() -> None:
    for detector in DETECTORS.values():
        if detector.sweep is not None:
            _ask(detector)
    own, calm = learned.fresh(0, baseline=True, line=True), np.empty(0, bool)
    learned.against_baseline(own, _NONE, np.empty(0), calm)
    learned.against_line(own, _NONE, np.empty(0), np.empty(0), calm)
    gather(NO_SOURCES, _NONE, _NONE, _NOWHERE, _NONE)
    episode.step(episode.falls([]), _KIND, episode.fresh(0), _NONE, no_scores(0), _NONE, _NONE)


def _ask(detector: Detector) -> None:
    table = detector.tabulate([])
    state = detector.fresh(table, _KIND)
    batch = Batch(_KIND, _NONE, np.empty(0), _NONE, np.empty(0, np.uint8), np.empty(0, np.uint8))
    detector.step(table, state, batch)
    if detector.ripen is not None:
        detector.ripen(table, state, batch)
    none = np.empty((0, 0), np.int64)
    block = Block(_NONE, _KIND, _NONE, _NONE, none, none, np.empty((0, 0)), _NONE, _NOWHERE, NO_SOURCES)
    assert detector.sweep is not None
    detector.sweep(table, state, block, None if detector.room is None else detector.room(table))


if __name__ == "__main__":
    began = time.monotonic()
    make_ready()
    print(f"detectors are compiled ({time.monotonic() - began:.1f} s)")
