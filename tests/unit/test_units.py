"""Units: what converts, what does not, and that a thousandth is exact."""

from __future__ import annotations

import pytest

from ingest.units import SAME, conversion
from schemas.catalogue import catalogue


@pytest.mark.parametrize(
    ("given", "registered", "value", "expected"),
    [
        ("kPa", "MPa", 350.0, 0.35),
        ("mbar", "kPa", 25.0, 2.5),
        ("l/s", "m3/h", 10.0, 36.0),
        ("Cel", "K", 21.5, 294.65),
        ("K", "Cel", 300.0, 26.85),
        ("[degF]", "Cel", 212.0, 100.0),
        ("%RH", "%{RH}", 55.0, 55.0),
        ("/", "%", 0.25, 25.0),
        ("kWh", "kW.h", 7.0, 7.0),
        ("ppm", "%{vol}", 500.0, 0.05),
        ("1/min", "/min", 3.0, 3.0),
        ("mg/L", "ug/m3", 0.5, 500_000.0),
        ("°C", "Cel", 5.0, 5.0),
    ],
)
def test_a_unit_converts(given: str, registered: str, value: float, expected: float) -> None:
    found = conversion(given, registered)
    assert found is not None
    assert value * found.factor / found.divisor + found.offset == pytest.approx(expected, rel=1e-12)


def test_350_kpa_are_0_35_mpa_to_the_last_bit() -> None:
    found = conversion("kPa", "MPa")
    assert found is not None
    assert 350.0 * found.factor / found.divisor + found.offset == 0.35


@pytest.mark.parametrize(
    ("given", "registered"),
    [
        ("kg", "m"),
        ("Cel", "MPa"),
        ("m3/h", "m3"),
        ("dB", "1"),
        ("1", "[pH]"),
        ("dBm", "dB"),
        ("furlongs per fortnight", "m/s"),
        ("(((", "m"),
        ("m/", "s"),
        ("m" * 1_000, "m"),
        ("\0", "m"),
        ("\ud800", "m"),
    ],
)
def test_a_unit_that_measures_something_else_or_nothing_does_not_convert(given: str, registered: str) -> None:
    assert conversion(given, registered) is None


def test_an_absent_unit_is_the_registered_one() -> None:
    assert conversion(None, "MPa") == conversion("", "MPa") == conversion("kPa", None) == SAME


def test_every_unit_of_the_catalogue_is_itself() -> None:
    assert {row.unit for row in catalogue().values() if conversion(row.unit, row.unit) != SAME} == set()
