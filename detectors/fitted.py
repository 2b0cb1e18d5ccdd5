"""Several sensors as one vector, judged live by a model that was fitted offline on a clean history.

The models are those that judge recorded files (detectors/components.py: PCA, T2 and Q; deviation.py: robust
distance; forest.py: isolation forest; onestep.py: ridge residuals; regime.py): one implementation, a row at a
time, once in the interval of the history. The amount is in multiples of the model's own limit. A group that
lacks one of the model's sensors is not judged. State is one row of numbers for each group, whatever its model
remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from detectors import components, deviation, forest, onestep, regime, verdict
from detectors.contract import Batch, Bound, Detector, Fall, Scores
from detectors.departing import alone, nothing_told, sources_of, unjudged
from detectors.group import GroupDetector
from detectors.members import Member
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.model import Model, ModelError, packed, unpacked
from schemas.rule import Rule

FITTABLE: dict[str, GroupDetector] = {
    found.name: found
    for found in (components.DETECTOR, deviation.DETECTOR, forest.DETECTOR, onestep.DETECTOR, regime.DETECTOR)
}


@dataclass(frozen=True)
class Facts:
    limits: Limits
    detector: GroupDetector
    model: Any  # a NamedTuple of arrays
    width: int
    interval_s: float
    version: str


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    width: np.ndarray
    facts: tuple[Facts, ...]


class Fitted(NamedTuple):
    """The first four as in contract.Told; figures: score and limit 1."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    memory: np.ndarray  # f8 [n, ...], the model's state, flat


def fit(
    detector: str, names: tuple[str, ...], at: np.ndarray, values: np.ndarray, span: tuple[str, str]
) -> Model:
    """Raises detectors.group.TooLittle or LibraryMissing."""
    found = FITTABLE[detector]
    model = found.learn(found.settings, names, at, values)
    steps = np.diff(at)
    interval_s = float(np.median(steps[steps > 0])) / 1e6 if (steps > 0).any() else 60.0
    return Model(
        detector=detector,  # type: ignore[arg-type]  # one of FITTABLE
        names=names,
        interval_s=interval_s,
        rows=len(at),
        first=span[0],
        last=span[1],
        arrays=packed(model._asdict()),
    )


def loaded(model: Model) -> Any:
    """The model's arrays as its detector knows them. Raises ModelError."""
    if model.detector not in FITTABLE:
        raise ModelError(f"expected a model of {', '.join(FITTABLE)}, got {model.detector}")
    detector = FITTABLE[model.detector]
    shape: type = get_type_hints(detector.fresh)["model"]
    arrays = unpacked(model)
    fields: tuple[str, ...] = shape._fields  # type: ignore[attr-defined]  # a NamedTuple
    if set(arrays) != set(fields):
        raise ModelError(f"expected arrays {', '.join(fields)}, got {', '.join(arrays)}")
    found = shape(**arrays)
    row = np.zeros((1, len(model.names)))
    try:
        with np.errstate(all="ignore"):
            detector.scan(found, detector.fresh(found), np.zeros(1, np.int64), row)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(f"the arrays do not fit {len(model.names)} columns: {error}") from None
    return found


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    if not isinstance(rule.model, Model):
        return unjudged("the rule has no model; `cityvigil rules fit` makes one")
    names = {f"{member.sensor.gateway}/{member.sensor.point}": member for member in members}
    if not set(rule.model.names) & set(names):
        return Bound(None, frozenset(), (Fall(),) * 4, ())  # another place's model
    if missing := [name for name in rule.model.names if name not in names]:
        return unjudged(f"the model needs {', '.join(missing)}, which the rule does not select here")
    try:
        limits, model = verdict.limits_of(rule), loaded(rule.model)
    except (CellError, ModelError) as error:
        return unjudged(str(error))
    chosen = tuple(names[name] for name in rule.model.names)
    every_s = rule.model.interval_s
    facts = Facts(limits, FITTABLE[rule.model.detector], model, len(chosen), every_s, rule.model.version)
    within_us = round(3 * every_s * 1e6)
    chosen = tuple(member._replace(within_us=max(member.within_us, within_us)) for member in chosen)
    shape = ("fitted", rule.model.version)
    return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(chosen))


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: tuple[Facts, ...] = tuple(bound.facts for bound in bounds)
    return Table(
        np.array([round(f.interval_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        np.array([f.width for f in facts], np.int64),
        facts,
    )


def fresh(table: Table, kind: np.ndarray) -> Fitted:
    rows = [_flat(table.facts[k].detector.fresh(table.facts[k].model)) for k in kind.tolist()]
    memory = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
    for i, row in enumerate(rows):
        memory[i, : len(row)] = row
    width = int(table.width.max()) if len(table.width) else 0
    return Fitted(*nothing_told(len(rows), width), *verdict.fresh(len(rows)), memory)


@np.errstate(all="ignore")
def step(table: Table, state: Fitted, batch: Batch) -> tuple[Fitted, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    n, width = len(batch.at), state.shown.shape[1]
    values = np.where(np.abs(batch.inputs[:, :width]) < 1e100, batch.inputs[:, :width], np.nan)
    amount, share, memory = np.full(n, np.nan), np.full((n, width), np.nan), state.memory.copy()
    for i, kind in enumerate(batch.kind.tolist()):
        facts = table.facts[kind]
        row = values[i : i + 1, : facts.width]
        if not np.isfinite(row).any():
            continue
        form = facts.detector.fresh(facts.model)
        before = _formed(form, state.memory[i])
        after, marks = facts.detector.scan(facts.model, before, batch.at[i : i + 1], row)
        flat = _flat(after)
        memory[i, : len(flat)] = flat
        amount[i] = max(float(marks.score[0]), 1.0 if marks.alert[0] else 0.0)
        share[i, int(marks.top[0])] = 1.0
    seen_at = np.where(np.isfinite(batch.inputs), batch.inputs_at, NEVER).max(axis=1)
    held, scores = verdict.verdict(
        table.limits, batch.kind, Held(state.since, state.times_met), batch.at, seen_at, amount, batch.level
    )
    figures = np.full((n, 4), np.nan)
    figures[:, 0] = amount
    return Fitted(state.turn, figures, values, share, *held, memory), scores


def _flat(arrays: Any) -> np.ndarray:
    """Times in microseconds are exact in a float64."""
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def _formed(form: Any, row: np.ndarray) -> Any:
    found, at = [], 0
    for array in form:
        size = int(np.size(array))
        found.append(row[at : at + size].reshape(np.shape(array)).astype(np.asarray(array).dtype))
        at += size
    return type(form)(*found)


DETECTOR = Detector("fitted", alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group)
