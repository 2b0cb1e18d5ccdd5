"""Recorded data sets through the real path; the folder that holds them is named by CITYVIGIL_DATASETS."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cityvigil.replay_csv import read
from tests.running_city import RunningCity, a_running_city

pytestmark = [pytest.mark.datasets, pytest.mark.timeout(600)]

BATADAL = "batadal/train_attacks_dataset04.csv"
SKAB = "skab/valve1/13.csv"


@pytest.fixture(scope="module")
def city() -> Iterator[RunningCity]:
    with a_running_city() as made:
        yield made


def _dataset(name: str) -> Path:
    return Path(os.environ["CITYVIGIL_DATASETS"]) / name


@pytest.mark.parametrize(
    ("name", "gateway", "mapped", "readings"),
    [
        (BATADAL, "batadal-04", ("P_J280=water_conductivity", "L_T1=water_ph"), 4_177 * 44),
        (SKAB, "skab-valve1-13", ("Temperature=gas_temperature",), 1_140 * 10),
    ],
)
def test_every_reading_of_a_recorded_file_is_answered_stored_and_passed_by_detect(
    city: RunningCity, name: str, gateway: str, mapped: tuple[str, ...], readings: int
) -> None:
    file = _dataset(name)
    table = read(file)
    assert table.readings == readings
    maps = [word for one in mapped for word in ("--map", one)]
    done = city.cityvigil("replay", str(file), "--gateway", gateway, *maps, "--json", "-")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["sent"], result["acked"], result["rejected"]) == (readings, readings, 0)
    ((count, distinct, first, last),) = city.rows(
        "select count(*), count(distinct (time, sensor)), extract(epoch from min(time)),"
        " extract(epoch from max(time)) from readings join sensors using (sensor) where gateway = %s",
        gateway,
    )
    assert (count, distinct) == (readings, readings)
    times = table.times_us.tolist()
    assert (int(first * 1_000_000), int(last * 1_000_000)) == (min(times), max(times))
