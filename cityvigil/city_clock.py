"""The city clock of an installation: settled once, kept beside the brokers it belongs to.

Ingest writes the same clock into the log and refuses to start with another, so this file is only where
the other services of the same machine learn it.
"""

from __future__ import annotations

from pathlib import Path

from cityvigil.errors import CannotRun
from cityvigil.process import write_atomically
from schemas.clock import CityClock

IDENTITY = CityClock()


def settle(data: Path, scale: float, now_us: int) -> CityClock:
    """The clock under `data`; a new one starts at wall time and runs at `scale`. Raises CannotRun."""
    path = data / "clock"
    if path.exists():
        return read(data)
    clock = IDENTITY if scale == 1 else CityClock(now_us, now_us, scale)
    write_atomically(path, str(clock))
    return clock


def read(data: Path) -> CityClock:
    """The settled clock; the identity where none was ever settled. Raises CannotRun when unreadable."""
    path = data / "clock"
    try:
        return CityClock.parse(path.read_text())
    except FileNotFoundError:
        return IDENTITY
    except ValueError as error:
        raise CannotRun(f"{path}: {error}") from None
