"""How fast one sender may go: a bucket of tokens that fills with time.

Pure. It never refuses: it says how long not to read, so that a hasty sender is slowed by its own socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """`a_second` on the long run, `burst` at once.

    >>> pace = Pace(a_second=10.0, burst=20.0)
    >>> pace.wait_s(25.0, now_us=0), pace.wait_s(1.0, now_us=1_000_000)
    (0.5, 0.0)
    """

    a_second: float
    burst: float
    _left: float = field(init=False)
    _at_us: int | None = None

    def __post_init__(self) -> None:
        self._left = self.burst

    def wait_s(self, cost: float, now_us: int) -> float:
        """Takes so much; the seconds until the next may come."""
        if self._at_us is not None:
            gained = max(0, now_us - self._at_us) / 1e6 * self.a_second
            self._left = min(self.burst, self._left + gained)
        self._at_us = now_us
        self._left -= cost
        return max(0.0, -self._left / self.a_second)
