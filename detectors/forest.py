"""Rows that few random cuts set apart: an isolation forest of several columns.

Liu, Ting and Zhou 2008, "Isolation forest": trees cut small samples of the history at random; a row that is
alone after few cuts is strange, whatever the shape of what is usual, so a pattern with several regimes needs
no model of each. scikit-learn grows the trees, offline; they are written out as arrays and walked here, so
nothing of it is needed live. No tree cuts beyond the values it has seen, so a row outside what the history
spanned, widened, counts as alone without a cut. Depths are smoothed (EWMA) before they are judged: a score
cannot pass what the longest path allows, so a strange row is little above the strangest usual one. The limit
is what one in a thousand rows of the history passes so, in trees that had not seen its part of it. The column
that is told is the one farthest outside, or whose cuts leave the smallest share of the rows on this one's
side, in bits a cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from detectors.compiled import compiled
from detectors.group import GroupDetector, LibraryMissing, TooLittle
from detectors.marks import GroupMarks
from detectors.recursion import follow, latest

EULER = 0.5772156649015329
LARGEST = 0.499  # limit; a score cannot pass 1


@dataclass(frozen=True, slots=True)
class Settings:
    trees: int = 50
    sample: int = 256  # rows a tree
    seed: int = 7
    weight: float = 0.2  # of the newest row
    parts: int = 5  # of the history, each judged by trees of the others
    margin: float = 0.1  # share of a column's range by which it is widened
    quantile: float = 0.999  # of the history's scores: the limit
    least_rows: int = 320


class Model(NamedTuple):
    """Nodes of all trees, each tree's in the order of a walk that goes left first, so the left child of a
    node is the next one."""

    usual: np.ndarray  # [c], stands in for a value that never came
    middle: np.ndarray  # [c], of the history's range
    half: np.ndarray  # [c], of the range, widened; inf where nothing varied
    root: np.ndarray  # i8 [trees]
    column: np.ndarray  # i8 [nodes], what is cut; -1: a leaf
    cut: np.ndarray  # f8 [nodes], left up to here; of a leaf, how deep its rows lie
    right: np.ndarray  # i8 [nodes], the right child
    bits: np.ndarray  # f8 [nodes], of the cut that led here: log2 of the parent's rows over this one's
    weight: np.ndarray  # scalar
    usual_depth: np.ndarray  # scalar, c(sample)
    limit: np.ndarray  # scalar, of the score less one half


class Newest(NamedTuple):
    row: np.ndarray  # [c]
    depth: np.ndarray  # [1], smoothed; of a usual row before the first


def learn(settings: Settings, names: tuple[str, ...], at: np.ndarray, values: np.ndarray) -> Model:
    """Raises TooLittle, and LibraryMissing where scikit-learn is not installed."""
    if len(values) < settings.least_rows:
        raise TooLittle(f"{len(values)} rows of history; a forest needs {settings.least_rows}")
    usual = np.array([float(np.median(c[np.isfinite(c)])) if np.isfinite(c).any() else 0.0 for c in values.T])
    rows = latest(np.full(len(usual), np.nan), np.where(np.isfinite(values), values, np.nan))
    rows = np.where(np.isnan(rows), usual, rows)
    strange = np.empty(len(rows))
    for part in np.array_split(np.arange(len(rows)), settings.parts):
        model = _grown(settings, usual, np.delete(rows, part, axis=0))
        _, strange[part], _ = _judged(model, fresh(model).depth, rows[part])
    limit = np.clip(np.quantile(strange, settings.quantile) - 0.5, 0.01, LARGEST)
    return _grown(settings, usual, rows)._replace(limit=np.asarray(limit))


def _grown(settings: Settings, usual: np.ndarray, rows: np.ndarray) -> Model:
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError:
        raise LibraryMissing("fitting a forest needs scikit-learn: pip install 'cityvigil[fit]'") from None
    grown = IsolationForest(
        n_estimators=settings.trees, max_samples=min(settings.sample, len(rows)), random_state=settings.seed
    ).fit(rows)
    middle, half = (rows.max(axis=0) + rows.min(axis=0)) / 2, np.ptp(rows, axis=0) / 2
    half = np.where(half > 0, (1 + 2 * settings.margin) * half, np.inf)
    return exported(grown, usual)._replace(middle=middle, half=half, weight=np.array(settings.weight))


def exported(grown: Any, usual: np.ndarray) -> Model:
    """The trees of a fitted scikit-learn IsolationForest over all columns, as arrays, with no limits yet."""
    root, column, cut, right, bits = [], [], [], [], []
    first = 0
    for one in grown.estimators_:
        tree = one.tree_
        is_leaf = tree.children_left < 0
        depth, gained = np.zeros(tree.node_count), np.zeros(tree.node_count)
        for node in np.flatnonzero(~is_leaf):
            for child in (tree.children_left[node], tree.children_right[node]):
                depth[child] = depth[node] + 1
                gained[child] = np.log2(tree.n_node_samples[node] / tree.n_node_samples[child])
        root.append(first)
        column.append(np.where(is_leaf, -1, tree.feature))
        cut.append(np.where(is_leaf, depth + _usual_depth(tree.n_node_samples), tree.threshold))
        right.append(np.where(is_leaf, 0, tree.children_right + first))
        bits.append(gained)
        first += tree.node_count
    return Model(
        usual,
        np.zeros(len(usual)),
        np.full(len(usual), np.inf),
        np.array(root, np.int64),
        np.concatenate(column).astype(np.int64),
        np.concatenate(cut).astype(np.float64),
        np.concatenate(right).astype(np.int64),
        np.concatenate(bits),
        np.array(1.0),
        _usual_depth(np.array(grown.max_samples_)),
        np.array(LARGEST),
    )


def _usual_depth(rows: np.ndarray) -> np.ndarray:
    """c(n) of the paper: the mean depth of an unsuccessful search among n rows."""
    n = np.maximum(rows.astype(np.float64), 2.0)
    many = 2.0 * (np.log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n
    return np.asarray(np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, many)))


def fresh(model: Model) -> Newest:
    return Newest(np.full(len(model.usual), np.nan), np.full(1, float(model.usual_depth)))


def scan(model: Model, state: Newest, at: np.ndarray, values: np.ndarray) -> tuple[Newest, GroupMarks]:
    rows = latest(state.row, np.where(np.isfinite(values), values, np.nan))
    depth, strange, top = _judged(model, state.depth, np.where(np.isnan(rows), model.usual, rows))
    score = np.maximum(strange - 0.5, 0.0) / float(model.limit)
    return Newest(rows[-1], depth), GroupMarks(score, score >= 1.0, top)


def _judged(model: Model, before: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The newest mean depth, 2^(-E(h) / c(sample)) at each row, and the column that sets the row apart."""
    depth, top = np.empty(len(rows)), np.empty(len(rows), np.int64)
    # scikit-learn cuts float32 values.
    shown = np.clip(rows, -3e38, 3e38).astype(np.float32)
    _walk(
        model.root, model.column, model.cut, model.right, model.bits, np.ascontiguousarray(shown), depth, top
    )  # fmt: skip
    outside = np.abs(rows - model.middle) / model.half
    beyond = outside.max(axis=1) > 1.0
    depth[beyond], top[beyond] = 0.0, outside[beyond].argmax(axis=1)
    weight = float(model.weight)
    smooth = follow(before, np.full((len(rows), 1), 1.0 - weight), weight * depth[:, None])
    return smooth[-1], 2.0 ** (-smooth[:, 0] / float(model.usual_depth)), top


@compiled
def _walk(
    root: np.ndarray, column: np.ndarray, cut: np.ndarray, right: np.ndarray, bits: np.ndarray,
    rows: np.ndarray, depth: np.ndarray, top: np.ndarray,
) -> None:  # fmt: skip
    gained, cuts = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for i in range(len(rows)):
        total = 0.0
        gained[:], cuts[:] = 0.0, 0.0
        for first in root:
            node = first
            while column[node] >= 0:
                by = column[node]
                node = node + 1 if rows[i, by] <= cut[node] else right[node]
                gained[by] += bits[node]
                cuts[by] += 1.0
            total += cut[node]
        depth[i] = total / len(root)
        best = 0
        for j in range(1, len(gained)):
            if gained[j] * max(cuts[best], 1.0) > gained[best] * max(cuts[j], 1.0):
                best = j
        top[i] = best


DETECTOR = GroupDetector("forest", Settings(), learn, fresh, scan)
