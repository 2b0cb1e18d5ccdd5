"""A fitted model 模型 as a file: arrays by name, what they were fitted on, no code in it.

JSON with base64 of little-endian numbers, so it is read without pickle and travels inside a rule on the
`rules` topic. Its version is the hash of its content. What the arrays mean is the detector's; here they are
only checked to be arrays.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

FORMAT = 1
LARGEST = 600_000
"""Bytes: a rule with its model must fit into a message."""
Fittable = Literal["components", "deviation", "forest", "onestep", "regime", "locate", "front"]
_KINDS = frozenset({"<f8", "<i8", "|b1"})


class ModelError(ValueError):
    """A file that is no model; the message says what was expected."""


class Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data: str


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """`names` are the columns' sensors as GATEWAY/POINT, in order; a row is judged every `interval_s`."""

    format: Literal[1] = 1
    detector: Fittable
    names: tuple[str, ...]
    interval_s: float
    rows: int
    first: str  # of the history, as written there
    last: str
    arrays: dict[str, Packed]
    places: tuple[str, ...] = ()  # of a network, where something can break

    @functools.cached_property
    def version(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()[:8].hex()


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, Packed]:
    found = {}
    for name, array in arrays.items():
        kind = {"f": "<f8", "i": "<i8", "b": "|b1"}[array.dtype.kind]
        plain = np.ascontiguousarray(array, kind)
        found[name] = Packed(kind, array.shape, base64.b64encode(plain.tobytes()).decode())
    return found


def unpacked(model: Model) -> dict[str, np.ndarray]:
    """Raises ModelError."""
    found = {}
    for name, array in model.arrays.items():
        if array.dtype not in _KINDS:
            raise ModelError(f"{name}: expected one of {', '.join(sorted(_KINDS))}, got {array.dtype!r}")
        try:
            data = base64.b64decode(array.data, validate=True)
            found[name] = np.frombuffer(data, np.dtype(array.dtype)).reshape(array.shape)
        except (binascii.Error, ValueError) as error:
            raise ModelError(f"{name}: expected numbers of shape {array.shape}: {error}") from None
    return found


def encode(model: Model) -> bytes:
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"


def decode(data: bytes) -> Model:
    """Raises ModelError."""
    if len(data) > LARGEST:
        raise ModelError(f"expected at most {LARGEST} bytes, got {len(data)}")
    try:
        model = msgspec.json.decode(data, type=Model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"expected a model of format {FORMAT}: {error}") from None
    unpacked(model)
    return model
