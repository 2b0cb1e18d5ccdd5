"""One gateway's way of saying things: what its points are called, and its readings of one moment as frames.

`SPEECHES` is every protocol that a simulated gateway can be given, by name; `by` says what carries its
frames: its own MQTT topics, an edge node's, a line of its own, or a platform's push. SenML has its own
encoder and is not here.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, NamedTuple

import msgspec

from schemas.clock import to_datetime
from simulators.protocols import gb26875, hj212, sl651, sparkplug, video
from simulators.protocols.wire import bcd, crc16, local

By = Literal["topics", "edge-node", "line", "push"]
Readings = Sequence[tuple[int, float]]
"""(place among the gateway's sensors, value)."""


class Member(NamedTuple):
    """A sensor as its gateway knows it."""

    point: str
    category: str
    unit: str
    is_state: bool


class Frame(NamedTuple):
    """`topic` is a form below the gateway's own topics, where it is carried by them."""

    payload: bytes
    readings: int
    topic: str | None = None


class Speech(ABC):
    """`number` makes identities that differ from gateway to gateway."""

    name: ClassVar[str]
    by: ClassVar[By]

    def __init__(self, gateway: str, number: int, members: Sequence[Member]) -> None:
        self.gateway, self.number, self.members = gateway, number, members

    @property
    def identity(self) -> str | None:
        """What it calls itself where it does not log in by its name."""
        return None

    def points(self) -> list[str]:
        """The registry's name of each sensor."""
        return [member.point for member in self.members]

    @abstractmethod
    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        """Readings of `time_us`, sent at `sent_us`, both in city time."""

    def said(self, at: int, value: float) -> bool | float:
        return value != 0 if self.members[at].is_state else value


class Hj212(Speech):
    name, by = "hj212", "line"

    def __init__(self, gateway: str, number: int, members: Sequence[Member]) -> None:
        super().__init__(gateway, number, members)
        self.station = f"37020000CV{number:014d}"
        self._codes = hj212.codes([member.category for member in members])
        pairs = zip(members, self._codes, strict=True)
        self._scales = [hj212.scale(member.category, code) for member, code in pairs]

    @property
    def identity(self) -> str:
        return f"hj212/{self.station}"

    def points(self) -> list[str]:
        return [f"{code}-Rtd" for code in self._codes]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        said = [(self._codes[at], f"{value * self._scales[at]:.10g}") for at, value in readings]
        frames = hj212.uploads(self.station, sent_us, time_us, said)
        return [Frame(frame, frame.count(b"-Rtd=")) for frame in frames]


class Gb26875(Speech):
    name, by = "gb26875", "line"

    def __init__(self, gateway: str, number: int, members: Sequence[Member]) -> None:
        super().__init__(gateway, number, members)
        self.source = (0x370200_000000 + number).to_bytes(6, "little")
        self._serial = 0

    @property
    def identity(self) -> str:
        return f"gb26875/{self.source[::-1].hex()}"

    def points(self) -> list[str]:
        return [gb26875.point(one.is_state, one.unit, at + 1) for at, one in enumerate(self.members)]

    def next_serial(self) -> int:
        self._serial = (self._serial + 1) % 65_536
        return self._serial

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        states = [
            gb26875.state_object(at + 1, value != 0, time_us)
            for at, value in readings
            if self.members[at].is_state
        ]
        values = [
            gb26875.value_object(at + 1, self.members[at].unit, value, time_us)
            for at, value in readings
            if not self.members[at].is_state
        ]
        found = []
        for kind, objects, most in ((2, states, gb26875.MOST_STATES), (3, values, gb26875.MOST_VALUES)):
            for first in range(0, len(objects), most):
                part = objects[first : first + most]
                data = gb26875.content(kind, part)
                frame = gb26875.framed(self.next_serial(), sent_us, self.source, gb26875.SEND, data)
                found.append(Frame(frame, len(part)))
        return found


class Sl651(Speech):
    name, by = "sl651", "line"

    def __init__(self, gateway: str, number: int, members: Sequence[Member]) -> None:
        super().__init__(gateway, number, members)
        self.station = bcd(37_0200_0000 + number, 5)
        self._serial = 0

    @property
    def identity(self) -> str:
        return f"sl651/{self.station.hex()}"

    def points(self) -> list[str]:
        return [sl651.point(at + 1) for at in range(len(self.members))]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        found = []
        for first in range(0, len(readings), sl651.ELEMENTS_A_REPORT):
            part = readings[first : first + sl651.ELEMENTS_A_REPORT]
            self._serial = self._serial % 65_535 + 1
            elements = [(at + 1, value) for at, value in part]
            report = sl651.report(self.station, self._serial, sent_us, time_us, elements)
            found.append(Frame(report, len(part)))
        return found


class Sparkplug(Speech):
    """Frames are metrics; the edge node's client says births, times and sequence numbers."""

    name, by = "sparkplug", "edge-node"

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        metrics = [sparkplug.metric(at + 1, self.said(at, value), time_us) for at, value in readings]
        return [Frame(b"".join(metrics), len(readings))]


class Thingsboard(Speech):
    name, by = "thingsboard", "topics"

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        values = {self.members[at].point: self.said(at, value) for at, value in readings}
        body = msgspec.json.encode({"ts": time_us // 1_000, "values": values})
        return [Frame(body, len(readings), "v1/devices/me/telemetry")]


class Sensorthings(Speech):
    name, by = "sensorthings", "topics"

    def points(self) -> list[str]:
        return [f"Datastreams({at + 1})" for at in range(len(self.members))]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        when = to_datetime(time_us).isoformat()
        streams = [
            {
                "Datastream": {"@iot.id": at + 1},
                "components": ["phenomenonTime", "result"],
                "dataArray": [[when, self.said(at, value)]],
            }
            for at, value in readings
        ]
        return [Frame(msgspec.json.encode(streams), len(readings), "v1.1/CreateObservations")]


class Onenet(Speech):
    name, by = "onenet", "topics"

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        params = {
            self.members[at].point: {"value": self.said(at, value), "time": time_us // 1_000}
            for at, value in readings
        }
        body = {"id": str(sent_us // 1_000), "version": "1.0", "params": params}
        return [Frame(msgspec.json.encode(body), len(readings), "onenet")]


class Modbus(Speech):
    """Blocks of registers that the gateway has read of its devices, each value a float of two registers."""

    name, by = "modbus", "topics"
    A_BLOCK: ClassVar = 60

    def points(self) -> list[str]:
        return [f"1/{self._register(at)}" for at in range(len(self.members))]

    def _register(self, at: int) -> str:
        """Its own name; the registry's has the slave's address before it."""
        return self.members[at].point.removeprefix("1/")

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        found = []
        for first in range(0, len(readings), self.A_BLOCK):
            part = readings[first : first + self.A_BLOCK]
            block = b"".join(struct.pack(">f", value) for _, value in part)
            answer = bytes([1, 3, len(block)]) + block
            answer += crc16(answer).to_bytes(2, "little")
            registers = [
                {"point": self._register(at), "at": 2 * place, "type": "f32"}
                for place, (at, _) in enumerate(part)
            ]
            body = {"time": to_datetime(time_us), "frames": [answer.hex()], "registers": registers}
            found.append(Frame(msgspec.json.encode(body), len(part), "modbus"))
        return found


class Dlt645(Speech):
    """A gateway of electricity meters: each voltage is the answer of a meter of its own. What no meter of the
    kind says goes as SenML beside them."""

    name, by = "dlt645", "topics"

    def _is_meters(self, at: int) -> bool:
        return self.members[at].unit == "V"

    def points(self) -> list[str]:
        return [
            f"{at + 1:012d}/02010100" if self._is_meters(at) else member.point
            for at, member in enumerate(self.members)
        ]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        answers = [self._answer(at + 1, value).hex() for at, value in readings if self._is_meters(at)]
        return _with_the_rest(self, "dlt645", answers, self._is_meters, time_us, readings)

    def _answer(self, address: int, volts: float) -> bytes:
        data = bytes.fromhex("02010100")[::-1] + bcd(round(volts * 10), 2)[::-1]
        shifted = bytes((byte + 0x33) % 256 for byte in data)
        frame = b"\x68" + bcd(address, 6)[::-1] + b"\x68\x91" + bytes([len(data)]) + shifted
        return b"\xfe" * 4 + frame + bytes([sum(frame) % 256, 0x16])


class Cjt188(Speech):
    """A gateway of water meters: each volume is the answer of a meter, which says four things at once; the
    rest goes as SenML beside them."""

    name, by = "cjt188", "topics"
    AN_ANSWER: ClassVar = 4

    def _is_meters(self, at: int) -> bool:
        return self.members[at].unit == "m3"

    def points(self) -> list[str]:
        return [
            f"{at + 1:014d}/901F.volume_now" if self._is_meters(at) else member.point
            for at, member in enumerate(self.members)
        ]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        answers = [
            self._answer(at + 1, value, time_us).hex() for at, value in readings if self._is_meters(at)
        ]
        return _with_the_rest(self, "cjt188", answers, self._is_meters, time_us, readings, self.AN_ANSWER)

    def _answer(self, address: int, volume: float, time_us: int) -> bytes:
        now = bcd(round(volume * 100), 4)[::-1] + b"\x2c"
        clock = bytes.fromhex(local(time_us).strftime("%Y%m%d%H%M%S"))[::-1]
        data = b"\x90\x1f\x00" + now + now + clock + b"\0\0"
        frame = b"\x68\x10" + bcd(address, 7)[::-1] + b"\x81" + bytes([len(data)]) + data
        return b"\xfe" * 3 + frame + bytes([sum(frame) % 256, 0x16])


class Ctwing(Speech):
    name, by = "ctwing", "push"

    @property
    def identity(self) -> str:
        return f"ctwing/{self.gateway}"

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        report = {
            "deviceId": self.gateway,
            "messageType": "dataReport",
            "timestamp": time_us // 1_000,
            "payload": {self.members[at].point: self.said(at, value) for at, value in readings},
            "protocol": "tup",
        }
        return [Frame(msgspec.json.encode(report), len(readings))]


class Video(Speech):
    """A box that says over MQTT what its cameras' analytics saw; each event has the address of its picture,
    which is a reading more."""

    name: ClassVar[str] = "video"
    by: ClassVar[By] = "topics"

    def points(self) -> list[str]:
        return [video.point(self.number, at, member.category) for at, member in enumerate(self.members)]

    def frames(self, time_us: int, sent_us: int, readings: Readings) -> list[Frame]:
        said = [
            (at, self.members[at].category, self.members[at].unit, self.said(at, value))
            for at, value in readings
        ]
        return [Frame(video.events(self.gateway, self.number, time_us, said), 2 * len(said), "video")]


class VideoPush(Video):
    """The same from a box that speaks no MQTT: pushed under its own name, by HTTP Basic."""

    name, by = "video-push", "push"


SPEECHES: dict[str, type[Speech]] = {
    one.name: one
    for one in (
        Hj212, Gb26875, Sl651, Sparkplug, Thingsboard, Sensorthings, Onenet, Modbus, Dlt645, Cjt188, Ctwing,
        Video, VideoPush,
    )
}  # fmt: skip


def _with_the_rest(
    speech: Speech,
    form: str,
    answers: list[str],
    is_meters: Callable[[int], bool],
    time_us: int,
    readings: Readings,
    an_answer: int = 1,
) -> list[Frame]:
    """Meters' answers in one envelope, each of so many readings, and the other readings as SenML."""
    found = []
    if answers:
        body = {"time": to_datetime(time_us), "frames": answers}
        found.append(Frame(msgspec.json.encode(body), an_answer * len(answers), form))
    rest = [(at, value) for at, value in readings if not is_meters(at)]
    if rest:
        records = [
            {"n": speech.members[at].point, "vb": value != 0}
            if speech.members[at].is_state
            else {"n": speech.members[at].point, "u": speech.members[at].unit, "v": value}
            for at, value in rest
        ]
        records[0]["bt"] = time_us / 1e6
        found.append(Frame(msgspec.json.encode(records), len(rest), "senml"))
    return found
