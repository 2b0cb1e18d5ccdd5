"""Control records: what ingest writes into every `readings` partition between the frames.

Time and versions are in the log, so that a second reader, a restart and a backtest decide as the
live run did. A control record is JSON inside a packed frame of kind `control` (schemas/frame.py).
Ticks of a generation lower than the highest seen for their ingest are ignored (a resumed zombie).
All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

import msgspec

from schemas import frame


class Tick(msgspec.Struct, frozen=True, tag="tick", tag_field="control"):
    """Time passes. `silent` are the gateways of this partition that this ingest has not heard of for
    longer than their allowance; `scope` names the ownership generation whose gateways it speaks for."""

    ingest: str
    generation: int
    city_us: int
    wall_us: int
    silent: tuple[str, ...] = ()


class Held(msgspec.Struct, frozen=True, tag="held", tag_field="control"):
    """Said now and then in place of ticks: this ingest takes nothing in, because the log's disk is full,
    `used` of it. Time stands still meanwhile."""

    ingest: str
    generation: int
    wall_us: int
    used: float


class Clock(msgspec.Struct, frozen=True, tag="clock", tag_field="control"):
    """The city clock of this installation."""

    base_us: int
    wall0_us: int
    scale: float


class Ownership(msgspec.Struct, frozen=True, tag="ownership", tag_field="control"):
    """From here on this ingest, in this generation, speaks for these gateways ("*" = all)."""

    ingest: str
    generation: int
    gateways: tuple[str, ...] = ("*",)


class RegistryVersion(msgspec.Struct, frozen=True, tag="registry", tag_field="control"):
    """From here on the registry is the `sensors` topic up to (not including) `offset`."""

    version: int
    offset: int


class RulesVersion(msgspec.Struct, frozen=True, tag="rules", tag_field="control"):
    """From here on the rules are the `rules` topic up to (not including) `offset`."""

    version: int
    offset: int


class Marks(msgspec.Struct, frozen=True, tag="marks", tag_field="control"):
    """What ingest had in Kafka of each gateway when this was written: "gateway/epoch" ->
    [contiguous, sequences ahead of it ...]. `again`: how many frames each gateway has sent again since the
    marks before."""

    ingest: str
    generation: int
    marks: dict[str, tuple[int, ...]]
    again: dict[str, int] = {}


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="control"):
    """Frames of a gateway that never came: sequences `first` to `last` of `epoch`."""

    gateway: str
    epoch: int
    first: int
    last: int


Control = Tick | Held | Clock | Ownership | RegistryVersion | RulesVersion | Marks | Gap

_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def encode(record: Control) -> bytes:
    """The bytes of a control record as they stand in the log."""
    return frame.encode_control(msgspec.json.encode(record))


def decode(data: bytes) -> Control:
    """The control record in these bytes. Raises frame.FrameError."""
    try:
        return _decoder.decode(frame.decode_control(data))
    except msgspec.DecodeError as error:
        raise frame.FrameError(f"control record: {error}") from None
