"""Several JSON arrays in one stream, cut or not: where each begins and ends.

Pure and total. An array ends at its own bracket, brackets inside strings aside. What is no array, or one that
never ends, is given as far as the next place that looks like an array of objects; after a hundred that never
end the rest of the input is one piece, so that no input takes more than a hundred passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]]', re.DOTALL)
_START = re.compile(rb"\[\s*[{\]]")
_SPACE = re.compile(rb"\s*")
_MOST_ENDLESS = 100


def pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of everything but the white space between."""
    at, endless = _after_space(data, 0), 0
    while at < len(data):
        is_array = data[at : at + 1] == b"["
        end = _end(data, at) if is_array and endless < _MOST_ENDLESS else None
        if end is None:
            endless += is_array
            end = next_start(data, at + 1) if endless < _MOST_ENDLESS else len(data)
        yield at, data[at:end].rstrip()
        at = _after_space(data, end)


def next_start(data: bytes, at: int) -> int:
    """The next plausible start of an array from here on, or the end."""
    found = _START.search(data, at)
    return found.start() if found else len(data)


def _end(data: bytes, at: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(data, at):
        depth += {b"[": 1, b"]": -1}.get(token[0], 0)
        if depth == 0 and token[0] == b"]":
            return token.end()
    return None


def _after_space(data: bytes, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at
