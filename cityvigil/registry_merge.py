"""What an import changes in the registry: rows of zones, gateways and sensors in, entries or refusals out.

Pure. A point that is known keeps its number, a zone its partition; a new zone goes where the least is read.
An import adds and changes, it never removes: what leaves the city gets the state `retired`. If anything is
refused, nothing is entered, and everything that is wrong is said at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from schemas import credential
from schemas.catalogue import catalogue
from schemas.registry import WAITING_BASE, Entry, Gateway, Registry, Sensor, Zone, assigned, next_number

EVENT_INTERVAL_S = 3600.0  # taken for a sensor whose category reports on events only


class ZoneRow(Protocol):
    @property
    def zone(self) -> str: ...
    @property
    def district(self) -> str: ...
    @property
    def name_zh(self) -> str: ...
    @property
    def name_en(self) -> str: ...
    @property
    def lon(self) -> float | None: ...
    @property
    def lat(self) -> float | None: ...


class GatewayRow(Protocol):
    @property
    def gateway(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def interval_s(self) -> float: ...


class SensorRow(Protocol):
    """A row may also have `sensor` (its number; 0 = give it one), `state`, a maintenance window and `tags`
    (None: as they were)."""

    @property
    def gateway(self) -> str: ...
    @property
    def point(self) -> str: ...
    @property
    def category(self) -> str | None: ...
    @property
    def unit(self) -> str | None: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def asset(self) -> str | None: ...
    @property
    def lon(self) -> float | None: ...
    @property
    def lat(self) -> float | None: ...
    @property
    def params(self) -> Mapping[str, float]: ...


class Refusal(NamedTuple):
    """`row` is the index into the rows of `kind`."""

    kind: str  # zone | gateway | sensor
    row: int
    column: str
    expected: str
    got: str


class Merge(NamedTuple):
    """`entries` are what differs from the registry, without a version; empty if anything is refused."""

    entries: list[Entry]
    refusals: list[Refusal]


def merged(
    registry: Registry,
    zones: Sequence[ZoneRow],
    gateways: Sequence[GatewayRow],
    sensors: Sequence[SensorRow],
    partitions: int,
) -> Merge:
    zones_known = registry.zones.keys() | {row.zone for row in zones}
    homes = {name: entry.zone for name, entry in registry.gateways.items()}
    homes |= {row.gateway: row.zone for row in gateways}
    refusals = [
        *_refused_gateways(registry, gateways, zones_known),
        *_refused_sensors(registry, sensors, homes, zones_known),
    ]
    if refusals:
        return Merge([], refusals)
    new_gateways = [_gateway(registry, row) for row in gateways]
    new_sensors = [*_numbered(registry, sensors, homes), *_moved(registry, gateways, sensors)]
    table = _partitions(registry, zones, gateways, new_sensors, partitions)
    new_zones = [
        Zone(row.zone, row.district, row.name_zh, row.name_en, table[row.zone], row.lon, row.lat)
        for row in zones
    ]
    entries: list[Entry] = [
        *(zone for zone in new_zones if registry.zones.get(zone.zone) != zone),
        *(gateway for gateway in new_gateways if registry.gateways.get(gateway.gateway) != gateway),
        *(sensor for sensor in new_sensors if registry.sensors.get((sensor.gateway, sensor.point)) != sensor),
    ]
    return Merge(entries, [])


def _refused_gateways(
    registry: Registry, gateways: Sequence[GatewayRow], zones: Collection[str]
) -> Iterable[Refusal]:
    came: dict[str, int] = {}  # new zone -> the partition of those that moved into it first
    for at, row in enumerate(gateways):
        known = registry.gateways.get(row.gateway)
        partition = registry.partition_of(row.gateway)
        if known and row.zone in zones and row.zone not in registry.zones:
            first = came.setdefault(row.zone, partition)
            if first != partition:
                expected = "gateways of one partition to move into a new zone: make two zones of it"
                yield Refusal("gateway", at, "zone", expected, row.zone)
                continue
        if row.zone not in zones:
            yield Refusal("gateway", at, "zone", "a zone of the registry or of the zones given", row.zone)
        elif known and known.zone != row.zone and not _stays(registry, row):
            # Its readings would go on in another partition beside those still on their way in the old one.
            expected = (
                f"{known.zone}, or a zone of the same partition (a new zone comes into it): for {row.zone}"
                " give the gateway a new id, and its old points the state retired"
            )
            yield Refusal("gateway", at, "zone", expected, row.zone)


def _stays(registry: Registry, row: GatewayRow) -> bool:
    """Whether a gateway that changes its zone stays in its partition. A zone that is new comes to where the
    gateways are that move into it."""
    new = registry.zones.get(row.zone)
    return new is None or new.partition == registry.partition_of(row.gateway)


def _refused_sensors(
    registry: Registry, sensors: Sequence[SensorRow], homes: Mapping[str, str], zones: Collection[str]
) -> Iterable[Refusal]:
    points: dict[tuple[str, str], int] = {}
    numbers: dict[int, tuple[str, str]] = {}
    for at, row in enumerate(sensors):
        key = (row.gateway, row.point)
        if key in points:
            yield Refusal("sensor", at, "point", "each point of a gateway once", f"{row.point} again")
            continue
        points[key] = at
        if row.category is not None and row.category not in catalogue():
            yield Refusal("sensor", at, "category", "a key of the catalogue or nothing", row.category)
        home = homes.get(row.gateway)
        if row.zone and row.zone not in zones:
            yield Refusal("sensor", at, "zone", "a zone of the registry or of the zones given", row.zone)
        elif row.category is not None and home is None:
            yield Refusal("sensor", at, "gateway", "a gateway with a zone", row.gateway)
        elif row.zone and home and row.zone != home:
            yield Refusal("sensor", at, "zone", f"{home}, its gateway's", row.zone)
        if number := getattr(row, "sensor", 0):
            yield from _refused_number(registry, at, key, number, numbers)


def _refused_number(
    registry: Registry, at: int, key: tuple[str, str], number: int, numbers: dict[int, tuple[str, str]]
) -> Iterable[Refusal]:
    known = registry.sensors.get(key)
    owner = registry.by_number.get(number)
    if known and known.sensor != number:
        yield Refusal("sensor", at, "sensor", f"{known.sensor}, the number of this point", str(number))
    elif owner and (owner.gateway, owner.point) != key:
        yield Refusal("sensor", at, "sensor", "a free number", f"{number}, that of {owner.key}")
    elif number in numbers:
        yield Refusal("sensor", at, "sensor", "each number once", f"{number} again")
    elif not known and not 0 < number < WAITING_BASE:
        yield Refusal("sensor", at, "sensor", f"a number from 1 to {WAITING_BASE - 1}", str(number))
    numbers[number] = key


def _gateway(registry: Registry, row: GatewayRow) -> Gateway:
    known = registry.gateways.get(row.gateway)
    silent = getattr(row, "silent_after_s", None)
    if silent is None and known:
        silent = known.silent_after_s
    identity = getattr(row, "identity", None) or (known.identity if known else None)
    password = _password(getattr(row, "password", None), row.gateway, known)
    return Gateway(row.gateway, row.zone, row.interval_s, silent, identity, password)


def _password(given: str | None, gateway: str, known: Gateway | None) -> str | None:
    """The hash that the registry keeps. Its salt is the gateway's id, so that the same file changes nothing
    when it is imported again."""
    if given is None:
        return known.password if known else None
    if given == "-":
        return None
    return given if credential.is_hash(given) else credential.hashed(given, gateway.encode())


def _numbered(registry: Registry, rows: Sequence[SensorRow], homes: Mapping[str, str]) -> list[Sensor]:
    given = (int(getattr(row, "sensor", 0)) for row in rows)
    following = next_number([*registry.by_number, *given])
    sensors = []
    for row in rows:
        known = registry.sensors.get((row.gateway, row.point))
        number = known.sensor if known else int(getattr(row, "sensor", 0))
        tags = getattr(row, "tags", None)
        if not number:
            number, following = following, following + 1
        sensors.append(
            Sensor(
                sensor=number,
                gateway=row.gateway,
                point=row.point,
                category=row.category,
                unit=row.unit or (catalogue()[row.category].unit if row.category else None),
                zone=row.zone or homes.get(row.gateway),
                asset=row.asset,
                lon=row.lon,
                lat=row.lat,
                state=_state(row),
                params=dict(row.params),
                maintenance_from=getattr(row, "maintenance_from", None),
                maintenance_to=getattr(row, "maintenance_to", None),
                tags=tuple(tags) if tags is not None else known.tags if known else (),
            )
        )
    return sensors


def _moved(registry: Registry, gateways: Sequence[GatewayRow], sensors: Sequence[SensorRow]) -> list[Sensor]:
    """Points that the rows do not name go with their gateway into its new zone."""
    moves = {
        row.gateway: row.zone
        for row in gateways
        if row.gateway in registry.gateways and registry.gateways[row.gateway].zone != row.zone
    }
    named = {(row.gateway, row.point) for row in sensors}
    return [
        replace(sensor, zone=moves[sensor.gateway])
        for key, sensor in registry.sensors.items()
        if sensor.gateway in moves and key not in named
    ]


def _state(row: SensorRow) -> str:
    """Without a category a point waits; given one, it waits no more."""
    state = getattr(row, "state", None) or "in-service"
    if row.category is None:
        return state if state == "retired" else "waiting"
    return "in-service" if state == "waiting" else state


def _partitions(
    registry: Registry,
    zones: Sequence[ZoneRow],
    gateways: Sequence[GatewayRow],
    sensors: Sequence[Sensor],
    partitions: int,
) -> dict[str, int]:
    """Zone -> partition. Zones that have one keep it; a new one takes that of the gateways that move into it;
    the others are spread by expected readings a second."""
    after = {(s.gateway, s.point): s for s in registry.sensors.values()}
    after |= {(s.gateway, s.point): s for s in sensors}
    weights: dict[str, float] = defaultdict(float)
    for sensor in after.values():
        if sensor.zone:
            weights[sensor.zone] += _readings_s(sensor)
    table = {name: zone.partition for name, zone in registry.zones.items()}
    table |= {
        row.zone: registry.partition_of(row.gateway)
        for row in gateways
        if row.zone not in registry.zones and row.gateway in registry.gateways
    }
    taken: dict[int, float] = defaultdict(float)
    for name, partition in table.items():
        taken[partition] += weights[name]
    new = {row.zone: weights[row.zone] for row in zones if row.zone not in table}
    return table | assigned(new, partitions, taken)


def _readings_s(sensor: Sensor) -> float:
    if sensor.state == "retired" or not sensor.category:
        return 0.0
    return 1.0 / (catalogue()[sensor.category].interval_s or EVENT_INTERVAL_S)
