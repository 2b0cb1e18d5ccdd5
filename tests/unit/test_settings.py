"""Settings, clock, zones' partitions: what a service is told before it starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import CityClock, to_datetime, to_us
from schemas.registry import Gateway, Registry, Sensor, Zone, assigned, decode, encode, next_number
from schemas.settings import Settings, SettingsError

GOOD = {
    "CITYVIGIL_MQTT": "127.0.0.1:1883",
    "CITYVIGIL_KAFKA": "127.0.0.1:9092",
    "CITYVIGIL_POSTGRES": "postgresql://cityvigil@127.0.0.1/cityvigil",
}


def test_settings_have_defaults_for_all_but_the_three_addresses() -> None:
    settings = Settings.from_environ(GOOD)
    assert (settings.kafka, settings.partitions, settings.clock) == (
        "127.0.0.1:9092",
        4,
        CityClock(0, 0, 1.0),
    )


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("CITYVIGIL_KAFKA", None, "CITYVIGIL_KAFKA is not set: bootstrap server, HOST:PORT"),
        ("CITYVIGIL_MQTT", "broker", "CITYVIGIL_MQTT='broker': expected HOST:PORT"),
        ("CITYVIGIL_POSTGRES", "mysql://x", "CITYVIGIL_POSTGRES='mysql://x': expected postgresql://"),
        ("CITYVIGIL_PARTITIONS", "0", "CITYVIGIL_PARTITIONS='0': expected a whole number from 1 up"),
        (
            "CITYVIGIL_SPARKPLUG_REORDER_S",
            "60",
            "CITYVIGIL_SPARKPLUG_REORDER_S='60': expected seconds, 0 to 30",
        ),
        ("CITYVIGIL_SPARKPLUG_REORDER_S", "nan", "CITYVIGIL_SPARKPLUG_REORDER_S='nan': expected seconds, 0"),
        ("CITYVIGIL_CLOCK", "now", "CITYVIGIL_CLOCK='now': expected BASE_US,WALL0_US,SCALE"),
    ],
)
def test_a_missing_or_malformed_setting_is_named(name: str, text: str | None, complaint: str) -> None:
    environ = {key: value for key, value in GOOD.items() if key != name}
    if text is not None:
        environ[name] = text
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    assert str(caught.value).startswith(complaint)


def test_every_setting_is_described() -> None:
    assert Settings.describe().count("CITYVIGIL_") == len(Settings.__dataclass_fields__)


@given(st.integers(10**15, 2 * 10**15), st.integers(10**15, 2 * 10**15), st.sampled_from([1.0, 60.0, 1000.0]))
def test_city_time_runs_at_its_scale_and_comes_back(base: int, wall: int, scale: float) -> None:
    clock = CityClock.parse(str(CityClock(base, wall, scale)))
    assert clock.city_us(wall) == base
    assert clock.city_us(wall + 1_000_000) - base == scale * 1_000_000
    assert abs(clock.wall_us(clock.city_us(wall + 12_345_678)) - (wall + 12_345_678)) <= 1


def test_microseconds_and_datetimes_convert_exactly() -> None:
    assert to_us(to_datetime(1_700_000_000_123_457)) == 1_700_000_000_123_457


def test_zones_are_spread_over_partitions_by_weight() -> None:
    table = assigned({"a": 5, "b": 4, "c": 3, "d": 2}, 2)
    assert {table["a"], table["b"]} == {0, 1}
    assert table["a"] == table["d"]


def test_a_registry_entry_survives_the_topic_and_is_found_by_its_gateway_and_point() -> None:
    registry = Registry()
    zone = Zone("shinan-01", "shinan", "市南01", "Shinan 01", partition=3)
    sensor = Sensor(7, "gw-1", "ch4", "gas_manhole_methane", "%{vol}", "shinan-01", params={"op": 0.3})
    for entry in (zone, Gateway("gw-1", "shinan-01"), sensor):
        registry.apply(decode(encode(entry)))
    assert registry.sensors["gw-1", "ch4"] == sensor
    assert registry.partition_of("gw-1") == 3
    assert registry.partition_of("stranger") == 0
    assert registry.district_of("shinan-01") == "shinan"


def test_a_gateway_is_silent_after_five_intervals_but_never_before_ten_minutes() -> None:
    assert Gateway("gw", "z", interval_s=60).allowance_s == 600
    assert Gateway("gw", "z", interval_s=600).allowance_s == 3000
    assert Gateway("gw", "z", silent_after_s=5).allowance_s == 5


def test_an_import_numbers_its_sensors_apart_from_those_that_wait() -> None:
    assert next_number([1, 2, 9, (1 << 30) + 5]) == 10
