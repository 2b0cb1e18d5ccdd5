"""Who a sender is, what its words mean, what came before, and how fast it may go."""

from __future__ import annotations

import asyncio

import numpy as np

from ingest.connections.pace import Pace
from ingest.formats.meanings import meant
from ingest.formats.result import Reading
from ingest.identities import Identities
from ingest.repeats import KEPT_US, Repeats, content
from schemas.reading import RECORD, Flag, Quality
from schemas.registry import Gateway, Registry, Sensor, Version


def a_registry(*entries: Gateway | Sensor) -> Registry:
    registry = Registry()
    for entry in entries:
        registry.apply(entry)
    return registry


def test_a_gateway_is_known_by_what_it_calls_itself_or_by_its_name() -> None:
    registry = a_registry(
        Gateway("gw-1", "z", identity="hj212/0873HHMZWSLH02"), Gateway("sl651-0012345678", "z")
    )
    identities = Identities(registry)
    assert identities.gateway_of("hj212", "0873hhmzwslh02") == "gw-1"
    assert identities.gateway_of("sl651", "0012345678") == "sl651-0012345678"
    assert identities.gateway_of("sl651", "0873HHMZWSLH02") is None
    assert identities.gateway_of("hj212", "gw-1") is None
    assert identities.gateway_of("hj212", None) is None


def test_a_gateway_that_is_registered_later_is_known_then() -> None:
    registry = a_registry(Gateway("gw-1", "z"))
    identities = Identities(registry)
    assert identities.gateway_of("hj212", "A1") is None
    registry.apply(Gateway("gw-1", "z", identity="hj212/A1"))
    registry.apply(Version(2))
    assert identities.gateway_of("hj212", "A1") == "gw-1"


def test_words_of_a_panel_are_a_state_where_the_category_is_one() -> None:
    smoke = Sensor(1, "gw", "smoke", "fire_smoke_detector_state", "1", "z")
    registry = a_registry(smoke, Sensor(2, "gw", "other", None, None, "z", state="waiting"))

    def said(words: str, point: str = "smoke") -> tuple[object, Quality]:
        found = meant(Reading("x", point, None, words), "gw", registry)
        return found.value, found.quality

    assert said("normal") == (False, Quality.good)
    assert said("test,fire") == (True, Quality.good)
    assert said("normal,fault") == (False, Quality.fault)
    assert said("fire,fault") == (True, Quality.good)
    assert said("normal,fire", "other") == ("normal,fire", Quality.good)


def some_records(value: float, flag: Flag = Flag.number) -> np.ndarray:
    return np.array([(1_000, value, 7, 0, int(flag), 0)], RECORD)


def test_a_frame_says_the_same_however_its_texts_are_numbered() -> None:
    assert content("gw", some_records(1.0), ()) == content("gw", some_records(1.0), ("x",))
    assert content("gw", some_records(1.0), ()) != content("gw", some_records(2.0), ())
    assert content("gw", some_records(1.0), ()) != content("other", some_records(1.0), ())
    first = content("gw", some_records(0.0, Flag.text), ("run", "stop"))
    assert first == content("gw", some_records(1.0, Flag.text), ("stop", "run"))
    assert first != content("gw", some_records(1.0, Flag.text), ("run", "stop"))


async def test_what_came_before_is_forgotten_after_ten_minutes() -> None:
    repeats = Repeats()
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    repeats.remember(b"a", 0, stored)
    found = repeats.find(b"a", KEPT_US)
    assert found is not None
    assert found.stored is stored
    assert repeats.find(b"a", KEPT_US + 1) is None
    repeats.remember(b"b", KEPT_US + 1)
    assert len(repeats) == 1


def test_a_sender_is_slowed_to_its_pace_and_may_hurry_after_a_rest() -> None:
    pace = Pace(a_second=10, burst=20)
    assert pace.wait_s(20, 0) == 0
    assert pace.wait_s(5, 0) == 0.5
    assert pace.wait_s(5, 1_000_000) == 0
    assert pace.wait_s(20, 60_000_000) == 0
