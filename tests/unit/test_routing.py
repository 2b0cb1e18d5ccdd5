"""Every category of the catalogue has somebody, and the reviewed mapping says what the catalogue says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dispatch.routing import NETWORK_DEFAULT, Route, route
from schemas.catalogue import catalogue
from schemas.unit import DUTY_DESK, handlers, units


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_category_routes_to_the_first_party_of_its_handler(key: str) -> None:
    row = catalogue()[key]
    way = route(key, row.domain, "shinan-01")
    handler = handlers()[row.handler]
    assert way == Route(handler.lead, handler.co_units)
    assert way.lead != DUTY_DESK


def test_every_handler_of_the_catalogue_is_mapped_and_no_other() -> None:
    assert {row.handler for row in catalogue().values()} == set(handlers())


def test_a_single_party_leads_alone_and_several_co_handle() -> None:
    for handler in handlers().values():
        parties = handler.handler.replace("消防控制室/微型消防站", "消防控制室")
        separators = sum(parties.count(mark) for mark in "+/→")
        assert (len(handler.co_units) > 0) == (separators > 0), handler.handler
        assert handler.lead not in handler.co_units


@pytest.mark.parametrize(
    ("category", "network", "unit"),
    [
        ("gas_manhole_methane", "gas", "gas-company"),
        ("water_main_pressure", "water", "water-group"),
        ("drain_sewer_methane", "drainage", "drainage-group"),
        ("heat_primary_return_pressure", "heat", "heat-company"),
        ("bridge_strain", "bridge", "bridge-maintenance"),
        ("fire_smoke_detector_state", "fire", "fire-control-room"),
        ("weather_rain", "weather", "weather-bureau"),
        ("device_silence", "device", "device-maintenance"),
        ("bridge_strain", "device", "device-maintenance"),
        ("not_in_the_catalogue", "heat", "heat-company"),
        ("not_in_the_catalogue", "other", DUTY_DESK),
        (None, "nowhere", DUTY_DESK),
    ],
)
def test_the_tree_goes_from_device_to_category_to_network_to_the_duty_desk(
    category: str | None, network: str, unit: str
) -> None:
    assert route(category, network, "shinan-01").lead == unit


def test_a_unit_that_does_not_serve_the_zone_hands_down() -> None:
    north = replace(units()["gas-company"], zones=("shinan-01",))
    table = {**units(), "gas-company": north}
    assert route("gas_manhole_methane", "gas", "shinan-01", table).lead == "gas-company"
    assert route("gas_manhole_methane", "gas", "laoshan-01", table).lead == DUTY_DESK


def test_the_units_others_rely_on_are_there() -> None:
    fixed = "gas-company water-group drainage-group heat-company bridge-maintenance fire-control-room"
    assert {*fixed.split(), "device-maintenance", "weather-bureau", *NETWORK_DEFAULT.values()} <= set(units())
    assert all(unit.name_zh and unit.name_en for unit in units().values())
    assert {unit.unit for unit in units().values() if unit.outside} == {
        "fire-rescue", "medical-rescue", "police", "traffic-police", "elevator-rescue"
    }  # fmt: skip
