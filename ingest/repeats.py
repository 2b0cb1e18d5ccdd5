"""Frames that came before, known by what they say: protocols of the field number nothing that lasts.

A device that missed an answer sends the frame again, perhaps on a new connection, perhaps to an ingest that
was started anew. `content` is the same for both, before Kafka and in its log, so what the end of the log
holds is known after a restart. Bounded by number and age.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.reading import Flag

KEPT = 100_000
KEPT_US = 600_000_000


def content(gateway: str, records: np.ndarray, texts: Sequence[str]) -> bytes:
    """Stands for what a frame says. `texts` is the table that its records point to."""
    is_text = records["flags"] == Flag.text
    digest = hashlib.blake2b(gateway.encode(), digest_size=16)
    if is_text.any():
        records = records.copy()
        for at in records["value"][is_text].tolist():
            digest.update(b"\0" + texts[int(at)].encode(errors="surrogatepass"))
        records["value"][is_text] = 0.0
    digest.update(records.tobytes())
    return digest.digest()


class _Known(NamedTuple):
    at_us: int
    stored: asyncio.Future[None] | None  # None: it is in Kafka


class Repeats:
    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, digest: bytes, now_us: int, stored: asyncio.Future[None] | None = None) -> None:
        self._known[digest] = _Known(now_us, stored)
        self._known.move_to_end(digest)
        while len(self._known) > KEPT or now_us - next(iter(self._known.values())).at_us > KEPT_US:
            self._known.popitem(last=False)

    def find(self, digest: bytes, now_us: int) -> _Known | None:
        """What is known of a frame that says the same, if it came in the last ten minutes."""
        known = self._known.get(digest)
        return known if known is not None and now_us - known.at_us <= KEPT_US else None
