"""What the frames of gateways say of their clocks: ahead of ours, or behind what they themselves said before.

A clock is ahead while readings come that are dated later than what is scored (schemas/reading.py). It is
behind when a frame's newest reading is older than the gateway's newest by more than that, and than the time
on the line explains; it stays so until the line's usual delay is back. A backlog, which comes in order, is
neither, nor is a history that somebody replays. What is shorter than `HOLD_US` is not told; moments are of
receipt.
"""

from __future__ import annotations

import numpy as np

from schemas.reading import FUTURE_SUSPECT_US

NEVER = np.iinfo(np.int64).min
HOLD_US = 10 * 60 * 1_000_000
"""From the first frame with a wrong time to the newest; a late frame among others is no clock."""
ENDS_US = 10 * 60 * 1_000_000
"""Without any reading from the future a clock is right again; one device of several may be ahead alone."""


class Clocks:
    """Arrays are by gateway; `off` is 0 while a clock is right, else microseconds, below 0 behind."""

    def __init__(self, gateways: int) -> None:
        self.since = np.full(gateways, NEVER)
        self.last = np.full(gateways, NEVER)
        self.off = np.zeros(gateways, np.int64)
        self.lag = np.full(gateways, NEVER)  # from a frame's newest reading to its receipt, while right

    def heard(self, gateway: int, received: int, newest: int, ahead: int, before: int) -> None:
        """A frame: its newest reading that is not ahead (NEVER: none), how far the others are ahead, and the
        gateway's newest reading before it."""
        off = ahead
        if not ahead:
            usual, lag = int(self.lag[gateway]), received - newest
            behind = 0 if usual == NEVER else lag - usual
            fell = before != NEVER and newest < before - FUTURE_SUSPECT_US
            if behind > FUTURE_SUSPECT_US and (fell or self.off[gateway] < 0):
                off = -behind
            else:
                self.lag[gateway] = lag
        if off:
            if self.since[gateway] == NEVER:
                self.since[gateway] = received
            self.last[gateway] = max(int(self.last[gateway]), received)
            self.off[gateway] = off
        elif self.off[gateway] < 0 or (self.off[gateway] and received - self.last[gateway] > ENDS_US):
            self.since[gateway] = self.last[gateway] = NEVER
            self.off[gateway] = 0

    def told(self) -> np.ndarray:
        """By how much each clock is off for long enough to be told."""
        lasts = (self.since != NEVER) & (self.last - np.where(self.since == NEVER, 0, self.since) >= HOLD_US)
        return np.where(lasts, self.off, 0)
