"""One causal pass of a profile over recorded columns: a score, an alert, and the column that explains it.

Row i's result depends on rows up to i only; rows go through in blocks, whose ends change nothing.
This is the same code as runs live, over longer blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detectors import novelty, plausible, seasonal, spike
from detectors.group import BLOCK, TooLittle, resolution
from detectors.marks import GroupMarks
from detectors.profiles import Group, Series

ROWS = 100 * BLOCK  # a block
HEAD = 48  # rows by which the resolution of a live file is known


class Limits(NamedTuple):
    """What the catalogue knows of a column."""

    low: float = -np.inf
    high: float = np.inf
    resolution: float = 0.0


class Judge:
    """The profile's detectors of single columns, with what they remember."""

    def __init__(self, profile: Series, limits: list[Limits]) -> None:
        n = len(limits)
        kind = np.arange(n)
        self._plausible = plausible.tabulate_facts([plausible.Facts(low=x.low, high=x.high) for x in limits])
        self._spike = self._seasonal = self._novelty = None
        if profile.spike is not None:
            facts = [replace(profile.spike, resolution=x.resolution) for x in limits]
            self._spike = spike.tabulate_facts(facts)
            self._spikes = spike.fresh(self._spike, kind)
        if profile.seasonal is not None:
            courses = [replace(profile.seasonal, floor=x.resolution) for x in limits]
            self._seasonal = seasonal.tabulate_facts(courses)
            self._season = seasonal.fresh(self._seasonal, kind)
        if profile.novelty is not None:
            shapes = [replace(profile.novelty, floor=x.resolution) for x in limits]
            self._novelty = novelty.tabulate_facts(shapes)
            self._shown = novelty.fresh(self._novelty, kind)

    def see(self, at: np.ndarray, values: np.ndarray) -> GroupMarks:
        """The next rows [T, n]; what they say together. Columns are judged one by one."""
        wrong = plausible.marks(self._plausible, np.where(np.isinf(values), np.nan, values))
        values = np.where(wrong.alert, np.nan, values)
        said = [wrong]
        times = np.repeat(at[:, None], values.shape[1], axis=1)
        if self._spike is not None:
            self._spikes, marks = spike.scan(self._spike, self._spikes, times, values)
            said.append(marks)
        if self._seasonal is not None:
            self._season, marks = seasonal.scan(self._seasonal, self._season, times, values)
            said.append(marks)
        if self._novelty is not None:
            self._shown, marks = novelty.scan(self._novelty, self._shown, times, values)
            said.append(marks)
        score = np.max([marks.score for marks in said], axis=0)
        alert = np.any([marks.alert for marks in said], axis=0)
        top = np.where(alert, score + 1e12, score).argmax(axis=1)
        return GroupMarks(np.max(score, axis=1), np.any(alert, axis=1), top)


def one_by_one(
    profile: Series,
    limits: list[Limits],
    at: np.ndarray,
    values: np.ndarray,
    fit: tuple[np.ndarray, np.ndarray] | None = None,
) -> GroupMarks:
    """Each column by itself; a clean history only warms what they remember."""
    judge = Judge(profile, limits)
    if fit is not None:
        for part in _blocks(len(fit[0])):
            judge.see(fit[0][part], fit[1][part])
    return _joined([judge.see(at[part], values[part]) for part in _blocks(len(at))])


def together(
    profile: Group,
    names: tuple[str, ...],
    at: np.ndarray,
    values: np.ndarray,
    fit: tuple[np.ndarray, np.ndarray] | None = None,
) -> GroupMarks:
    """All columns as one vector. Raises TooLittle if a history was given that is too short to learn from."""
    detector = profile.detector
    values = _measured(values)
    silent = GroupMarks(np.zeros(len(at)), np.zeros(len(at), bool), np.zeros(len(at), np.int64))
    if fit is not None:
        quiet = min(HEAD, len(at))
        model = detector.learn(
            detector.settings, names, fit[0], _as_coarse(_measured(fit[1]), values[:quiet])
        )
    else:
        late = np.flatnonzero(at - at[:1] >= profile.learn_s * 1e6)
        quiet = max(int(late[0]) if len(late) else len(at), profile.learn_rows)
        if quiet >= len(at):
            return silent
        try:
            model = detector.learn(detector.settings, names, at[:quiet], values[:quiet])
        except TooLittle:
            return silent
    state, found = detector.fresh(model), []
    for part in _blocks(len(at)):
        state, marks = detector.scan(model, state, at[part], values[part])
        found.append(marks)
    marks = _joined(found)
    heard = np.arange(len(at)) >= quiet
    return GroupMarks(np.where(heard, marks.score, 0.0), marks.alert & heard, marks.top)


def _measured(values: np.ndarray) -> np.ndarray:
    """NaN for what is no measurement: codes for no data, what no instrument shows."""
    return np.where((np.abs(values) > 1e100) | np.isin(values, plausible.NO_DATA), np.nan, values)


def _as_coarse(history: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The history rounded as the live file is: a model of finer data finds coarser data strange."""
    steps = [resolution(column) for column in head.T if np.isfinite(column).any()]
    step = min(steps, default=0.0)
    return np.round(history, round(-np.log10(step))) if step > 0 else history


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS))


def _joined(found: list[GroupMarks]) -> GroupMarks:
    if not found:
        return GroupMarks(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
    return GroupMarks(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
