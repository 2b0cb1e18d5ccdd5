"""Which alerts are of one cause, and which of them it is."""

from __future__ import annotations

import datetime as dt
from itertools import permutations
from typing import Any

from detectors.correlation import caused, linked, probable_cause
from detectors.links import LINKS
from schemas.alert import Alert
from schemas.catalogue import catalogue
from tests.case_builders import NOON, an_alert

MINUTE = dt.timedelta(minutes=1)


def of(category: str, minutes: float = 0, **changes: Any) -> Alert:
    network = catalogue()[category].domain
    values = {
        "rule": category.replace("_", "-"),
        "category": category,
        "network": network,
        "subject": f"sensor/gw-1/{category}",
        "since": NOON + minutes * MINUTE,
    }
    return an_alert(**{**values, **changes})


def test_every_link_names_categories_of_the_catalogue_and_leads_from_one_to_another() -> None:
    known = set(catalogue())
    for link in LINKS:
        assert link.cause | link.effect <= known, link.name
        assert not link.cause & link.effect, link.name
        assert link.lag_s[0] < link.lag_s[1]
        assert link.text_zh
        assert link.text_en
    assert len({link.name for link in LINKS}) == len(LINKS)


def test_an_effect_follows_its_cause_and_not_the_other_way_round() -> None:
    burst, settling = of("water_main_pressure"), of("road_settlement", 120)
    assert caused(burst, settling) is not None
    assert caused(settling, burst) is None
    assert linked(settling, burst) == linked(burst, settling)
    assert linked(burst, of("road_settlement", -60)) is None, "the road settled long before"


def test_methane_in_the_sewer_beside_a_leak_is_the_leak() -> None:
    leak = of("gas_manhole_methane")
    link = linked(leak, of("drain_sewer_methane", 30))
    assert link is not None
    assert link.name == "gas-leak-sewer"
    assert linked(leak, of("drain_sewer_methane", 30.1)) is None
    assert linked(leak, of("gas_station_leak")) is None, "its own network needs no link"
    assert linked(leak, of("water_main_pressure")) is None


def test_another_zone_is_another_matter() -> None:
    assert linked(of("water_main_pressure"), of("road_settlement", zone="shinan-02")) is None
    assert linked(of("water_main_pressure", zone=None), of("road_settlement", zone=None)) is None


def test_of_a_cascade_the_first_alert_is_the_probable_cause_whatever_the_order() -> None:
    burst, settling, leak, sewer = (
        of("water_main_pressure"),
        of("road_settlement", 60),
        of("gas_manhole_methane", 90),
        of("drain_sewer_methane", 95),
    )
    for order in permutations((burst, settling, leak, sewer)):
        cause = probable_cause(order)
        assert cause is not None
        assert cause.alert == burst
        assert [effect.category for effect, _ in cause.effects] == [
            "road_settlement",
            "gas_manhole_methane",
            "drain_sewer_methane",
        ]
        assert cause.effects[2][1].name == "gas-leak-sewer", "each by its own link"


def test_alerts_that_nothing_links_have_no_probable_cause() -> None:
    assert probable_cause([of("gas_manhole_methane"), of("gas_manhole_methane", 5)]) is None
    assert probable_cause([of("water_ph"), of("bridge_strain")]) is None
    assert probable_cause([]) is None
