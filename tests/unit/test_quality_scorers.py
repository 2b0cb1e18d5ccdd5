"""Scorers of labelled sets: null and perfect detectors get what their authors say, small cases by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cityvigil.cli import main
from cityvigil.quality import batadal, nab, skab
from cityvigil.quality.events import spans, tally
from cityvigil.quality.vus import vus_pr
from tests.builders import T0

MINUTE = 60_000_000


def _at(rows: int, step_us: int = MINUTE) -> np.ndarray:
    return T0 + np.arange(rows) * step_us


def test_nab_gives_null_0_and_perfect_100() -> None:
    windows = [(200, 219), (500, 549)]
    silent, count = nab.file_score(np.zeros(1000, bool), windows)
    assert (silent, count) == (-2.0, 2)
    assert nab.corpus_score(silent, count) == 0.0
    knowing, count = nab.file_score(nab.perfect(1000, windows), windows)
    assert nab.corpus_score(knowing, count) == pytest.approx(100.0)


def test_nab_counts_the_earliest_detection_of_a_window_and_every_false_one() -> None:
    flags = np.zeros(1000, bool)
    flags[[210, 215, 700]] = True
    found, count = nab.file_score(flags, [(200, 219)])
    early = (2 / (1 + math.exp(-5 * 10 / 20)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert count == 1
    assert found == pytest.approx(early - 0.11)  # 700 lies far behind: the whole price
    flags = np.zeros(1000, bool)
    flags[100] = True  # probation
    assert nab.file_score(flags, [(200, 219)])[0] == -1.0
    flags[160] = True  # before any window: the whole price
    assert nab.file_score(flags, [(200, 219)])[0] == pytest.approx(-1.11)
    assert nab.probation(100) == 15
    assert nab.probation(100_000) == 750


def test_skab_change_points_give_null_0_and_perfect_100() -> None:
    at, points = _at(300, 1_000_000), np.zeros(300, bool)
    points[[50, 200]] = True
    assert skab.changepoint_score(at, np.zeros(300, bool), points) == -2.0
    assert skab.changepoint_score(at, points, points) == pytest.approx(2.0, abs=1e-3)
    late = np.zeros(300, bool)
    late[[50 + 30, 120, 200]] = True
    # The first came at the end of its 30 s, one stands for nothing.
    assert -0.2 < skab.changepoint_score(at, late, points) - 1 < 1.0


def test_batadal_s_of_the_perfect_and_the_silent() -> None:
    attacks = [(10, 19), (50, 69)]
    truth = np.zeros(100, bool)
    truth[10:20] = truth[50:70] = True
    assert batadal.s_score(truth, attacks) == (1.0, 1.0)
    assert batadal.s_score(np.zeros(100, bool), attacks) == (0.25, 1.0)
    half = truth.copy()
    half[10:15] = False
    s, negative = batadal.s_score(half, attacks)
    assert negative == 1.0
    assert s == pytest.approx(0.5 * (1 - 0.25) + 0.25 * (25 / 30 + 1))


def _slow_vus(label: np.ndarray, score: np.ndarray, widest: int) -> float:
    """The definition, threshold by threshold."""
    rows, limits = len(label), -np.sort(-score)
    out = []
    for width in range(widest + 1):
        soft = label.astype(float)
        for first, last in spans(label):
            for row in range(rows):
                off = row - last if row > last else first - row if row < first else 0
                if 0 < off <= width // 2:
                    soft[row] += math.sqrt(1 - off / width)
        soft = np.minimum(soft, 1.0)
        regions = spans((soft > 0).astype(int))
        area, last_recall = 0.0, 0.0
        for rank in np.linspace(0, rows - 1, 250).astype(int):
            flagged = score >= limits[rank]
            weight = np.where(label > 0, 1.0, soft * flagged)
            hit = float((weight * flagged).sum())
            seen = sum(flagged[a : b + 1].any() for a, b in regions) / len(regions)
            recall = min(hit / ((label.sum() + weight.sum()) / 2), 1.0) * seen
            area += (recall - last_recall) * hit / flagged.sum()
            last_recall = recall
        out.append(area)
    return float(np.mean(out))


def test_vus_by_sums_is_vus_by_its_definition() -> None:
    rng = np.random.default_rng(4)
    label = np.zeros(400, int)
    label[50:60] = label[200:203] = label[300:340] = 1
    score = (rng.random(400) + 0.7 * label).round(2)
    assert vus_pr(label, score, 12) == pytest.approx(_slow_vus(label, score, 12), abs=1e-9)
    assert vus_pr(label, label.astype(float), 0) == pytest.approx(1.0)


def test_alerts_near_each_other_are_one_and_false_where_nothing_was() -> None:
    flags = np.zeros(3000, bool)
    flags[[100, 101, 150, 2000, 2500]] = True
    seen = tally(_at(3000), flags, [(140, 160), (1000, 1010), (2490, 2495)])
    # 100-150 is one alert that meets the first event; 2500 comes five minutes late; 2000 is about nothing.
    assert (seen.found, seen.events, seen.false) == (2, 3, 1)
    assert seen.delays_s == (600.0, 600.0)


def test_bench_quality_measures_the_sets_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "quality", "--data", str(tmp_path)]) == 2
    assert "expected a folder of recordings" in capsys.readouterr().err
    times = [f"2026-01-{1 + i // 288:02d} {i % 288 // 12:02d}:{i % 12 * 5:02d}:00" for i in range(4032)]
    values = 10 + np.random.default_rng(2).normal(0, 1, 4032).round(2)
    values[3000:3100] += 30
    (tmp_path / "nab").mkdir()
    lines = [f"{time},{value:.2f},0\n" for time, value in zip(times, values, strict=True)]
    (tmp_path / "nab" / "one.csv").write_text("timestamp,value,label\n" + "".join(lines))
    (tmp_path / "nab" / "windows.json").write_text(json.dumps({"one.csv": [[times[2990], times[3090]]]}))
    assert main(["bench", "quality", "--data", str(tmp_path), "--json", str(tmp_path / "q.json")]) == 0
    rows = {row["method"]: row for row in json.loads((tmp_path / "q.json").read_text())["rows"]}
    assert rows["perfect detector"]["nab_score"] == pytest.approx(100)
    assert rows["null detector"]["nab_score"] == 0
    assert rows["profile city"]["nab_score"] > 80
