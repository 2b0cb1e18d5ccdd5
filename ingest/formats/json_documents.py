"""JSON messages one behind the other, cut or not: where each begins and ends, and what its values are.

Pure and total. A document is an object or an array; it ends at its own bracket. One that never ends reaches
to the next document that begins a line, and after a hundred such the rest of the input is one bad document,
so that no input takes more than a hundred passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from ingest.formats.result import Bad, Reading, Value
from schemas.reading import Quality, Reason

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_START = re.compile(rb"[\[{]")
_LINE = re.compile(rb"\n\s*[\[{]")
_SPACE = re.compile(rb"\s*")
_MOST_ENDLESS = 100
_any = msgspec.json.Decoder(strict=True)


def pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of everything but the white space between."""
    at, endless = _after_space(data, 0), 0
    while at < len(data):
        if data[at : at + 1] in (b"{", b"["):
            end = _end(data, at) if endless < _MOST_ENDLESS else len(data)
            if end is None:
                endless += 1
                found = _LINE.search(data, at + 1)
                end = found.end() - 1 if found else len(data)
        else:
            start = _START.search(data, at)
            end = start.start() if start else len(data)
        yield at, data[at:end].rstrip()
        at = _after_space(data, end)


def loaded(data: bytes) -> object | Bad:
    """The document, or why it is none."""
    try:
        if not data.isascii():
            data.decode()
        document: object = _any.decode(data)
    except msgspec.ValidationError as error:
        return Bad(Reason.range, f"expected JSON: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = str(error)
        is_cut = "truncated" in text or "unexpected end" in text
        return Bad(Reason.truncated if is_cut else Reason.syntax, f"expected JSON: {text}")
    return document


def reading(gateway: str | None, point: str, time_us: int | None, value: object) -> Reading | Bad:
    """A reading of a JSON value; null is a value that the device does not have."""
    if value is None:
        return Reading(gateway, point, time_us, None, None, Quality.suspect)
    kept = scalar(value)
    if kept is None:
        return Bad(Reason.unsupported, f"{point}: expected a number, a boolean or a text")
    if isinstance(kept, int) and abs(kept) > 1 << 1023:
        return Bad(Reason.range, f"{point}: the number is beyond what a float64 holds")
    return Reading(gateway, point, time_us, kept)


def scalar(value: object) -> Value:
    return value if isinstance(value, int | float | str) else None


def milliseconds(value: object) -> int | None:
    """Microseconds of a time in milliseconds since 1970 (or seconds, if it is too small to be one after
    1973)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253_402_300_800_000:
        return None
    return round(value * 1_000) if value >= 100_000_000_000 else round(value * 1_000_000)


def _end(data: bytes, at: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(data, at):
        first = token[0][0]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _after_space(data: bytes, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at
