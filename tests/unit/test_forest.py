"""An isolation forest that scikit-learn grew and we walk: its scores, its limits, the column it names."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from cityvigil.cli import main
from detectors import forest
from detectors.fitted import fit, loaded
from detectors.group import TooLittle
from schemas.model import LARGEST, encode

MINUTE = 60_000_000
SETTINGS = forest.Settings()


def regimes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two states of a plant, the second column twice the first in either; no linear pattern has both."""
    rng = np.random.default_rng(seed)
    on = (np.arange(rows) // 60 % 2).astype(float)
    first = np.where(on > 0, 70.0, 20.0) + rng.normal(0, 1, rows)
    second = np.where(on > 0, 5.0, 40.0) + rng.normal(0, 1, rows)
    return MINUTE * np.arange(rows), np.column_stack((first, second, rng.normal(0, 1, rows)))


def test_what_is_walked_here_is_scored_as_scikit_learn_scores_it() -> None:
    _, rows = regimes(2_000)
    grown = IsolationForest(n_estimators=50, max_samples=128, random_state=3).fit(rows)
    _, ours, _ = forest._judged(forest.exported(grown, np.zeros(3)), np.zeros(1), rows)
    assert np.abs(ours + grown.score_samples(rows)).max() < 1e-9


def test_what_is_between_two_regimes_is_told_and_each_regime_is_not() -> None:
    at, rows = regimes(6_000)
    model = forest.learn(SETTINGS, ("a", "b", "c"), at[:3_000], rows[:3_000])
    live = rows[3_000:].copy()
    live[1_000:1_020] = [45.0, 22.0, 0.0]
    _, marks = forest.scan(model, forest.fresh(model), at[3_000:], live)
    told = np.flatnonzero(marks.alert)
    assert set(range(1_010, 1_020)) <= set(told.tolist())
    assert len(told[(told < 1_000) | (told >= 1_030)]) <= 6


def test_the_column_that_left_alone_is_named() -> None:
    at, rows = regimes(6_000)
    model = forest.learn(SETTINGS, ("a", "b", "c"), at[:3_000], rows[:3_000])
    for column in range(3):
        live = rows[3_000:3_100].copy()
        live[50:, column] += 500.0
        _, marks = forest.scan(model, forest.fresh(model), at[3_000:3_100], live)
        assert (marks.top[50:] == column).all()
        assert marks.alert[60:].all()


def test_values_that_did_not_come_are_the_last_ones_and_wild_ones_are_finite() -> None:
    at, rows = regimes(3_000)
    model = forest.learn(SETTINGS, ("a", "b", "c"), at, rows)
    live = rows[:600].copy()
    live[100:200, 1] = np.nan
    live[:, 2] = np.nan
    live[300] = 1e300
    _, marks = forest.scan(model, forest.fresh(model), at[:600], live)
    assert np.isfinite(marks.score).all()
    assert not marks.alert[:60].any()


def test_a_model_of_twenty_sensors_fits_into_a_rule() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (5_000, 20))
    model = fit("forest", tuple(f"gw/p{i}" for i in range(20)), MINUTE * np.arange(5_000), values, ("", ""))
    assert len(encode(model)) < LARGEST
    assert forest.Model._fields == tuple(model.arrays)
    assert loaded(model).limit < 0.5


def test_a_short_history_is_too_little() -> None:
    at, rows = regimes(100)
    with pytest.raises(TooLittle, match="100 rows of history"):
        forest.learn(SETTINGS, ("a", "b", "c"), at, rows)


def test_without_the_library_fitting_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows = regimes(700)
    lines = [f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{a},{b}" for i, (a, b, _) in enumerate(rows)]
    (tmp_path / "clean.csv").write_text("\n".join(["time,gw/a,gw/b", *lines]))
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    asked = ["rules", "fit", str(tmp_path / "clean.csv"), str(tmp_path / "m.model.json"), "--with", "forest"]
    assert main(asked) == 2
    assert "pip install 'cityvigil[fit]'" in capsys.readouterr().err
