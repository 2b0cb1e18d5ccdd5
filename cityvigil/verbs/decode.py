"""`cityvigil decode`: bytes of a wire format in, a line of JSON for each reading or rejection out.

For looking at what a gateway sends, with the decoders that ingest runs. Exits 1 if anything was rejected.
Times that count from receipt are null unless `--context` says when that was.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from cityvigil.errors import CannotRun
from ingest.decoded import Decoded, Rejected
from ingest.formats import json_stream, senml
from ingest.units import ucum
from schemas.clock import to_datetime, to_us
from schemas.reading import Flag, Quality

BUILT = ("senml",)
LATER = (
    "thingsboard",
    "sparkplug",
    "sensorthings",
    "hj212",
    "gb26875",
    "sl651",
    "dlt645",
    "cjt188",
    "modbus",
    "ctwing",
    "onenet",
)


Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class Context(msgspec.Struct, forbid_unknown_fields=True):
    """What the bytes do not say. `received_at` is RFC 3339; `backfill` the lane of historical data."""

    gateway: str | None = None
    received_at: Moment | None = None
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    gateway: str | None
    received_us: int
    is_known: bool
    backfill: bool


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("decode", help="show what the bytes of a wire format hold")
    parser.add_argument("format", choices=(*BUILT, *LATER), metavar="FORMAT", help=", ".join(BUILT + LATER))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: standard input")
    parser.add_argument("--hex", action="store_true", help="the input is hexadecimal, a piece a line")
    parser.add_argument(
        "--reply", action="store_true", help="also print the answers that the protocol asks for"
    )
    parser.add_argument(
        "--context", type=Path, metavar="FILE", help="JSON: gateway, received_at (RFC 3339), backfill"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.format not in BUILT:
        raise CannotRun(f"the format {args.format} is not built yet; there is {', '.join(BUILT)}")
    receipt = _receipt(args.context)
    data = _input(args.file)
    found_wrong = False
    # SenML over MQTT asks for no answer in bytes, so `--reply` adds nothing to it.
    for line in results(data, receipt) if not args.hex else _of_hex(data, receipt):
        found_wrong |= "rejected" in line
        print(json.dumps(line, ensure_ascii=False))
    return 1 if found_wrong else 0


def results(data: bytes, receipt: Receipt) -> Iterator[dict[str, object]]:
    """A line for each reading and each rejection, in the order of the input."""
    for at, piece in json_stream.pieces(data):
        decoded = senml.decode(piece, receipt.received_us)
        if isinstance(decoded, Rejected):
            yield {"rejected": decoded.reason, "at": at, "detail": decoded.detail}
        else:
            yield from _lines(decoded, at, receipt)


def _of_hex(text: bytes, receipt: Receipt) -> Iterator[dict[str, object]]:
    """The lines are pieces of one stream; one that is not hexadecimal ends what was begun before it."""
    stream = b""
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        try:
            stream += bytes.fromhex(line.decode("ascii").strip().removeprefix("0x"))
        except (ValueError, UnicodeDecodeError):
            yield from _moved(results(stream, receipt), begun)
            begun += len(stream)
            stream = b""
            yield {"rejected": "syntax", "at": begun, "detail": f"line {number} is not hexadecimal"}
    yield from _moved(results(stream, receipt), begun)


def _moved(lines: Iterator[dict[str, object]], by: int) -> Iterator[dict[str, object]]:
    for line in lines:
        at = line.get("at")
        yield {**line, "at": at + by} if isinstance(at, int) else line


def _lines(decoded: Decoded, at: int, receipt: Receipt) -> Iterator[dict[str, object]]:
    lines: list[tuple[int, dict[str, object]]] = [
        (one.index, {"rejected": one.reason, "at": at, "record": one.index, "detail": one.detail})
        for one in decoded.refused
    ]
    lines += [
        (int(decoded.index[row]), _reading(decoded, row, receipt)) for row in range(len(decoded.points))
    ]
    for _, line in sorted(lines, key=lambda pair: pair[0]):
        yield line


def _reading(decoded: Decoded, row: int, receipt: Receipt) -> dict[str, object]:
    number = float(decoded.value[row])
    value: object = number
    if decoded.flags[row] == Flag.text:
        value = decoded.texts[int(number)]
    elif decoded.flags[row] == Flag.boolean:
        value = bool(number)
    is_known = receipt.is_known or not decoded.relative[row]
    moment = to_datetime(int(decoded.time[row])).isoformat().replace("+00:00", "Z")
    unit = decoded.units[row]
    quality = Quality.historical if receipt.backfill else Quality(int(decoded.quality[row]))
    return {
        "gateway": receipt.gateway,
        "point": decoded.points[row],
        "time": moment if is_known else None,
        "value": value,
        "unit": ucum(unit) if unit else None,
        "quality": quality.name,
        "historical": receipt.backfill,
    }


def _receipt(path: Path | None) -> Receipt:
    if path is None:
        return Receipt(None, time.time_ns() // 1_000, False, False)
    try:
        context = msgspec.json.decode(path.read_bytes(), type=Context)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise CannotRun(f"{path}: {error}") from None
    known = context.received_at is not None
    received_us = to_us(context.received_at) if context.received_at else time.time_ns() // 1_000
    return Receipt(context.gateway, received_us, known, context.backfill)


def _input(path: Path | None) -> bytes:
    if path is None:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
