"""A wall clock of one process that can be set while it runs: libfaketime, told by a file.

Its steady clock, and everybody else's clocks, are left alone. Needs Debian's package `faketime`; where it is
not there, `library` is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cityvigil.process import write_atomically


def library() -> Path | None:
    """The one for programs with threads."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class FakeClock:
    """`path` is where the process reads by how much its clock is wrong; right at first."""

    def __init__(self, library: Path, path: Path) -> None:
        self._path = path
        self.environ: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.leap(0)

    def leap(self, seconds: int) -> None:
        """To so far from the true time."""
        write_atomically(self._path, f"{seconds:+d}\n")
