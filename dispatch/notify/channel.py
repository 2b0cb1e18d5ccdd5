"""What a channel is: it tries once to deliver a notice, and says how that went.

A failure says whether trying again can help; when to try again is the outbox's business. The key is
the same on every try of one notice, so that the other side can tell a repeat from news.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One notice on its way."""

    key: str
    recipient: str
    step: str
    level: int
    payload: dict[str, Any]
    caused_at: dt.datetime
    attempt: int  # 1 for the first try


@dataclass(frozen=True, slots=True)
class Failed:
    """Not delivered. `retry`: whether trying again can help."""

    why: str
    retry: bool


class Channel(Protocol):
    @property
    def name(self) -> str: ...

    async def send(self, notice: Outgoing) -> Failed | None:
        """None: delivered."""
