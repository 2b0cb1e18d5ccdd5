"""Raw bytes in a platform's envelope, when nothing says what they are: a meter's frame or a block of
registers.

Taken for the first format whose frames fill all of the bytes, with every checksum right; DL/T 645 and CJ/T
188 look alike and differ in the place of their second 68. What fits none is unsupported.
"""

from __future__ import annotations

from ingest.formats import cjt188, dlt645, modbus
from ingest.formats.result import Bad, Item
from ingest.formats.stream import decode_all
from schemas.reading import Reason

_FORMS = (dlt645.FORMAT, cjt188.FORMAT, modbus.FORMAT)


def enclosed(data: bytes) -> list[Item]:
    """The results of the bytes, or one `Bad`."""
    for form in _FORMS:
        items = decode_all(form, data)
        if items and not any(isinstance(item, Bad) for item in items):
            return items
    return [
        Bad(Reason.unsupported, f"{len(data)} raw bytes that are no frame of DL/T 645, CJ/T 188 or Modbus")
    ]
