"""The collection of frames with what they mean, tests/vectors.json; its `conventions` say how to read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Vector = dict[str, Any]

FORMATS = {
    "hj212": "hj212",
    "gbt26875_3": "gb26875",
    "sparkplug_b": "sparkplug",
    "sl651": "sl651",
    "dlt645": "dlt645",
    "cjt188": "cjt188",
    "modbus_rtu": "modbus",
}
BOOK: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors.json").read_text("utf-8"))


def raw(vector: Vector) -> bytes:
    return vector["ascii"].encode() if "ascii" in vector else bytes.fromhex(vector["hex"])


def vectors() -> list[tuple[str, Vector]]:
    """(format, vector) of each."""
    return [(form, vector) for key, form in FORMATS.items() for vector in BOOK[key]]


def named(form: str, name: str) -> bytes:
    return next(raw(vector) for found, vector in vectors() if (found, vector["name"]) == (form, name))


def sequences() -> list[tuple[str, list[bytes], Vector]]:
    """(format, frames, what they give together) of each."""
    return [
        (form := FORMATS[one["protocol"]], [named(form, name) for name in one["vectors"]], one)
        for one in BOOK["sequences"]
    ]
