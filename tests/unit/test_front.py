"""Pressure waves of simulated bursts: heard by several loggers, and laid at the pipe where they began."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cityvigil.cli import main
from cityvigil.quality.fronts import district, laid, log_of
from detectors.fold import Partition
from detectors.program import Program, compile_program
from detectors.wavefront import Network, loaded, origin
from schemas.alert import Alert
from schemas.default_rules import default_rules
from schemas.model import ModelError, decode
from schemas.registry import Registry, Sensor
from simulators.fronts import burst, pipes
from tests.builders import a_gateway, a_registry, a_sensor

PIPES = """pipe,from,to,length_m,wave_m_s,from_lon,from_lat,to_lon,to_lat
P1,A,B,1000,1000,120.3000,36.0,120.3111,36.0
P2,B,C,1000,1000,120.3111,36.0,120.3222,36.0
P3,B,D,500,1000,120.3111,36.0,120.3111,36.0045
"""
LOGGERS = "arrival,node\na/t,A\nc/t,C\nd/t,D\n"


@pytest.fixture(scope="module")
def mains() -> tuple[Program, tuple[str, ...]]:
    return district(8)


@pytest.fixture
def tee(tmp_path: Path) -> Network:
    (tmp_path / "pipes.csv").write_text(PIPES)
    (tmp_path / "loggers.csv").write_text(LOGGERS)
    out = tmp_path / "tee.model.json"
    files = [str(tmp_path / "pipes.csv"), str(tmp_path / "loggers.csv"), str(out)]
    assert main(["rules", "front", *files]) == 0
    return loaded(decode(out.read_bytes()))


def test_bursts_are_laid_within_the_metres_that_are_said(mains: tuple[Program, tuple[str, ...]]) -> None:
    found = [laid(*mains, 0.001, seed) for seed in range(12)]
    heard = [one for one in found if one.heard >= 3]
    assert len(heard) >= 4
    assert all(one.told for one in heard)
    assert all(one.off_m <= one.within_m for one in heard)
    assert np.median([one.off_m for one in heard]) < 50
    assert not any(one.told for one in found if one.heard < 3)


def test_arrivals_on_a_tee_give_the_metre_of_the_pipe(tee: Network) -> None:
    """From a burst in P2, 300 m from B."""
    found = origin(tee, np.arange(3), np.array([1.3, 0.7, 0.8]), 0.005, 0.03)
    assert tee.pipe[found.place] == 1
    assert abs(tee.along[found.place] - 300) <= 10
    assert 5 <= found.within_m <= 60


def test_the_moment_of_the_burst_does_not_matter_nor_the_order_of_loggers(tee: Network) -> None:
    at = np.array([1.3, 0.7, 0.8])
    first = origin(tee, np.arange(3), at, 0.005, 0.03)
    assert origin(tee, np.arange(3), at + 17.5, 0.005, 0.03).place == first.place
    assert origin(tee, np.array([2, 0, 1]), at[[2, 0, 1]], 0.005, 0.03).place == first.place


def test_coarser_clocks_say_more_metres(tee: Network) -> None:
    at = np.array([1.3, 0.7, 0.8])
    within = [origin(tee, np.arange(3), at, noise_s, 0.03).within_m for noise_s in (0.002, 0.02, 0.2)]
    assert within == sorted(within)
    assert within[0] < within[2]


def test_times_that_no_place_explains_name_none(tee: Network) -> None:
    assert origin(tee, np.arange(3), np.array([0.0, 3.0, 9.0]), 0.005, 0.03).place == -1


def test_one_wrong_clock_of_eight_is_left_out_and_named(mains: tuple[Program, tuple[str, ...]]) -> None:
    program, nodes = mains
    speeds = np.array([pipe.wave_m_s for pipe in pipes()])
    lengths = np.array([pipe.length_m for pipe in pipes()])
    front = burst(int(lengths.argmax()), 0.4, 0.15, speeds, nodes)
    times = 250.0 + front.seconds
    times[3] += 0.9
    everyone = np.full(len(nodes), 0.2)
    said = alerts(program, nodes, times, everyone)
    assert [alert.change for alert in said] == ["raise"]
    assert "arrival fits nowhere, its clock may be off" in said[0].evidence.text_en
    assert "8 loggers" in said[0].evidence.text_en
    place = said[0].evidence.place
    assert place is not None
    assert f"pipe {pipes()[int(lengths.argmax())].name}, " in place.text_en


def alerts(program: Program, nodes: tuple[str, ...], times: np.ndarray, sizes: np.ndarray) -> list[Alert]:
    return list(Partition(program).fold(log_of(nodes, times, sizes, times + 2.0)))


def test_without_a_model_the_order_of_arrival_is_told() -> None:
    sensors: list[Sensor] = []
    nodes = ("n1", "n2", "n3")
    for i, node in enumerate(nodes):
        sensors.append(a_sensor(2 * i + 1, "water_main_transient", gateway=node, params={}))
        sensors.append(a_sensor(2 * i + 2, "water_front_arrival", gateway=node, params={}))
    registry: Registry = a_registry(*sensors, gateways=[a_gateway(node) for node in nodes])
    rule = next(rule for rule in default_rules(judgement_live=True) if rule.detector == "front")
    program = compile_program(registry, [rule], 0)
    said = alerts(program, nodes, np.array([250.5, 250.1, 251.25]), np.array([0.06, 0.1, 0.04]))
    assert [(alert.change, alert.level) for alert in said] == [("raise", 3)]
    assert said[0].evidence.place is None
    assert "p4 +0.000 s, p2 +0.400 s, p6 +1.150 s" in said[0].evidence.text_en


def test_a_wave_takes_its_pipe_s_length_and_is_at_most_doubled_at_a_dead_end() -> None:
    broken = next(i for i, pipe in enumerate(pipes()) if pipe.length_m > 400)
    pipe = pipes()[broken]
    speeds = np.full(len(pipes()), 1000.0)
    front = burst(broken, 0.0, 0.05, speeds, pipe.nodes)
    direct = 1000 * 1000 * 0.05 / (2 * pipe.area_m2) / 1e6
    assert front.seconds[0] == 0
    assert front.seconds[1] == pytest.approx(pipe.length_m / 1000)
    assert 0 < front.size_mpa[1] < 2 * direct


@pytest.mark.parametrize(
    ("pipes_csv", "loggers_csv", "expected"),
    [
        (
            PIPES.replace("1000,1000", "0,1000"),
            LOGGERS,
            "row 2, column length_m: expected more than 0, got '0'",
        ),
        (PIPES, LOGGERS + "e/t,E\n", "row 5, column node: 'E' is at no pipe"),
        (PIPES, "arrival,node\nat,A\n", "row 2, column arrival: expected GATEWAY/POINT"),
        (PIPES + "P9,X,Y,10,1000,1,1,1,1\n", LOGGERS, "row 5: no way leads from pipe 'P9' to every logger"),
        (PIPES.replace("wave_m_s", "speed"), LOGGERS, "row 1: expected a column wave_m_s"),
        (
            PIPES.replace("1000,1000", "1000,fast"),
            LOGGERS,
            "row 2, column wave_m_s: expected a number, got 'fast'",
        ),
    ],
)
def test_a_table_that_cannot_be_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pipes_csv: str, loggers_csv: str, expected: str
) -> None:
    (tmp_path / "pipes.csv").write_text(pipes_csv)
    (tmp_path / "loggers.csv").write_text(loggers_csv)
    files = [str(tmp_path / name) for name in ("pipes.csv", "loggers.csv", "out.model.json")]
    assert main(["rules", "front", *files]) == 2
    assert expected in capsys.readouterr().err


def test_a_model_of_something_else_is_refused(tee: Network, tmp_path: Path) -> None:
    model = decode((tmp_path / "tee.model.json").read_bytes())
    with pytest.raises(ModelError, match="expected places as pipe"):
        loaded(type(model)(**{**{f: getattr(model, f) for f in model.__struct_fields__}, "places": ("P1",)}))
