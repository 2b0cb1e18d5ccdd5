"""An import keeps numbers and partitions, balances new zones, and refuses whole or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from cityvigil.registry_merge import merged
from cityvigil.sensor_files import GatewayRow, SensorRow, ZoneRow
from schemas import credential
from schemas.registry import WAITING_BASE, Registry, Sensor, Zone

METHANE = "gas_manhole_methane"


def a_zone(name: str) -> ZoneRow:
    return ZoneRow(0, name, "shinan", "片区", "zone", None, None)


def a_city(zones: int, points: int) -> tuple[list[ZoneRow], list[GatewayRow], list[SensorRow]]:
    names = [f"zone-{n}" for n in range(zones)]
    return (
        [a_zone(name) for name in names],
        [GatewayRow(0, f"gw-{name}", name, 60.0) for name in names],
        [SensorRow(0, f"gw-{name}", f"p{n}", category=METHANE) for name in names for n in range(points)],
    )


def entered(
    registry: Registry, zones: list[ZoneRow], gateways: list[GatewayRow], sensors: list[SensorRow]
) -> Registry:
    entries, refusals = merged(registry, zones, gateways, sensors, partitions=4)
    assert refusals == []
    for entry in entries:
        registry.apply(entry)
    return registry


def refused(
    registry: Registry, gateways: list[GatewayRow], sensors: list[SensorRow]
) -> list[tuple[int, str]]:
    entries, refusals = merged(registry, [], gateways, sensors, partitions=4)
    assert entries == []
    return [(one.row, one.column) for one in refusals]


def test_new_points_get_numbers_one_after_the_other_and_their_category_unit() -> None:
    registry = entered(Registry(), *a_city(2, 3))
    assert sorted(registry.by_number) == [1, 2, 3, 4, 5, 6]
    assert {sensor.unit for sensor in registry.by_number.values()} == {"%{vol}"}
    assert {sensor.zone for sensor in registry.by_number.values()} == {"zone-0", "zone-1"}


def test_zones_are_spread_over_partitions_by_what_they_report() -> None:
    registry = entered(Registry(), *a_city(8, 3))
    assert Counter(zone.partition for zone in registry.zones.values()) == {0: 2, 1: 2, 2: 2, 3: 2}


def test_the_same_import_again_changes_nothing() -> None:
    city = a_city(3, 2)
    assert merged(entered(Registry(), *city), *city, partitions=4).entries == []


def test_a_gateways_password_is_kept_as_a_hash_that_files_leave_alone_until_they_take_it_away() -> None:
    zones, (gateway, *_), _ = a_city(1, 0)
    registry = entered(Registry(), zones, [replace(gateway, password="123456")], [])
    known = registry.gateways["gw-zone-0"].password
    assert known is not None
    assert credential.matches(known, "123456")
    for same in (None, "123456", known):
        assert merged(registry, [], [replace(gateway, password=same)], [], 4).entries == []
    entered(registry, [], [replace(gateway, password="-")], [])
    assert registry.gateways["gw-zone-0"].password is None


def test_known_zones_keep_their_partition_and_new_ones_go_where_least_is_read() -> None:
    registry = entered(Registry(), *a_city(1, 500))
    (heavy,) = registry.zones.values()
    zones, gateways, sensors = a_city(4, 5)
    entered(registry, zones, gateways, sensors)
    assert registry.zones["zone-0"] == heavy
    assert heavy.partition not in {registry.zones[f"zone-{n}"].partition for n in (1, 2, 3)}


def test_a_waiting_point_that_is_classified_keeps_its_number_and_waits_no_more() -> None:
    registry = Registry()
    registry.apply(Sensor(WAITING_BASE + 5, "gw-zone-0", "p0", None, None, None, state="waiting"))
    zones, gateways, _ = a_city(1, 0)
    row = SensorRow(2, "gw-zone-0", "p0", WAITING_BASE + 5, METHANE, state="waiting")
    sensor = entered(registry, zones, gateways, [row]).sensors["gw-zone-0", "p0"]
    assert (sensor.sensor, sensor.state, sensor.zone) == (WAITING_BASE + 5, "in-service", "zone-0")


def test_a_point_without_category_waits_even_of_an_unknown_gateway() -> None:
    registry = entered(Registry(), [], [], [SensorRow(2, "gw-x", "p")])
    assert registry.sensors["gw-x", "p"].state == "waiting"


def test_numbers_that_are_another_points_are_refused() -> None:
    registry = entered(Registry(), *a_city(1, 2))
    rows = [
        SensorRow(2, "gw-zone-0", "p0", 2, METHANE),  # has number 1
        SensorRow(3, "gw-zone-0", "new", 2, METHANE),  # p1's
        SensorRow(4, "gw-zone-0", "new2", 9, METHANE),
        SensorRow(5, "gw-zone-0", "new3", 9, METHANE),
        SensorRow(6, "gw-zone-0", "new4", WAITING_BASE, METHANE),
    ]
    assert refused(registry, [], rows) == [(0, "sensor"), (1, "sensor"), (3, "sensor"), (4, "sensor")]


def test_rows_that_contradict_each_other_or_the_registry_are_refused_together() -> None:
    registry = entered(Registry(), *a_city(2, 1))
    gateways = [GatewayRow(0, "gw-new", "nowhere", 60.0), GatewayRow(0, "gw-zone-0", "zone-1", 60.0)]
    sensors = [
        SensorRow(2, "gw-zone-1", "a", category=METHANE),
        SensorRow(3, "gw-zone-1", "a", category=METHANE),
        SensorRow(4, "gw-zone-1", "b", category=METHANE, zone="zone-0"),
        SensorRow(5, "gw-zone-1", "c", category=METHANE, zone="nowhere"),
        SensorRow(6, "gw-unknown", "d", category=METHANE),
        SensorRow(7, "gw-zone-1", "e", category="methane"),
    ]
    assert refused(registry, gateways, sensors) == [
        (0, "zone"), (1, "zone"), (1, "point"), (2, "zone"), (3, "zone"), (4, "gateway"), (5, "category"),
    ]  # fmt: skip


def test_a_gateway_moves_with_its_points_into_a_zone_of_its_partition_and_into_no_other() -> None:
    registry = entered(Registry(), *a_city(5, 2))
    by_partition = {zone.partition: name for name, zone in registry.zones.items() if name != "zone-0"}
    same, other = by_partition[registry.zones["zone-0"].partition], by_partition[1]
    moving = GatewayRow(0, "gw-zone-0", same, 60.0)
    assert refused(registry, [replace(moving, zone=other)], []) == [(0, "zone")]
    entered(registry, [], [moving], [])
    moved = {sensor.zone for sensor in registry.sensors.values() if sensor.gateway == "gw-zone-0"}
    assert (registry.gateways["gw-zone-0"].zone, moved) == (same, {same})


def test_a_new_zone_comes_to_where_the_gateways_are_that_move_into_it() -> None:
    registry = entered(Registry(), *a_city(4, 2))
    moving = [GatewayRow(0, "gw-zone-2", "zone-new", 60.0)]
    entered(registry, [a_zone("zone-new")], moving, [])
    assert registry.zones["zone-new"].partition == registry.zones["zone-2"].partition
    registry = entered(Registry(), *a_city(4, 2))
    both = [*moving, GatewayRow(0, "gw-zone-1", "zone-new", 60.0)]
    _, refusals = merged(registry, [a_zone("zone-new")], both, [], partitions=4)
    assert [(one.kind, one.row, one.column) for one in refusals] == [("gateway", 1, "zone")]


def test_a_zone_of_a_partition_that_is_no_more_counted_on_keeps_it() -> None:
    registry = Registry()
    registry.apply(Zone("zone-0", "shinan", "片区", "zone", 7))
    entered(registry, *a_city(2, 1))
    assert registry.zones["zone-0"].partition == 7
    assert registry.zones["zone-1"].partition == 0


def test_tags_stay_until_a_row_says_otherwise() -> None:
    def named(tags: tuple[str, ...] | None) -> list[SensorRow]:
        return [SensorRow(0, "gw-zone-0", "p0", category=METHANE, tags=tags)]

    zones, gateways, _ = a_city(1, 0)
    registry = entered(Registry(), zones, gateways, named(("dma:7",)))
    assert entered(registry, [], [], named(None)).by_number[1].tags == ("dma:7",)
    assert entered(registry, [], [], named(())).by_number[1].tags == ()
