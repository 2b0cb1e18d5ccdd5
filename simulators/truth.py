"""The truth file: what was injected, one JSON line a fault, written when its onset comes.

It is for the report of a demonstration; no detector reads it. A file that exists is continued: a simulator
that was killed goes on in the same run. Whoever wants a new run gives a new file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulators.faults import Fault


class Truth:
    """`start_us` is the city time at which the run began; onsets count from there."""

    def __init__(self, path: Path, start_us: int) -> None:
        self._path = path
        lines = [json.loads(line) for line in _whole_lines(path)]
        self.start_us = int(lines[0]["start_us"]) if lines else start_us
        self._written = {(line["kind"], line["zone"]) for line in lines}

    def note(self, faults: Sequence[Fault], now_us: int) -> list[Fault]:
        """Writes the faults whose onset has come; which of them are new."""
        begun = [
            f for f in faults if f.onset_us <= now_us and (f.spec.kind, f.spec.zone) not in self._written
        ]
        if begun:
            with self._path.open("a", encoding="utf-8") as file:
                for fault in begun:
                    file.write(json.dumps({**fault.label(), "start_us": self.start_us}) + "\n")
            self._written |= {(f.spec.kind, f.spec.zone) for f in begun}
        return begun


def read(path: Path) -> list[dict[str, Any]]:
    """The faults that were injected."""
    return [json.loads(line) for line in _whole_lines(path)]


def _whole_lines(path: Path) -> list[str]:
    """A crash can leave half a line at the end: that fault is written again."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        path.write_text(text, encoding="utf-8")
    return text.splitlines()
