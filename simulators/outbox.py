"""A gateway's outbox: the durable copy of each frame until the platform has answered it.

Pure: told what happened and what time it is, it says which frames to put on the wire. It promises that a
frame leaves only by its own answer, that frames go out in sequence, at most `window` unanswered, and that
after a reconnect, a `resend` or too long a silence they go out again from the oldest unanswered. It
cannot lose the race of two resends: while one is being served, its repeats are not served again.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import NamedTuple, Protocol

WINDOW = 64
PATIENCE_S = 30.0
PATIENCE_MAX_S = 600.0
JITTER = 0.5


class Sent(NamedTuple):
    """A frame to put on the wire now. `first_us` is when it went out for the first time; `again`: not now."""

    sequence: int
    payload: bytes
    first_us: int
    again: bool


class Store(Protocol):
    """Where frames are kept beside memory; each call returns when they are safe."""

    def put(self, sequence: int, payload: bytes) -> None: ...
    def drop(self, sequence: int) -> None: ...


class Outbox:
    """Of one gateway in one epoch; sequences rise by one from `next_sequence`."""

    def __init__(
        self,
        rng: random.Random,
        *,
        next_sequence: int = 1,
        kept: dict[int, bytes] | None = None,
        store: Store | None = None,
        window: int = WINDOW,
    ) -> None:
        self._rng, self._store, self._window = rng, store, window
        self._frames: OrderedDict[int, bytes] = OrderedDict(sorted((kept or {}).items()))
        self._next = max(next_sequence, max(self._frames, default=0) + 1)
        self._first_us: dict[int, int] = {}
        self._connected = False
        self._cursor = self._oldest()  # the next sequence to put on the wire
        self._serving: int | None = None  # the `from` of the resend being served
        self._patience_s = PATIENCE_S
        self._deadline_us: int | None = None

    def __len__(self) -> int:
        """Frames not yet answered."""
        return len(self._frames)

    def put(self, payload: bytes) -> int:
        """Takes a frame in; its sequence."""
        sequence = self._next
        if self._store:
            self._store.put(sequence, payload)
        self._frames[sequence] = payload
        self._next += 1
        return sequence

    def connected(self) -> None:
        """A new connection: whatever was on the wire may be lost, begin at the oldest unanswered."""
        self._connected = True
        self._rewind(self._oldest())
        self._patience_s = PATIENCE_S

    def disconnected(self) -> None:
        self._connected = False
        self._deadline_us = None

    def to_send(self, now_us: int) -> list[Sent]:
        """The frames to put on the wire now, in sequence; counts them as sent."""
        if not self._connected:
            return []
        if self._deadline_us is not None and now_us >= self._deadline_us:
            self._rewind(self._oldest())
            self._patience_s = min(self._patience_s * 2, PATIENCE_MAX_S)
        sent = []
        limit = self._oldest() + self._window
        while self._cursor < self._next and self._cursor < limit:
            if self._cursor in self._frames:
                again = self._cursor in self._first_us
                first_us = self._first_us.setdefault(self._cursor, now_us)
                sent.append(Sent(self._cursor, self._frames[self._cursor], first_us, again))
            self._cursor += 1
        if sent and self._deadline_us is None:
            self._deadline_us = now_us + self._wait_us()
        return sent

    def deadline_us(self) -> int | None:
        """When to ask `to_send` again if nothing happens before."""
        return self._deadline_us

    def answered(self, sequence: int, now_us: int) -> bool:
        """Stored, a duplicate, or rejected for good: the frame is the platform's now. Whether it was ours."""
        if sequence not in self._frames:
            return False
        if self._store:
            self._store.drop(sequence)
        del self._frames[sequence]
        self._first_us.pop(sequence, None)
        if self._serving is not None and sequence >= self._serving:
            self._serving = None
        self._patience_s = PATIENCE_S
        waiting = bool(self._frames) and self._oldest() < self._cursor
        self._deadline_us = now_us + self._wait_us() if waiting else None
        return True

    def resend(self, start: int) -> bool:
        """The platform misses `start`. Goes back to it; whether it did."""
        if self._serving == start or start >= self._cursor:
            return False
        self._rewind(max(start, self._oldest()))
        self._serving = start
        return True

    def _rewind(self, to: int) -> None:
        self._cursor = to
        self._serving = None
        self._deadline_us = None

    def _oldest(self) -> int:
        return next(iter(self._frames), self._next)

    def _wait_us(self) -> int:
        return round(self._patience_s * self._rng.uniform(1 - JITTER, 1 + JITTER) * 1_000_000)
