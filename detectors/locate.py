"""A sudden fall of pressure that several gauges share, and the pipe that explains it.

Each gauge's fall since some minutes ago is held against its own noise (EWMA of the size of such changes:
Roberts 1959). When several have fallen, the pattern of falls is compared with the pattern that a break at
each place gives in the utility's hydraulic model (Pudar and Liggett 1992, "Leaks in pipe networks"; Perez et
al. 2011, "Methodology for leakage isolation using pressure sensitivity analysis"): the place whose scaled
pattern leaves least is the probable one, and those that leave hardly more, by the noise, say within how many
metres. The model is a file (schemas/model.py): places, their positions, the gauges' answers. Waves of
seconds are not looked at: gauges that report once a minute cannot show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors import verdict
from detectors.contract import Batch, Bound, Detector, Fall, Scores
from detectors.departing import alone, nothing_told, sources_of, unjudged
from detectors.members import Member
from detectors.verdict import NEVER, CellError, Held, Limits
from schemas.catalogue import Category
from schemas.model import Model, ModelError, unpacked
from schemas.rule import Members, Rule

ARRAYS = frozenset({"influence", "lon", "lat"})
METRES_A_DEGREE = 111_320.0
AS_LIKELY = 6.0
"""How much more a place may leave, in squares of the noise, and still be meant: 95 % of two dimensions."""
QUIET_TURNS = 30
MEMORY_S = 7 * 86_400.0


@dataclass(frozen=True)
class Facts:
    limits: Limits
    influence: np.ndarray  # [places, members]
    lon: np.ndarray
    lat: np.ndarray
    places: tuple[str, ...]
    every_s: float
    span_s: float
    sigma: float
    least_sensors: int
    floor: float
    version: str


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    width: np.ndarray
    span_us: np.ndarray
    sigma: np.ndarray
    least: np.ndarray
    floor: np.ndarray
    facts: tuple[Facts, ...]


class Located(NamedTuple):
    """The first four as in contract.Told; figures: largest fall, gauges that fell, place, metres."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    newest: np.ndarray  # i8
    seen: np.ndarray  # i4, turns
    before: np.ndarray  # f8 [n, members], followed with the span; stands while something is open
    size: np.ndarray  # f8 [n, members], mean size of departures from it


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    if not isinstance(rule.model, Model):
        return unjudged("the rule has no model of the network; `cityvigil rules pipes` makes one")
    names = {f"{member.sensor.gateway}/{member.sensor.point}": member for member in members}
    present = [i for i, name in enumerate(rule.model.names) if name in names]
    if not present:
        return Bound(None, frozenset(), (Fall(),) * 4, ())  # another place's model
    if len(present) < len(rule.model.names):
        gone = [name for name in rule.model.names if name not in names]
        return unjudged(f"the model needs {', '.join(gone)}, which the rule does not select here")
    try:
        limits, network = verdict.limits_of(rule), loaded(rule.model)
    except (CellError, ModelError) as error:
        return unjudged(str(error))
    if limits.measure != "v":
        return unjudged(f"locate measures v, not {limits.measure}")
    chosen = tuple(names[name] for name in rule.model.names)
    facts = Facts(
        limits,
        *network,
        rule.model.places,
        (rule.members or Members(every_s=60.0)).every_s,
        rule.params.get("span_s", 600.0),
        rule.params.get("sigma", 4.5),
        int(rule.params.get("sensors", 2.0)),
        max(category.resolution, category.noise or 0.0),
        rule.model.version,
    )
    shape = ("locate", rule.model.version, f"{facts.every_s}")
    return Bound(facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of(chosen))


def loaded(model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Influence, longitudes, latitudes. Raises ModelError."""
    arrays = unpacked(model)
    if set(arrays) != ARRAYS:
        raise ModelError(f"expected arrays {', '.join(sorted(ARRAYS))}, got {', '.join(arrays)}")
    places = len(model.places)
    if arrays["influence"].shape != (places, len(model.names)) or not places:
        raise ModelError(f"expected an influence for each of {places} places and {len(model.names)} sensors")
    if arrays["lon"].shape != (places,) or arrays["lat"].shape != (places,):
        raise ModelError(f"expected a position for each of {places} places")
    return arrays["influence"], arrays["lon"], arrays["lat"]


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: tuple[Facts, ...] = tuple(bound.facts for bound in bounds)
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        np.array([f.influence.shape[1] for f in facts], np.int64),
        np.array([f.span_s * 1e6 for f in facts]),
        np.array([f.sigma for f in facts]),
        np.array([f.least_sensors for f in facts], np.int64),
        np.array([f.floor for f in facts]),
        facts,
    )


def fresh(table: Table, kind: np.ndarray) -> Located:
    n, width = len(kind), int(table.width.max()) if len(table.width) else 0
    return Located(
        *nothing_told(n, width),
        *verdict.fresh(n),
        np.full(n, NEVER),
        np.zeros(n, np.int32),
        np.full((n, width), np.nan),
        np.zeros((n, width)),
    )


@np.errstate(all="ignore")
def step(table: Table, state: Located, batch: Batch) -> tuple[Located, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    width = state.shown.shape[1]
    kind, at = batch.kind, batch.at
    there = np.arange(width) < table.width[kind][:, None]
    values = np.where(there & (np.abs(batch.inputs[:, :width]) < 1e100), batch.inputs[:, :width], np.nan)
    known = np.isfinite(values)
    fall = state.before - values
    sigma = np.maximum(1.2533 * state.size, table.floor[kind][:, None])
    fell = known & (fall >= table.sigma[kind][:, None] * sigma)
    count = fell.sum(axis=1)
    ready = state.seen >= QUIET_TURNS
    worst = np.where(known, fall, -np.inf).max(axis=1)
    enough = ready & (count >= table.least[kind])
    amount = np.where(ready & known.any(axis=1), np.where(enough, worst, 0.0), np.nan)
    still = batch.level > 0  # what was found last is kept until it is over
    place, metres = np.where(still, state.figures[:, 2:].T, np.nan)
    for i in np.flatnonzero(enough).tolist():
        facts, of = table.facts[kind[i]], known[i]
        place[i], metres[i] = found_at(facts, np.flatnonzero(of), fall[i, of], sigma[i, of])
    seen_at = np.where(there & known, batch.inputs_at[:, :width], NEVER).max(axis=1)
    held, scores = verdict.verdict(
        table.limits, kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
    )
    share = np.where(known & enough[:, None], np.where(fell, fall / worst[:, None], 0.0), np.nan)
    figures = np.stack((worst, count.astype(np.float64), place, metres), axis=1)
    # What fell is not what was before: while that lasts the old level stands.
    passed = np.where(state.newest == NEVER, 0, at - state.newest)
    stands = (enough | (batch.level > 0))[:, None]
    weight = np.where(stands, 0.0, (1 - np.exp(-passed / table.span_us[kind]))[:, None])
    before = np.where(np.isnan(state.before), values, state.before + weight * (values - state.before))
    young = 1 / (state.seen + 1.0)
    gain = np.maximum(young, 1 - np.exp(-passed / (MEMORY_S * 1e6)))[:, None]
    size = state.size + np.where(stands, 0.0, gain) * (np.abs(fall) - state.size)
    return Located(
        state.turn,
        figures,
        values,
        share,
        *held,
        at,
        np.minimum(state.seen + 1, 1_000_000).astype(np.int32),
        np.where(known, before, state.before),
        np.where(known & np.isfinite(fall), size, state.size),
    ), scores


def found_at(facts: Facts, of: np.ndarray, fall: np.ndarray, sigma: np.ndarray) -> tuple[int, float]:
    """The place whose pattern explains the falls best, and how far from it any other may be that explains
    them hardly worse."""
    pattern = facts.influence[:, of] / sigma
    seen = fall / sigma
    power = (pattern**2).sum(axis=1)
    scale = np.maximum(pattern @ seen, 0.0) / np.maximum(power, 1e-12)
    left = ((seen - scale[:, None] * pattern) ** 2).sum(axis=1)
    best = int(left.argmin())
    # A hydraulic model is not the ground: what the best leaves counts as noise, too.
    noise = max(1.0, left[best] / max(len(of) - 2, 1))
    likely = left <= left[best] + AS_LIKELY * noise
    east = (facts.lon[likely] - facts.lon[best]) * np.cos(np.radians(facts.lat[best]))
    away = METRES_A_DEGREE * np.hypot(east, facts.lat[likely] - facts.lat[best])
    return best, float(away.max())


DETECTOR = Detector("locate", alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group)
