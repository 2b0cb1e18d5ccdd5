"""What the detectors reach on the recordings stays reached; the folder is named by CITYVIGIL_DATASETS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cityvigil.quality import report

pytestmark = [pytest.mark.datasets, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], dict[str, float]]:
    found = report.measure(Path(os.environ["CITYVIGIL_DATASETS"]))
    return {(row.set, row.method): row.figures for row in found}


@pytest.mark.parametrize(
    ("name", "method", "figure", "least"),
    [
        ("nab", "profile nab", "nab_score", 65.0),
        ("skab", "profile machine", "f1", 0.82),
        ("batadal", "profile network, q 0.998 (default)", "s", 0.92),
        ("batadal", "profile network, q 0.998 (default)", "true_negative_rate", 0.95),
        ("gecco", "profile place", "vus_pr", 0.80),
        ("gecco", "profile place", "events_found", 27),
        ("heat", "profile plant", "found_6h", 0.68),
        ("heat", "profile plant", "found_12h", 0.70),
        ("river", "profile city", "events_found", 225),
    ],
)
def test_a_figure_is_reached(
    rows: dict[tuple[str, str], dict[str, float]], name: str, method: str, figure: str, least: float
) -> None:
    assert rows[name, method][figure] >= least


def test_alarms_stay_rare(rows: dict[tuple[str, str], dict[str, float]]) -> None:
    assert rows["skab", "profile machine"]["false_alarm_rate"] < 0.10
    assert rows["gecco", "profile place"]["false_per_sensor_day"] <= 0.01
    assert rows["heat", "profile plant"]["false_per_sensor_day"] < 0.005
    assert rows["river", "profile city"]["false_per_sensor_day"] <= 0.03


@pytest.mark.parametrize(
    ("name", "figure", "perfect", "null"), [("nab", "nab_score", 100, 0), ("batadal", "s", 1, 0.25)]
)
def test_scorers_give_perfect_and_null_their_due(
    rows: dict[tuple[str, str], dict[str, float]], name: str, figure: str, perfect: float, null: float
) -> None:
    assert rows[name, "perfect detector"][figure] == pytest.approx(perfect)
    assert rows[name, "null detector"][figure] == pytest.approx(null)
