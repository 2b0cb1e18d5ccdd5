"""Readings to the registry's sensors: units, refusals, points that wait, and what is remembered."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

import pytest

from ingest import resolve as module
from ingest.decoded import Decoded
from ingest.formats import senml
from ingest.resolve import Points, Resolved, points_of, resolve
from schemas.reading import Quality, Reason
from schemas.registry import WAITING_BASE, Gateway, Registry, Sensor, Zone

NOW_US = 1_790_000_000_000_000


class Desk:
    """A registry with one gateway, and its table of points."""

    def __init__(self) -> None:
        self.registry = Registry()
        for entry in (
            Zone("z", "d", "", "", partition=1),
            Gateway("gw", "z"),
            Sensor(1, "gw", "p", "water_main_pressure", "MPa", "z"),
            Sensor(2, "gw", "t", "heat_primary_supply_temp", "Cel", "z"),
        ):
            self.registry.apply(entry)
        self.numbers = itertools.count(WAITING_BASE)
        self.points: Points = points_of(self.registry, "gw", 0)

    def take(self, records: Sequence[Mapping[str, object]], backfill: bool = False) -> Resolved:
        decoded = senml.decode(json.dumps(records).encode(), NOW_US)
        assert isinstance(decoded, Decoded)
        return resolve(decoded, self.points, self.registry, lambda: next(self.numbers), backfill)


def test_names_become_numbers_and_values_stand_in_registered_units() -> None:
    found = Desk().take(
        [{"n": "p", "u": "kPa", "v": 350}, {"n": "t", "u": "K", "v": 300}, {"n": "p", "v": 0.4}]
    )
    assert found.records["sensor"].tolist() == [1, 2, 1]
    assert found.records["value"].tolist() == pytest.approx([0.35, 26.85, 0.4], rel=1e-12)
    assert found.refused == []
    assert found.entered == []


def test_a_unit_that_does_not_convert_refuses_that_record_alone_every_time() -> None:
    desk = Desk()
    for _ in range(2):
        found = desk.take(
            [{"n": "p", "u": "kPa", "v": 1}, {"n": "t", "u": "kPa", "v": 1}, {"n": "p", "v": 1}]
        )
        assert found.records["sensor"].tolist() == [1, 1]
        assert [(one.index, one.reason, one.point) for one in found.refused] == [(1, Reason.unit, "t")]
        assert "Cel" in found.refused[0].detail
        assert "kPa" in found.refused[0].detail


def test_states_and_texts_are_not_converted() -> None:
    found = Desk().take([{"n": "p", "u": "kPa", "vb": True}, {"n": "t", "u": "kPa", "vs": "off"}])
    assert found.records["value"].tolist() == [1.0, 0.0]
    assert found.texts == ["off"]


def test_an_unknown_point_is_entered_once_in_the_unit_it_came_with() -> None:
    desk = Desk()
    first = desk.take([{"n": "x", "u": "%RH", "v": 1}, {"n": "x", "u": "%RH", "v": 2}])
    assert [(s.sensor, s.point, s.unit, s.state, s.zone) for s in first.entered] == [
        (WAITING_BASE, "x", "%{RH}", "waiting", "z")
    ]
    assert first.records["sensor"].tolist() == [WAITING_BASE] * 2
    second = desk.take([{"n": "x", "u": "kg", "v": 3}, {"n": "x", "u": "/", "v": 0.5}])
    assert second.entered == []
    assert second.refused == []
    assert second.records["value"].tolist() == [3.0, 50.0]
    assert second.records["quality"].tolist() == [Quality.suspect, Quality.good]


def test_made_up_points_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_PER_GATEWAY", 3)
    found = Desk().take([{"n": f"x{i}", "v": i} for i in range(5)] + [{"n": "p", "v": 1}])
    assert len(found.entered) == 3
    assert [one.reason for one in found.refused] == [Reason.unsupported] * 2
    assert found.records["sensor"].tolist()[-1] == 1


def test_frames_alike_go_the_same_way_as_the_first_of_them() -> None:
    desk = Desk()
    frames: list[list[dict[str, object]]] = [
        [{"n": "p", "u": "kPa", "v": value}, {"n": "t", "u": "K", "v": 300}, {"n": "x", "u": "m", "v": 1}]
        for value in (350, 250, 1.7e308, 150)
    ]
    found = [desk.take(frame) for frame in frames]
    assert desk.points.tables, "the way is kept"
    assert [one.records["sensor"].tolist() for one in found] == [[1, 2, WAITING_BASE]] * 4
    assert [one.records["value"][0] for one in found] == pytest.approx([0.35, 0.25, 1.7e305, 0.15])
    assert desk.take(frames[0], backfill=True).records["quality"].tolist() == [Quality.historical] * 3


def test_backfill_is_historical() -> None:
    found = Desk().take([{"n": "p", "t": 1.6e9, "v": 1}], backfill=True)
    assert found.records["quality"].tolist() == [Quality.historical]


def test_a_value_beyond_float64_in_its_registered_unit_is_refused() -> None:
    found = Desk().take([{"n": "p", "u": "TPa", "v": 1.7e308}, {"n": "p", "v": 1}])
    assert [(one.index, one.reason) for one in found.refused] == [(0, Reason.range)]
    assert found.records["value"].tolist() == [1.0]
