"""`cityvigil decode`: bytes of a wire format in, a line of JSON for each reading or rejection out.

For looking at what a gateway or device sends, with the decoders of ingest. Exits 1 if anything was rejected.
Times that count from receipt are null unless `--context` says when that was. docs/protocols.md says what each
format gives.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from cityvigil.errors import CannotRun
from ingest.decoded import Decoded, Rejected
from ingest.formats import ctwing, json_documents, json_stream, modbus, senml, senml_cbor
from ingest.formats.by_name import JSON_MESSAGES, MESSAGES, STREAMS
from ingest.formats.digits import LOCAL
from ingest.formats.result import Bad, Item, Reading, Reply, Seen, moved
from ingest.formats.stream import Stream, StreamFormat, decode_all
from ingest.units import ucum
from schemas.clock import to_datetime, to_us
from schemas.reading import Flag, Quality, Reason

FORMATS = ("senml", *JSON_MESSAGES, *MESSAGES, *STREAMS)

Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]
Line = dict[str, object]


class Context(msgspec.Struct, forbid_unknown_fields=True):
    """What the bytes do not say. `received_at` is RFC 3339, `backfill` the lane of historical data.

    `topic` is the messages' MQTT topic, `inner` the format of raw bytes in an envelope, `registers` a map of
    Modbus answers.
    """

    gateway: str | None = None
    received_at: Moment | None = None
    backfill: bool = False
    topic: str | None = None
    inner: str | None = None
    registers: tuple[modbus.Register, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    gateway: str | None
    received_us: int
    is_known: bool
    backfill: bool


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("decode", help="show what the bytes of a wire format hold")
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: standard input")
    parser.add_argument(
        "--hex",
        action="store_true",
        help="the input is hexadecimal: a piece of a stream a line; sparkplug: a message a line",
    )
    parser.add_argument(
        "--reply", action="store_true", help="also print the answers that the protocol asks for"
    )
    parser.add_argument(
        "--context",
        type=Path,
        metavar="FILE",
        help="JSON: gateway, received_at (RFC 3339), backfill, topic, inner, registers",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    context = _context(args.context)
    receipt = _receipt(context)
    data = _input(args.file)
    found_wrong = False
    is_utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    for line in lines_of(args.format, data, args.hex, args.reply, context, receipt):
        found_wrong |= "rejected" in line
        print(json.dumps(line, ensure_ascii=not is_utf8))
    return 1 if found_wrong else 0


def lines_of(
    name: str, data: bytes, is_hex: bool, with_reply: bool, context: Context, receipt: Receipt
) -> Iterator[Line]:
    if name in MESSAGES:
        messages = _hex_messages(data, context.topic) if is_hex else iter([(0, data, context.topic)])
        return _of_messages(MESSAGES[name](), messages, with_reply, receipt)
    read: Callable[[bytes], Iterator[Line]]
    if name in STREAMS:
        form = _form(name, context)
        read = functools.partial(_of_stream, form, with_reply=with_reply, receipt=receipt)
    elif name in JSON_MESSAGES:
        decode_one = JSON_MESSAGES[name]
        if name == "ctwing" and context.inner is not None:
            inner = functools.partial(decode_all, _form(context.inner, context))
            decode_one = functools.partial(ctwing.decode, inner=inner)
        read = functools.partial(_of_json, decode_one, context.topic, with_reply=with_reply, receipt=receipt)
    else:
        # SenML over MQTT asks for no answer in bytes, so `--reply` adds nothing to it.
        read = functools.partial(results, receipt=receipt)
    return _of_hex(data, read) if is_hex else read(data)


def results(data: bytes, receipt: Receipt) -> Iterator[Line]:
    """SenML: a line for each reading and each rejection, in the order of the input; CBOR is one frame."""
    pieces, decode = json_stream.pieces(data), senml.decode
    if senml_cbor.is_cbor(data):
        pieces, decode = iter([(0, data)]), senml_cbor.decode
    for at, piece in pieces:
        decoded = decode(piece, receipt.received_us)
        if isinstance(decoded, Rejected):
            yield {"rejected": decoded.reason, "at": at, "detail": decoded.detail}
        else:
            yield from _senml_lines(decoded, at, receipt)


def _of_stream(form: StreamFormat, data: bytes, with_reply: bool, receipt: Receipt) -> Iterator[Line]:
    stream = Stream(form)
    for items in (stream.feed(data, receipt.received_us), stream.finish(receipt.received_us)):
        yield from _printed(items, with_reply, receipt, LOCAL)


def _of_json(
    decode: Callable[[bytes, str | None, int], list[Item]],
    topic: str | None,
    data: bytes,
    with_reply: bool,
    receipt: Receipt,
) -> Iterator[Line]:
    for at, piece in json_documents.pieces(data):
        yield from _printed(moved(decode(piece, topic, receipt.received_us), at), with_reply, receipt, dt.UTC)


def _of_messages(
    decode: Callable[[bytes, str | None, int], list[Item]],
    messages: Iterable[tuple[int, bytes | Bad, str | None]],
    with_reply: bool,
    receipt: Receipt,
) -> Iterator[Line]:
    for at, message, topic in messages:
        items: list[Item] = [message] if isinstance(message, Bad) else []
        if isinstance(message, bytes):
            items = decode(message, topic, receipt.received_us)
        yield from _printed(moved(items, at), with_reply, receipt, dt.UTC)


def _hex_messages(text: bytes, topic: str | None) -> Iterator[tuple[int, bytes | Bad, str | None]]:
    """A message a line; a line may begin with the topic of its message."""
    at = 0
    for number, line in enumerate(text.splitlines(), 1):
        first, _, rest = line.strip().partition(b" ")
        has_topic = b"/" in first
        message = _of_digits(rest if has_topic else line, number)
        if message == b"":
            continue
        yield at, message, first.decode("utf-8", "replace") if has_topic else topic
        at += len(message) if isinstance(message, bytes) else 0


def _of_hex(text: bytes, read: Callable[[bytes], Iterator[Line]]) -> Iterator[Line]:
    """The lines are pieces of one stream; one that is not hexadecimal ends what was begun before it."""
    stream = b""
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        piece = _of_digits(line, number)
        if isinstance(piece, bytes):
            stream += piece
            continue
        yield from _moved(read(stream), begun)
        begun += len(stream)
        stream = b""
        yield {"rejected": piece.reason, "at": begun, "detail": piece.detail}
    yield from _moved(read(stream), begun)


def _of_digits(line: bytes, number: int) -> bytes | Bad:
    try:
        return bytes.fromhex(line.decode("ascii").strip().removeprefix("0x"))
    except (ValueError, UnicodeDecodeError):
        return Bad(Reason.syntax, f"line {number} is not hexadecimal")


def _moved(lines: Iterator[Line], by: int) -> Iterator[Line]:
    for line in lines:
        at = line.get("at")
        yield {**line, "at": at + by} if isinstance(at, int) else line


def _printed(items: Iterable[Item], with_reply: bool, receipt: Receipt, zone: dt.tzinfo) -> Iterator[Line]:
    for item in items:
        if isinstance(item, Reading):
            yield _line(item, receipt, zone)
        elif isinstance(item, Seen):
            yield {"gateway": item.gateway or receipt.gateway, "frame": item.frame}
        elif isinstance(item, Bad):
            yield {"rejected": item.reason, "at": item.at, "detail": item.detail}
        elif with_reply:
            yield _reply(item)


def _line(item: Reading, receipt: Receipt, zone: dt.tzinfo) -> Line:
    is_historical = item.historical or receipt.backfill
    line: Line = {
        "gateway": item.gateway if item.gateway is not None else receipt.gateway,
        "point": item.point,
        "time": None if item.time_us is None else _rfc3339(item.time_us, zone),
        "value": item.value,
        "unit": item.unit,
        "quality": Quality.historical.name if receipt.backfill else item.quality.name,
        "historical": is_historical,
    }
    return line if item.note is None else {**line, "note": item.note}


def _reply(item: Reply) -> Line:
    line: Line = {"reply_hex": item.data.hex()}
    return line if item.topic is None else {**line, "topic": item.topic}


def _rfc3339(time_us: int, zone: dt.tzinfo) -> str:
    return to_datetime(time_us).astimezone(zone).isoformat().replace("+00:00", "Z")


def _senml_lines(decoded: Decoded, at: int, receipt: Receipt) -> Iterator[Line]:
    lines: list[tuple[int, Line]] = [
        (one.index, {"rejected": one.reason, "at": at, "record": one.index, "detail": one.detail})
        for one in decoded.refused
    ]
    lines += [
        (int(decoded.index[row]), _senml_line(decoded, row, receipt)) for row in range(len(decoded.points))
    ]
    for _, line in sorted(lines, key=lambda pair: pair[0]):
        yield line


def _senml_line(decoded: Decoded, row: int, receipt: Receipt) -> Line:
    number = float(decoded.value[row])
    value: object = number
    if decoded.flags[row] == Flag.text:
        value = decoded.texts[int(number)]
    elif decoded.flags[row] == Flag.boolean:
        value = bool(number)
    is_known = receipt.is_known or not decoded.relative[row]
    moment = _rfc3339(int(decoded.time[row]), dt.UTC)
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


def _context(path: Path | None) -> Context:
    if path is None:
        return Context()
    try:
        context = msgspec.json.decode(path.read_bytes(), type=Context)
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CannotRun(f"{path}: {error}") from None
    if context.inner is not None and context.inner not in STREAMS:
        raise CannotRun(f"{path}: inner: expected one of {', '.join(STREAMS)}, got {context.inner!r}")
    return context


def _receipt(context: Context) -> Receipt:
    known = context.received_at is not None
    received_us = to_us(context.received_at) if context.received_at else time.time_ns() // 1_000
    return Receipt(context.gateway, received_us, known, context.backfill)


def _form(name: str, context: Context) -> StreamFormat:
    form = STREAMS[name]
    if name == "modbus" and context.registers:
        decode = functools.partial(modbus.decode_mapped, registers=context.registers)
        form = StreamFormat(form.shape, decode)
    return form


def _input(path: Path | None) -> bytes:
    if path is None:
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotRun(f"{path}: {error.strerror}") from None
