"""Silent gateways: in city time, of which only what we could hear counts."""

from __future__ import annotations

from ingest.silence import LEAST_WALL_US, LONGEST_STEP_US, Hearing
from schemas.registry import Gateway, Registry, Zone

SECOND = 1_000_000


def a_registry(**silent_after_s: float) -> Registry:
    registry = Registry()
    registry.apply(Zone("z0", "d", "", "", partition=0))
    registry.apply(Zone("z1", "d", "", "", partition=1))
    for number, (name, seconds) in enumerate(sorted(silent_after_s.items())):
        registry.apply(Gateway(name, f"z{number % 2}", silent_after_s=seconds))
    return registry


def passing(hearing: Hearing, from_s: float, to_s: float, *, able: bool = True) -> None:
    """Steps of a second, as ticks make them."""
    for second in range(int(from_s), int(to_s) + 1):
        hearing.pass_time(second * SECOND, hearing=able)


def test_a_gateway_is_silent_after_its_allowance_and_until_it_is_heard() -> None:
    registry = a_registry(a=30, b=1_000)
    hearing = Hearing(1.0)
    assert hearing.silent(registry, 2) == [(), ()]
    passing(hearing, 0, 30)
    assert hearing.silent(registry, 2) == [(), ()]
    passing(hearing, 31, 31)
    assert hearing.silent(registry, 2) == [("a",), ()]
    hearing.heard("a")
    assert hearing.silent(registry, 2) == [(), ()]


def test_time_in_which_we_could_not_hear_makes_nobody_silent() -> None:
    registry = a_registry(a=30)
    hearing = Hearing(1.0)
    hearing.silent(registry, 1)
    passing(hearing, 0, 20)
    passing(hearing, 21, 500, able=False)
    passing(hearing, 501, 510)
    assert hearing.silent(registry, 1) == [()]
    passing(hearing, 511, 511)
    assert hearing.silent(registry, 1) == [("a",)]


def test_a_suspended_process_does_not_find_the_city_silent() -> None:
    registry = a_registry(a=30)
    hearing = Hearing(1.0)
    hearing.silent(registry, 1)
    hearing.pass_time(0, hearing=True)
    hearing.pass_time(3_600 * SECOND, hearing=True)
    assert LONGEST_STEP_US < 30 * SECOND
    assert hearing.silent(registry, 1) == [()]


def test_in_a_fast_city_everybody_has_ten_seconds_of_wall_time_to_connect_and_to_speak_again() -> None:
    registry = a_registry(a=60)
    hearing = Hearing(60.0)
    hearing.silent(registry, 1)
    least_s = LEAST_WALL_US // SECOND
    for begun_s in (0, least_s + 1):
        passing(hearing, begun_s, begun_s + least_s)
        assert hearing.silent(registry, 1) == [()]
        passing(hearing, begun_s + least_s + 1, begun_s + least_s + 1)
        assert hearing.silent(registry, 1) == [("a",)]
        hearing.heard("a")


def test_who_was_silent_before_a_restart_stays_so_until_heard() -> None:
    registry = a_registry(a=30, b=30)
    hearing = Hearing(1.0, silent=["a"])
    assert hearing.silent(registry, 1) == [("a",)]
    hearing.heard("a")
    assert hearing.silent(registry, 1) == [()]


def test_a_gateway_that_is_registered_later_has_its_allowance_from_then() -> None:
    registry = a_registry(a=30)
    hearing = Hearing(1.0)
    passing(hearing, 0, 100)
    assert hearing.silent(registry, 1) == [()]
    passing(hearing, 101, 131)
    assert hearing.silent(registry, 1) == [("a",)]
