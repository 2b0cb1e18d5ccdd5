"""Detectors of other libraries, beside ours where somebody has installed them; we do not depend on them.

scikit-learn's isolation forest with its defaults, fitted to the rows that ours learns from; half-space
trees of river behind a minimum-maximum scaler, at the threshold of its quantile filter for one alert in a
thousand. Both with a fixed seed. Without the library a function gives None and its row is left out.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

SEED = 7


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


def half_space_trees(values: np.ndarray, quiet: int) -> np.ndarray | None:
    """Alerts of one column, none in the first `quiet` rows."""
    anomaly, preprocessing = _library("river.anomaly"), _library("river.preprocessing")
    if anomaly is None or preprocessing is None:
        return None
    scaler = preprocessing.MinMaxScaler()
    trees = anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=SEED), q=0.999)
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
