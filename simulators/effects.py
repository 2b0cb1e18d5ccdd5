"""What a fault does to the true values of its sensors: the shapes that kinds of faults are made of.

Each is a function of the truth without the fault, the seconds since its onset, its magnitude and how much
of it each sensor feels; nothing here knows which quantity it bends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from simulators.beam import frequency_ratio
from simulators.network import Floats
from simulators.smoke import burn


class Bend(NamedTuple):
    """What an effect is given. `site` is the site parameter that the kind names, 1 where there is none;
    `at_onset` the truth when the fault began."""

    truth: Floats
    since_s: float
    magnitude: float
    share: Floats
    site: Floats
    at_onset: Floats


Effect = Callable[[Bend], Floats]
STRIKE_S = 10
"""Of a breaker: a burst, and the pause after it."""
NIGHT_S = 12 * 3600
FRONT_MS = 12.0


def fills(ramp_s: float = 120) -> Effect:
    """Rises to the magnitude in so many seconds; what was higher stays."""

    def effect(b: Bend) -> Floats:
        return np.maximum(b.truth, b.magnitude * b.share * min(1.0, b.since_s / ramp_s))

    return effect


def falls(ramp_s: float = 0) -> Effect:
    """Lower by the magnitude, at once or in so many seconds."""

    def effect(b: Bend) -> Floats:
        way = min(1.0, b.since_s / ramp_s) if ramp_s else 1.0
        return b.truth - b.magnitude * b.share * way

    return effect


def rises(ramp_s: float = 0) -> Effect:
    """Higher by the magnitude, at once or in so many seconds."""

    def effect(b: Bend) -> Floats:
        way = min(1.0, b.since_s / ramp_s) if ramp_s else 1.0
        return b.truth + b.magnitude * b.share * way

    return effect


def goes_to(ramp_s: float = 0) -> Effect:
    """To the magnitude; a sensor that feels a share of it goes that share of the way."""

    def effect(b: Bend) -> Floats:
        way = min(1.0, b.since_s / ramp_s) if ramp_s else 1.0
        return b.truth + (b.magnitude - b.truth) * b.share * way

    return effect


def goes_to_share(ramp_s: float = 0) -> Effect:
    """To a share of the site parameter."""

    def effect(b: Bend) -> Floats:
        way = min(1.0, b.since_s / ramp_s) if ramp_s else 1.0
        return b.truth + (b.magnitude * b.site - b.truth) * b.share * way

    return effect


def below_site(ramp_s: float = 0) -> Effect:
    """Up to so much below the site parameter: a manhole that fills to 0.35 m under its cover."""

    def effect(b: Bend) -> Floats:
        way = min(1.0, b.since_s / ramp_s) if ramp_s else 1.0
        return b.truth + (b.site - b.magnitude - b.truth) * b.share * way

    return effect


def rests_at_share(b: Bend) -> Floats:
    """The gauge comes to rest at a share of its design value; the thermal wave lives on, weaker."""
    return b.magnitude * b.share * b.site + 0.1 * b.truth


def smokes(growth: str) -> Effect:
    """A ceiling detector in the smoke of a fire that grows so; people hold it at the magnitude."""

    def effect(b: Bend) -> Floats:
        shown = min(b.magnitude, float(np.interp(b.since_s, *_fire(growth, "obscuration"))))
        return np.maximum(b.truth, shown * b.share)

    return effect


def heats(growth: str) -> Effect:
    """The same of a heat detector."""

    def effect(b: Bend) -> Floats:
        shown = min(b.magnitude, float(np.interp(b.since_s, *_fire(growth, "layer_c"))))
        return np.maximum(b.truth, shown * b.share)

    return effect


@functools.cache
def _fire(growth: str, what: str) -> tuple[Floats, Floats]:
    """Every 10 s of half an hour."""
    seconds = np.arange(0, 1801, 10, dtype=np.float64)
    return seconds, np.array([getattr(burn(growth, s), what) for s in seconds.tolist()])


def is_set(b: Bend) -> Floats:
    """A state, or a value whatever it was."""
    return np.full_like(b.truth, b.magnitude)


def strikes(b: Bend) -> Floats:
    """A machine at work: so many seconds at the magnitude, as many at rest."""
    return b.magnitude * b.share if b.since_s % (2 * STRIKE_S) < STRIKE_S else b.truth


def cools(b: Bend) -> Floats:
    """How far the daily minimum has fallen, once a night of air at the magnitude has come: from 0 Cel."""
    return np.maximum(b.truth, -b.magnitude * b.share * min(1.0, b.since_s / NIGHT_S))


def blows(b: Bend) -> Floats:
    """The wind of a front, whatever the cold behind it."""
    return np.maximum(b.truth, FRONT_MS * b.share)


def is_nothing(b: Bend) -> Floats:
    return np.zeros_like(b.truth)


def softens(b: Bend) -> Floats:
    """A frequency of a deck that has lost the magnitude of its stiffness over a tenth of its span."""
    return b.truth * frequency_ratio(b.magnitude)


def stands_still(b: Bend) -> Floats:
    """A bearing that no longer moves."""
    return b.at_onset


def counts_nothing(b: Bend) -> Floats:
    """A counter that no longer turns: nothing is used."""
    return b.at_onset


def runs_on(b: Bend) -> Floats:
    """A counter that turns faster: the magnitude is added every hour."""
    return b.truth + b.magnitude * b.share * b.since_s / 3600


def drifts(b: Bend) -> Floats:
    """An instrument that shows ever more than there is: the magnitude is added every hour."""
    return runs_on(b)


COUNTERS: frozenset[Effect] = frozenset({counts_nothing, runs_on})
"""After these a counter goes on from where it stands: what was used, or was not, stays so."""


def is_scaled(b: Bend) -> Floats:
    """The value in another unit: times the magnitude."""
    return b.truth * b.magnitude
