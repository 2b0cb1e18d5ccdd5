"""A pressure wave that several loggers of one district heard, and the pipe where it began.

Loggers of 100 to 250 samples a second tell two points: how large a transient was, and when it reached them
(seconds of the UTC day, so that neither a gateway's clock nor a slow line touches it). Those whose times lie
within the time that a wave needs through the district heard one front; from `sensors` (3) of them on it is
judged by the largest transient, `settle_s` (20) after the first. With a model of the pipes (`cityvigil rules
front`) its origin is laid at a pipe (detectors/wavefront.py); without one, the order of arrival is told. A
pump that trips makes a front as a burst does; one logger alone is left to the category's own rule.
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
from detectors.wavefront import Network, loaded, origin
from schemas.catalogue import Category
from schemas.model import Model, ModelError
from schemas.rule import Members, Rule

ROLE = "arrival"
ROLES = frozenset({ROLE})
DAY_US = 86_400_000_000
AHEAD_US = 60_000_000
"""A time later than this after now is yesterday's."""
ECHO_US = 60_000_000
"""Within this after its front a logger hears the same wave come back from dead ends."""
BEFORE_US = 120_000_000
"""How much older than the front a report of its size may look, by when it was received."""


@dataclass(frozen=True)
class Facts:
    limits: Limits
    sizes: int  # the first members tell sizes, those behind them arrivals
    arrivals: int
    network: Network | None
    places: tuple[str, ...]
    every_s: float
    window_s: float
    lasting_s: float
    settle_s: float
    least: int
    noise_s: float
    speed: float


class Table(NamedTuple):
    every_us: np.ndarray
    limits: verdict.Table
    sizes: np.ndarray
    members: np.ndarray
    window_us: np.ndarray
    lasting_us: np.ndarray
    settle_us: np.ndarray
    least: np.ndarray
    facts: tuple[Facts, ...]


class Heard(NamedTuple):
    """The first four as in contract.Told; figures: loggers, candidate (NaN unknown), metres, member left out
    (NaN none). `shown` of an arrival is seconds after the first."""

    turn: np.ndarray
    figures: np.ndarray
    shown: np.ndarray
    share: np.ndarray
    since: np.ndarray
    times_met: np.ndarray
    arrived: np.ndarray  # i8 [n, members], newest front of each, NEVER none
    size: np.ndarray  # f8, the largest of this front; NaN none


def bind_group(rule: Rule, category: Category, members: tuple[Member, ...]) -> Bound:
    sizes = tuple(member for member in members if member.role == "")
    heard = tuple(member for member in members if member.role == ROLE)
    network: Network | None = None
    places: tuple[str, ...] = ()
    try:
        limits = verdict.limits_of(rule)
        if isinstance(rule.model, Model):
            network, places = loaded(rule.model), rule.model.places
    except (CellError, ModelError) as error:
        return unjudged(str(error))
    if limits.measure != "v":
        return unjudged(f"front measures v, not {limits.measure}")
    if isinstance(rule.model, Model):
        names = {f"{member.sensor.gateway}/{member.sensor.point}": member for member in heard}
        present = [name for name in rule.model.names if name in names]
        if not present:
            return Bound(None, frozenset(), (Fall(),) * 4, ())  # another district's model
        if len(present) < len(rule.model.names):
            gone = [name for name in rule.model.names if name not in names]
            return unjudged(f"the model needs {', '.join(gone)}, which the rule does not select here")
        heard = tuple(names[name] for name in rule.model.names)
    least = int(rule.params.get("sensors", 3.0))
    if len(heard) < least:
        return unjudged(f"a front needs {least} loggers that tell arrivals, here are {len(heard)}")
    sampling_s, clock_s = rule.params.get("sampling_s", 0.01), rule.params.get("clock_s", 0.02)
    noise_s = max(float(np.hypot(sampling_s / np.sqrt(12), clock_s)), 1e-4)
    speed = rule.params.get("speed", 0.03)
    window_s = rule.params.get("window_s", 10.0)
    if network is not None:
        window_s = (1 + 3 * speed) * float(np.ptp(network.travel, axis=1).max()) + 6 * noise_s
    facts = Facts(
        limits,
        len(sizes),
        len(heard),
        network,
        places,
        (rule.members or Members()).every_s,
        window_s,
        rule.params.get("lasting_s", 600.0),
        rule.params.get("settle_s", 20.0),
        least,
        noise_s,
        speed,
    )
    numbers = tuple(f"{member.role}{member.sensor.sensor}" for member in (*sizes, *heard))
    shape = ("front", f"{facts.every_s}", *numbers)
    return Bound(
        facts, limits.levels, verdict.falls(rule, limits), shape, sources=sources_of((*sizes, *heard))
    )


def tabulate(bounds: Sequence[Bound]) -> Table:
    facts: tuple[Facts, ...] = tuple(bound.facts for bound in bounds)
    return Table(
        np.array([round(f.every_s * 1e6) for f in facts], np.int64),
        verdict.tabulate([f.limits for f in facts]),
        np.array([f.sizes for f in facts], np.int64),
        np.array([f.sizes + f.arrivals for f in facts], np.int64),
        np.array([round(f.window_s * 1e6) for f in facts], np.int64),
        np.array([round(f.lasting_s * 1e6) for f in facts], np.int64),
        np.array([round(f.settle_s * 1e6) for f in facts], np.int64),
        np.array([f.least for f in facts], np.int64),
        facts,
    )


def fresh(table: Table, kind: np.ndarray) -> Heard:
    n, width = len(kind), int(table.members.max()) if len(table.members) else 0
    return Heard(*nothing_told(n, width), *verdict.fresh(n), np.full((n, width), NEVER), np.full(n, np.nan))


@np.errstate(all="ignore")
def step(table: Table, state: Heard, batch: Batch) -> tuple[Heard, Scores]:
    assert batch.inputs is not None
    assert batch.inputs_at is not None
    width = state.shown.shape[1]
    kind, at = batch.kind, batch.at
    column = np.arange(width)
    sizes = column < table.sizes[kind][:, None]
    tells = ~sizes & (column < table.members[kind][:, None])
    values = batch.inputs[:, :width]
    arrived, new = _arrivals(state.arrived, np.where(tells, values, np.nan), at, table.lasting_us[kind])
    together = _one_front(arrived, table.window_us[kind])
    count = together.sum(axis=1)
    last = np.where(together, arrived, NEVER).max(axis=1, initial=NEVER)
    first = np.where(together, arrived, np.iinfo(np.int64).max).min(axis=1, initial=at.max(initial=0))
    enough = (count >= table.least[kind]) & (at - np.maximum(last, 0) <= table.lasting_us[kind])
    told = sizes & (np.abs(values) < 1e100) & (batch.inputs_at[:, :width] >= first[:, None] - BEFORE_US)
    largest = np.fmax.reduce(np.where(told, values, np.nan), axis=1, initial=np.nan)
    size = np.where(enough, np.fmax(state.size, largest), np.nan)
    # Loggers answer over slow lines: who speaks with the first three places it worse than who waits a little.
    settled = (at - first >= table.settle_us[kind]) | (count == (table.members - table.sizes)[kind])
    amount = np.where(enough, np.where(settled | (batch.level > 0), size, np.nan), 0.0)
    figures = np.where((enough | (batch.level > 0))[:, None], state.figures, np.nan)
    for i in np.flatnonzero(enough & (new & together).any(axis=1)).tolist():
        figures[i] = _placed(table.facts[kind[i]], np.flatnonzero(together[i]), arrived[i], first[i])
    seen_at = np.where(enough, np.minimum(first, at), at)
    held, scores = verdict.verdict(
        table.limits, kind, Held(state.since, state.times_met), at, seen_at, amount, batch.level
    )
    delays = np.where(together, (arrived - first[:, None]) / 1e6, np.nan)
    shown = np.where(enough[:, None], np.where(sizes, values, delays), state.shown)
    return Heard(state.turn, figures, shown, state.share, *held, arrived, size), scores


def _arrivals(
    before: np.ndarray, seconds: np.ndarray, at: np.ndarray, lasting_us: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """When the newest front reached each, and who says so for the first time."""
    sound = (seconds >= 0) & (seconds <= 86_400)
    now = at[:, None]
    then = now // DAY_US * DAY_US + np.rint(np.where(sound, seconds, 0.0) * 1e6).astype(np.int64)
    then = np.where(then > now + AHEAD_US, then - DAY_US, then)
    then = np.where(then <= now + AHEAD_US - DAY_US, then + DAY_US, then)
    sound &= now - then <= lasting_us[:, None]
    new = sound & ((before == NEVER) | (then - np.maximum(before, 0) > ECHO_US))
    return np.where(new, then, before), new


def _one_front(arrived: np.ndarray, window_us: np.ndarray) -> np.ndarray:
    """Those that most others followed within the window; of several such fronts the newest."""
    known: np.ndarray = arrived != NEVER
    since = np.maximum(arrived, 0)
    after = since[:, None, :] - since[:, :, None]  # [n, of, others]
    inside = (after >= 0) & (after <= window_us[:, None, None]) & known[:, None, :] & known[:, :, None]
    count = inside.sum(axis=2)
    most = count == count.max(axis=1, initial=0, keepdims=True)
    if not arrived.shape[1]:
        return known
    chosen = np.where(most & known, since, -1).argmax(axis=1)
    found: np.ndarray = inside[np.arange(len(arrived)), chosen]
    return found


def _placed(facts: Facts, of: np.ndarray, arrived: np.ndarray, first: int) -> tuple[float, ...]:
    count = float(len(of))
    if facts.network is None:
        return count, np.nan, np.nan, np.nan
    found = origin(facts.network, of - facts.sizes, (arrived[of] - first) / 1e6, facts.noise_s, facts.speed)
    if found.place < 0:
        return count, np.nan, np.nan, np.nan
    left_out = np.nan if found.left_out < 0 else float(found.left_out + facts.sizes)
    return count, float(found.place), found.within_m, left_out


DETECTOR = Detector("front", alone, tabulate, fresh, step, looks_at="groups", bind_group=bind_group)
