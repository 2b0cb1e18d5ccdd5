"""Every wire format by the name that `cityvigil decode` and the listeners know it by; SenML apart.

Formats of a stream find their own frames; formats of messages get one message and the topic it came on. Both
give the results of ingest/formats/result.py.
"""

from __future__ import annotations

from collections.abc import Callable

from ingest.formats import (
    cjt188,
    ctwing,
    dlt645,
    gb26875,
    hj212,
    modbus,
    onenet,
    sensorthings,
    sl651,
    thingsboard,
    video,
)
from ingest.formats.result import Item
from ingest.formats.sparkplug import EdgeNodes
from ingest.formats.stream import StreamFormat

STREAMS: dict[str, StreamFormat] = {
    "hj212": hj212.FORMAT,
    "gb26875": gb26875.FORMAT,
    "sl651": sl651.FORMAT,
    "dlt645": dlt645.FORMAT,
    "cjt188": cjt188.FORMAT,
    "modbus": modbus.FORMAT,
}

DecodeMessage = Callable[[bytes, str | None, int], list[Item]]
"""(payload, topic, time of receipt) to results."""

JSON_MESSAGES: dict[str, DecodeMessage] = {
    "thingsboard": thingsboard.decode,
    "sensorthings": sensorthings.decode,
    "ctwing": ctwing.decode,
    "onenet": onenet.decode,
    "video": video.decode,
}

MESSAGES: dict[str, Callable[[], DecodeMessage]] = {
    "sparkplug": lambda: EdgeNodes().decode,
}
"""Formats without frame boundaries, whose state lives with one reader: each call begins with nothing known.
"""
