"""Detectors of other libraries, beside ours where somebody has installed them; we do not depend on them.

scikit-learn's isolation forest with its defaults, fitted to the rows that ours learns from, as are those of
pyod, behind a scaler; half-space trees of river behind a minimum-maximum scaler. Where a share of alerts
must be named it is one row in a thousand. Seeds are fixed. Without the library a function gives None and
its row is left out. pyod's ECOD and COPOD rank a row among all that are scored with it, so they see what
comes later.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from detectors import forest
from detectors.profiles import Group

SEED = 7
SHARE = 0.001
PYOD = {"ECOD": "ecod", "COPOD": "copod", "HBOS": "hbos", "KNN": "knn"}
"""Class -> module below pyod.models: those that take seconds."""


def _library(name: str) -> Any | None:
    return importlib.import_module(name) if importlib.util.find_spec(name.partition(".")[0]) else None


def isolation_forest(history: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Score of each row, 1 at the forest's own threshold."""
    ensemble = _library("sklearn.ensemble")
    if ensemble is None:
        return None
    usual = np.nanmedian(history, axis=0)
    forest = ensemble.IsolationForest(random_state=SEED).fit(np.where(np.isfinite(history), history, usual))
    # decision_function is 0 at the threshold, negative beyond, within (-0.5, 0.5).
    score: np.ndarray = 1.0 - forest.decision_function(np.where(np.isfinite(values), values, usual))
    return score


def our_forest(profile: Group) -> Group | None:
    """The profile with our `forest`, its trees grown by scikit-learn, in place of its detector."""
    return replace(profile, detector=forest.DETECTOR) if _library("sklearn") is not None else None


def by_pyod(history: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Of each of `PYOD` the score of each row, 1 at its own threshold; nothing without the library."""
    if _library("pyod") is None:
        return {}
    usual, spread = np.nanmedian(history, axis=0), np.nanstd(history, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    before, rows = ((np.where(np.isfinite(x), x, usual) - usual) / spread for x in (history, values))
    found = {}
    for name, module in PYOD.items():
        detector = getattr(_library(f"pyod.models.{module}"), name)(contamination=SHARE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, of columns that do not vary
            detector.fit(before)
            strange = detector.decision_function(rows)
        size = float(np.std(detector.decision_scores_)) or 1.0
        found[name] = 1.0 + (strange - detector.threshold_) / size
    return found


def half_space_trees(values: np.ndarray, quiet: int) -> np.ndarray | None:
    """Alerts of one column, none in the first `quiet` rows."""
    anomaly, preprocessing = _library("river.anomaly"), _library("river.preprocessing")
    if anomaly is None or preprocessing is None:
        return None
    scaler = preprocessing.MinMaxScaler()
    trees = anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=SEED), q=1 - SHARE)
    alert = np.zeros(len(values), bool)
    for row, value in enumerate(values[:, 0].tolist()):
        if not np.isfinite(value):
            continue
        scaler.learn_one({"v": value})
        scaled = scaler.transform_one({"v": value})
        score = trees.score_one(scaled)
        alert[row] = row >= quiet and trees.classify(score)
        trees.learn_one(scaled)
    return alert
