"""Which readings say what was said before: the same sensor, the same time of observation, the same value.

A frame that a gateway sends again is known by its sequence and never comes this far; a reading that is said
again in a frame of its own does, and is stored as it came. Approximate by design: about the last million
readings are remembered, by a 64-bit word each, in this process only.
"""

from __future__ import annotations

import numpy as np

BITS = 20
_TIME, _SENSOR, _VALUE = (
    np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93)
)
_MIX = np.uint64(29)


class Recent:
    """Eight megabytes, whatever comes: a newer reading takes the place of an older one."""

    def __init__(self, bits: int = BITS) -> None:
        self._shift = np.uint64(64 - bits)
        self._seen = np.zeros(1 << bits, np.uint64)

    def twice(self, records: np.ndarray) -> np.ndarray:
        """Of each reading (schemas.reading.RECORD), in the order of the log, whether it was said before."""
        word = _word(records)
        place = word >> self._shift
        twice: np.ndarray = self._seen[place] == word
        self._seen[place] = word
        ordered = np.sort(word)
        if (ordered[1:] == ordered[:-1]).any():
            again = np.ones(len(word), bool)
            again[np.unique(word, return_index=True)[1]] = False
            twice |= again
        return twice


def _word(records: np.ndarray) -> np.ndarray:
    """Stands for sensor, time and value. Mixed twice, so that neighbours in time share no place."""
    word = records["time"].astype(np.int64).view(np.uint64) * _TIME
    word ^= records["sensor"].astype(np.uint64) * _SENSOR
    word ^= word >> _MIX
    word ^= np.ascontiguousarray(records["value"]).view(np.uint64) * _VALUE
    word ^= word >> _MIX
    word *= _TIME
    return word
