"""SenML CBOR (RFC 8428 section 6): the same frame as the JSON one, with numbers for labels.

Total: any bytes give `Decoded` or `Rejected`. The array is read by cbor2 and written again as SenML JSON, so
that there is one reader of records and bases. What JSON cannot say (NaN, infinity, a map as a value) becomes
a value of the wrong type, which refuses that record alone. Numbers may be integers, floats of any width,
big numbers or decimal fractions. Does not look at tags that mean anything else.
"""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from decimal import Decimal
from io import BytesIO
from typing import Any

import cbor2
import msgspec

from ingest.decoded import Decoded, Rejected
from ingest.formats import senml
from schemas.reading import Reason

LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_NUMBERS = {name: label for label, name in LABELS.items()}
_DEPTH = 16
_INT64 = 1 << 63


def is_cbor(data: bytes) -> bool:
    """Whether a frame begins as a CBOR array does; nothing that is UTF-8 begins so."""
    return 0x80 <= data[0] <= 0x9F if data else False


def decode(data: bytes, received_us: int) -> Decoded | Rejected:
    """The readings of one frame that was received at `received_us`."""
    records = _read(data)
    if isinstance(records, Rejected):
        return records
    found = senml.decode(_json(records), received_us)
    if isinstance(found, Rejected):
        return Rejected(found.reason, data, found.detail, records=max(1, len(records)))
    return found


def excerpt(data: bytes, indices: Iterable[int]) -> bytes:
    """These records of a frame that `decode` took apart, as a frame of their own, in CBOR again."""
    records = _read(data)
    assert not isinstance(records, Rejected), "only a frame that was decoded has records to show"
    pieces: list[Any] = msgspec.json.decode(senml.excerpt(_json(records), indices))
    return cbor2.dumps([_numbered(piece) for piece in pieces])


def _read(data: bytes) -> list[Any] | Rejected:
    stream = BytesIO(data)
    try:
        found = cbor2.CBORDecoder(stream, max_depth=_DEPTH, read_size=4_096).decode()
    except cbor2.CBORDecodeEOF as error:
        return Rejected(Reason.truncated, data, f"expected SenML CBOR: {error}")
    except (cbor2.CBORDecodeError, ArithmeticError, RecursionError) as error:
        return Rejected(Reason.syntax, data, f"expected SenML CBOR: {error}")
    if not isinstance(found, list):
        return Rejected(Reason.syntax, data, f"expected an array of records, got {type(found).__name__}")
    if stream.tell() < len(data):
        detail = f"expected nothing behind the array, got {len(data) - stream.tell()} bytes"
        return Rejected(Reason.syntax, data, detail, records=max(1, len(found)))
    return found


def _json(records: list[Any]) -> bytes:
    return msgspec.json.encode([_named(one) if isinstance(one, dict) else None for one in records])


def _named(record: dict[Any, Any]) -> dict[str, Any]:
    return {
        LABELS.get(label) or str(label): value if type(value) is str else _sayable(value)
        for label, value in record.items()
    }


def _sayable(value: Any) -> Any:
    """A value that JSON has; what it has not becomes a list or a word where a number is expected."""
    if type(value) is float:
        return value if value - value == 0.0 else [str(value)]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return value
    if isinstance(value, bytes):
        return urlsafe_b64encode(value).rstrip(b"=").decode()
    if isinstance(value, (int, Decimal)):
        return _finite(value)
    return []


def _finite(value: int | Decimal) -> float | list[str]:
    try:
        number = float(value)
    except (ArithmeticError, ValueError):  # an integer of more than 1,024 bits, a signalling NaN
        return ["beyond what a float64 holds"]
    return number if math.isfinite(number) else [str(number)]


def _numbered(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return {_NUMBERS.get(name, name): _bytes(name, value) for name, value in record.items()}


def _bytes(name: str, value: Any) -> Any:
    if name != "vd" or not isinstance(value, str):
        return value
    try:
        return urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:  # it came as a text, and not as one that stands for bytes
        return value
