"""HJ 212-2017 and HJ/T 212-2005: pollution monitoring stations over TCP, text between `##` and CR LF.

Decodes and answers one frame at a time and keeps nothing: every part of a split message carries whole items
and its own DataTime, and the standard's own example numbers the parts apart, so each part is decoded when it
comes instead of waiting for parts that a device may never join. Accepts a CRC in either case, the older
edition's missing QN and Flag, trailing separators and items without their prefix. HJ 212-2025 is not read.
"""

from __future__ import annotations

import re

from ingest.formats.checksum import crc16_hj212
from ingest.formats.digits import local_of_digits
from ingest.formats.framing import Broken, Shape
from ingest.formats.hj212_units import unit_of
from ingest.formats.result import Bad, Item, Reading, Seen, Value
from ingest.formats.stream import StreamFormat
from schemas.reading import Quality, Reason

LONGEST_DATA = 1_024
_HEAD = 6  # "##" and four digits
_TAIL = 6  # CRC, CR, LF
_FLAGS = {
    "N": Quality.good,
    "F": Quality.stopped,
    "M": Quality.maintenance,
    "S": Quality.manual,
    "D": Quality.fault,
    "C": Quality.calibration,
    "T": Quality.over_range,
    "B": Quality.link_lost,
}
_WORDS = {
    "9011": "request_ack",
    "9012": "result",
    "9013": "notice_ack",
    "9014": "data_ack",
    "9021": "login",
}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_CRC = re.compile(rb"[0-9A-Fa-f]{4}")
_NOTHING = frozenset({"", "-", "--", "null", "NULL", "NaN", "nan", "N/A"})
_TEXT = frozenset({"SampleTime", "SN", "EFlag"})


def _measure(data: bytes, at: int) -> int | Broken | None:
    digits = data[at + 2 : at + _HEAD]
    if digits and not digits.isdigit():
        return Broken(Reason.length, "expected four digits of length behind ##")
    if len(digits) < 4:
        return None
    length = int(digits)
    if length > LONGEST_DATA:
        return Broken(Reason.length, f"expected at most {LONGEST_DATA} bytes of data, got {length}")
    end = at + _HEAD + length + _TAIL
    if len(data) < end:
        return None
    if data[end - 2 : end] != b"\r\n":
        return Broken(Reason.length, f"expected CR LF behind {length} bytes of data and the CRC")
    return end


SHAPE = Shape(
    mark=re.compile(rb"##"),
    plausible=re.compile(rb"##(?:\d{4}|\d{0,3}\Z)|#\Z"),
    measure=_measure,
    filler=b"\r\n \t",
)


def decode(frame: bytes) -> list[Item]:
    """The readings of a frame from `##` to LF, or what it is, or why it cannot be used."""
    data, crc = frame[_HEAD:-_TAIL], frame[-_TAIL:-2]
    if not _CRC.fullmatch(crc) or int(crc, 16) != (expected := crc16_hj212(data)):
        wanted = f"{expected:04X}" if _CRC.fullmatch(crc) else "four hexadecimal digits"
        return [Bad(Reason.checksum, f"expected CRC {wanted}, got {crc.decode('latin-1')!r}")]
    text = _text(data)
    if text is None:
        return [Bad(Reason.syntax, "the data segment is neither UTF-8 nor GB 18030")]
    fields, content = _segment(text)
    if content is None:
        return [Bad(Reason.syntax, "expected CP=&&...&& at the end of the data segment")]
    command = fields.get("CN")
    if command is None:
        return [Bad(Reason.syntax, "expected a command number CN")]
    gateway = fields.get("MN") or None
    if (place := _place_in_message(fields)) is not None:
        return [place]
    items = _readings(content, gateway)
    return items or [Seen(gateway, _WORDS.get(command, "command"))]


def answer(frame: bytes, now_us: int) -> bytes | None:
    """The data answer 9014, where a sound frame from a device asks for one."""
    data = frame[_HEAD:-_TAIL]
    text, items = _text(data), decode(frame)
    if text is None or all(isinstance(item, Bad) for item in items):
        return None
    fields, content = _segment(text)
    flag = fields.get("Flag", "")
    if not (flag.isascii() and flag.isdigit() and int(flag) & 1) or "QN" not in fields or content is None:
        return None
    # An upload has values or says when; a host's request has neither, and is for the device to answer.
    is_upload = any(isinstance(item, Reading) for item in items) or "DataTime=" in content
    if fields.get("ST") == "91" or not is_upload:
        return None
    said = ";".join(
        f"{key}={value}"
        for key, value in (
            ("QN", fields["QN"]),
            ("ST", "91"),
            ("CN", "9014"),
            ("PW", fields.get("PW", "")),
            ("MN", fields.get("MN", "")),
            ("Flag", "4"),
            ("CP", "&&&&"),
        )
    )
    return framed(said.encode())


def password(frame: bytes) -> str | None:
    """PW, as a sound frame gives it."""
    text = _text(frame[_HEAD:-_TAIL])
    return None if text is None else _segment(text)[0].get("PW") or None


def framed(data: bytes) -> bytes:
    """A data segment as it goes on the wire."""
    return b"##%04d%b%04X\r\n" % (len(data), data, crc16_hj212(data))


def _text(data: bytes) -> str | None:
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _segment(text: str) -> tuple[dict[str, str], str | None]:
    """The fields before CP, and what stands between its && marks."""
    head, found, content = text.partition("CP=&&")
    fields = dict(
        (key.strip(), value.strip())
        for key, is_set, value in (f.partition("=") for f in head.split(";"))
        if is_set
    )
    end = content.rfind("&&")
    return fields, content[:end] if found and end >= 0 and not content[end + 2 :].strip(" ;") else None


def _place_in_message(fields: dict[str, str]) -> Bad | None:
    """Part PNO of PNUM; nothing to say if that is possible."""
    count, number = fields.get("PNUM"), fields.get("PNO")
    if count is None or number is None:
        return None
    if not (count.isascii() and count.isdigit() and number.isascii() and number.isdigit()):
        return Bad(Reason.syntax, f"expected numbers PNUM and PNO, got {count!r} and {number!r}")
    if not 0 < int(number) <= int(count):
        return Bad(Reason.range, f"expected a part from 1 to {count}, got {number}")
    return None


def _readings(content: str, gateway: str | None) -> list[Item]:
    """Readings in the order of the frame, each with the flag of its code."""
    groups = [[f.strip() for f in group.split(",") if f.strip()] for group in content.split(";")]
    time_us: int | None = None
    named: list[tuple[str, str, str]] = []  # code, suffix, value
    flags: dict[str, str] = {}
    items: list[Item] = []
    for group in groups:
        own = ""
        for one in group:
            key, is_set, value = one.partition("=")
            key, value = key.strip(), value.strip()
            if not is_set or not key:
                items.append(Bad(Reason.syntax, f"expected NAME=VALUE in CP, got {one[:40]!r}"))
                continue
            code, dash, suffix = key.rpartition("-")
            if not dash:
                if key == "DataTime":
                    time_us = local_of_digits(value)
                continue
            own = own or code
            if len(code) == 5 and own[1:] == code:
                code = own  # annex C.14 prints 01018-Rtd within the item of w01018
            if suffix == "Flag":
                flags[code] = value
            else:
                named.append((code, suffix, value))
    for code, suffix, said in named:
        given = _FLAGS.get(flags.get(code, "N"), Quality.suspect)
        found, quality = _value(suffix, said, given)
        unit = None if suffix in _TEXT else unit_of(code, suffix)
        items.append(Reading(gateway, f"{code}-{suffix}", time_us, found, unit, quality))
    return items


def _value(suffix: str, said: str, quality: Quality) -> tuple[Value, Quality]:
    if said in _NOTHING:
        return None, Quality.suspect if quality is Quality.good else quality
    if suffix not in _TEXT and _NUMBER.fullmatch(said):
        number = float(said)
        if abs(number) == float("inf"):
            return None, Quality.suspect if quality is Quality.good else quality
        return number, quality
    return said, quality


FORMAT = StreamFormat(SHAPE, decode, answer, password)
