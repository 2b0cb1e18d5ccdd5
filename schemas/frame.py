"""The packed frame: many readings of one partition in one Kafka message.

Layout, little-endian (version 1):

    offset  size  field
    0       4     magic "CVRF"
    4       1     version (1)
    5       1     kind: 0 readings, 1 control record (schemas/control.py)
    6       2     reserved, 0
    8       4     crc32 of everything from offset 12 to the end
    12      4     segments
    16      4     records
    20      4     bytes of the strings that follow the records
    24      56 n  segment table (`SEGMENT`)
    ..      24 n  records (`schemas.reading.RECORD`)
    ..      rest  msgpack [gateways, texts]; for a control record: its JSON, alone

A segment is what one gateway sent in one frame; it is never split over two packed frames.
Decoding is total: any bytes give a Frame, a control record's JSON, or FrameError saying what is wrong.
"""

from __future__ import annotations

import enum
import struct
import zlib
from dataclasses import dataclass

import msgspec
import numpy as np

from schemas.reading import RECORD

MAGIC = b"CVRF"
VERSION = 1
HEADER = struct.Struct("<4sBBHIIII")

SEGMENT = np.dtype(
    [
        ("epoch", "<u8"),
        ("sequence", "<u8"),
        ("received_at", "<i8"),  # city time, microseconds
        ("received_wall", "<i8"),  # wall time, microseconds
        ("published_wall", "<i8"),  # the gateway's own word for when it published; 0 = it did not say
        ("first", "<u4"),
        ("count", "<u4"),
        ("gateway", "<u4"),  # index into the frame's gateways
        ("flags", "<u4"),
    ]
)


class Kind(enum.IntEnum):
    readings = 0
    control = 1


class SegmentFlag(enum.IntFlag):
    sequenced = 1  # epoch and sequence are the gateway's own
    backfill = 2  # stored as historical, not scored


class FrameError(ValueError):
    """Bytes that are no packed frame, with the field that says so."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Segments in the order of arrival, their records one behind the other."""

    segments: np.ndarray  # SEGMENT
    records: np.ndarray  # RECORD
    gateways: tuple[str, ...]
    texts: tuple[str, ...] = ()

    def gateway_of(self, segment: int) -> str:
        return self.gateways[int(self.segments["gateway"][segment])]


class _Strings(msgspec.Struct, array_like=True, frozen=True):
    gateways: tuple[str, ...]
    texts: tuple[str, ...]


_strings_in = msgspec.msgpack.Decoder(_Strings)


def encode(frame: Frame) -> bytes:
    """A frame's bytes. Raises FrameError when its segments do not cover its records exactly."""
    _check(frame)
    strings = msgspec.msgpack.encode(_Strings(frame.gateways, frame.texts))
    counts = struct.pack("<III", len(frame.segments), len(frame.records), len(strings))
    # The arrays are copied once, into the message.
    segments, records = np.ascontiguousarray(frame.segments).data, np.ascontiguousarray(frame.records).data
    return _seal(Kind.readings, counts, segments, records, strings)


def encode_control(json: bytes) -> bytes:
    """A control record's bytes around its JSON."""
    return _seal(Kind.control, struct.pack("<III", 0, 0, len(json)), json)


def kind_of(data: bytes) -> Kind:
    """What a message holds, by its header alone. Raises FrameError."""
    if len(data) < HEADER.size:
        raise FrameError(f"a packed frame has at least {HEADER.size} bytes, this has {len(data)}")
    magic, version, kind, *_ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FrameError(f"expected magic {MAGIC!r}, got {magic!r}")
    if version != VERSION:
        raise FrameError(f"expected version {VERSION}, got {version}")
    try:
        return Kind(kind)
    except ValueError:
        raise FrameError(f"expected kind 0 or 1, got {kind}") from None


def decode(data: bytes) -> Frame:
    """The frame in these bytes; its arrays are read-only views of `data`. Raises FrameError."""
    segments_n, records_n, strings_n = _open(data, Kind.readings)
    at = HEADER.size
    segments = np.frombuffer(data, SEGMENT, segments_n, at)
    at += segments.nbytes
    records = np.frombuffer(data, RECORD, records_n, at)
    at += records.nbytes
    try:
        strings = _strings_in.decode(data[at : at + strings_n])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(f"string table: {error}") from None
    frame = Frame(segments, records, strings.gateways, strings.texts)
    _check(frame)
    return frame


def decode_control(data: bytes) -> bytes:
    """The JSON of a control record. Raises FrameError."""
    _, _, size = _open(data, Kind.control)
    return data[HEADER.size : HEADER.size + size]


def _seal(kind: Kind, *parts: bytes | memoryview) -> bytes:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join((struct.pack("<4sBBHI", MAGIC, VERSION, kind, 0, crc), *parts))


def _open(data: bytes, want: Kind) -> tuple[int, int, int]:
    kind = kind_of(data)
    if kind is not want:
        raise FrameError(f"expected kind {want.name}, got {kind.name}")
    _, _, _, _, crc, segments_n, records_n, strings_n = HEADER.unpack_from(data)
    size = HEADER.size + segments_n * SEGMENT.itemsize + records_n * RECORD.itemsize + strings_n
    if size != len(data):
        raise FrameError(f"the header says {size} bytes, the message has {len(data)}")
    found = zlib.crc32(memoryview(data)[12:])
    if found != crc:
        raise FrameError(f"crc32 is {found:08x}, the header says {crc:08x}")
    return segments_n, records_n, strings_n


def _check(frame: Frame) -> None:
    counts = frame.segments["count"]
    ends = np.cumsum(counts, dtype=np.int64)
    if (frame.segments["first"] != ends - counts).any():
        raise FrameError("segments must stand one behind the other without gaps")
    if (int(ends[-1]) if len(ends) else 0) != len(frame.records):
        raise FrameError(
            f"segments cover {int(ends[-1]) if len(ends) else 0} records of {len(frame.records)}"
        )
    if len(frame.segments) and int(frame.segments["gateway"].max()) >= len(frame.gateways):
        raise FrameError("a segment names a gateway that the string table lacks")
