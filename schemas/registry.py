"""The registry: zones, gateways and sensors, as they stand on the compacted `sensors` topic.

The topic is the truth; PostgreSQL's `sensors` table is its mirror. Whoever changes the registry
writes entries and then a `Version`; ingest turns that marker into a control record in the readings
log, and from there on detect uses the new registry. A point that nobody registered is entered by
ingest in state `waiting`: its readings are kept, no rule looks at them until it has a category.
Sensor numbers below `WAITING_BASE` are given by imports, those from it up by ingest; a waiting
point that is registered later keeps its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

WAITING_BASE = 1 << 30
GUARDED = frozenset({"in-service", "commissioning", "maintenance"})
"""States whose sensors are evaluated; alerts of those not in service are recorded and told to nobody."""


class Zone(msgspec.Struct, frozen=True, tag="zone", tag_field="type"):
    """A zone 片区 of a district 区市; all its gateways' readings go to one partition."""

    zone: str
    district: str
    name_zh: str
    name_en: str
    partition: int
    lon: float | None = None
    lat: float | None = None

    @property
    def key(self) -> str:
        return f"zone/{self.zone}"


class Gateway(msgspec.Struct, frozen=True, tag="gateway", tag_field="type"):
    """A gateway 网关. `interval_s` (city time) is how often it publishes at the least; silent for
    `silent_after_s` (default: the larger of 5 intervals and 10 min), it is a blind area. `identity` is what
    it calls itself where it does not log in by its name, as in "hj212/88888880000006"; `password` is the hash
    (schemas/credential.py) of what it must then prove itself by, None where nothing is asked."""

    gateway: str
    zone: str
    interval_s: float = 60.0
    silent_after_s: float | None = None
    identity: str | None = None
    password: str | None = None

    @property
    def key(self) -> str:
        return f"gateway/{self.gateway}"

    @property
    def allowance_s(self) -> float:
        return self.silent_after_s if self.silent_after_s is not None else max(5 * self.interval_s, 600.0)


class Sensor(msgspec.Struct, frozen=True, tag="sensor", tag_field="type", gc=False):  # refers to no other
    """A registered point of a gateway. `category` is a catalogue key or None while it waits.
    `params` are the site parameters (`param.NAME` of the CSV) that threshold cells name. With a maintenance
    window (city time, microseconds) it is in maintenance from its begin up to its end, and not otherwise."""

    sensor: int
    gateway: str
    point: str
    category: str | None
    unit: str | None
    zone: str | None
    asset: str | None = None
    lon: float | None = None
    lat: float | None = None
    state: str = "in-service"  # in-service | waiting | commissioning | maintenance | retired
    params: dict[str, float] = {}
    maintenance_from: int | None = None
    maintenance_to: int | None = None
    tags: tuple[str, ...] = ()  # what rules may select by

    @property
    def key(self) -> str:
        return f"sensor/{self.gateway}/{self.point}"

    def state_at(self, city_us: int) -> str:
        """The state that a maintenance window leaves.

        >>> windowed = Sensor(1, "g", "p", None, None, None, maintenance_from=10, maintenance_to=20)
        >>> [windowed.state_at(at) for at in (9, 10, 20)]
        ['in-service', 'maintenance', 'in-service']
        """
        if self.maintenance_from is None or self.maintenance_to is None:
            return self.state
        if self.maintenance_from <= city_us < self.maintenance_to and self.state in GUARDED:
            return "maintenance"
        return "in-service" if self.state == "maintenance" else self.state


class Version(msgspec.Struct, frozen=True, tag="version", tag_field="type"):
    """The registry's entries before this one belong together as version `version`."""

    version: int
    by: str = ""

    @property
    def key(self) -> str:
        return "version"


Entry = Zone | Gateway | Sensor | Version

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    return msgspec.json.encode(entry)


def decode(data: bytes) -> Entry:
    """One entry of the `sensors` topic. Raises msgspec.DecodeError."""
    return _decoder.decode(data)


@dataclass(slots=True, repr=False)
class Registry:
    """The registry in memory; `apply` entries in the order of the topic."""

    zones: dict[str, Zone] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    sensors: dict[tuple[str, str], Sensor] = field(default_factory=dict)
    by_number: dict[int, Sensor] = field(default_factory=dict)
    version: int = 0

    def __repr__(self) -> str:
        """Short: asyncio and signal print what a task gave where nobody sees it, and a city's registry took
        seconds."""
        return f"<Registry {self.version}: {len(self.zones)} zones, {len(self.sensors)} sensors>"

    def apply(self, entry: Entry) -> None:
        match entry:
            case Sensor():  # first, as most are
                self.sensors[entry.gateway, entry.point] = entry
                self.by_number[entry.sensor] = entry
            case Zone():
                self.zones[entry.zone] = entry
            case Gateway():
                self.gateways[entry.gateway] = entry
            case Version():
                self.version = entry.version

    def partition_of(self, gateway: str) -> int:
        """The partition of a gateway's zone; an unregistered gateway goes to partition 0."""
        entry = self.gateways.get(gateway)
        zone = self.zones.get(entry.zone) if entry else None
        return zone.partition if zone else 0

    def district_of(self, zone: str | None) -> str | None:
        entry = self.zones.get(zone) if zone else None
        return entry.district if entry else None


def assigned(
    weights: dict[str, float], partitions: int, taken: dict[int, float] | None = None
) -> dict[str, int]:
    """Zone -> partition, heaviest zone first onto the lightest partition; `taken` is what they carry already.

    >>> assigned({"north": 5.0, "south": 3.0, "port": 2.0}, 2)
    {'north': 0, 'south': 1, 'port': 1}
    """
    load = [(taken or {}).get(partition, 0.0) for partition in range(partitions)]
    table: dict[str, int] = {}
    for zone, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
        lightest = min(range(partitions), key=lambda p: (load[p], p))
        table[zone] = lightest
        load[lightest] += weight
    return table


def next_number(numbers: Iterable[int]) -> int:
    """The first free sensor number for an import."""
    return max((n for n in numbers if n < WAITING_BASE), default=0) + 1
