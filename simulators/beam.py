"""A bridge deck as a beam: its natural frequencies with stiffness lost here, a bearing gone there.

Euler-Bernoulli elements with two degrees of freedom a node, simply supported; a bearing is a spring. Only
ratios to the sound beam are given, so span and material cancel out. Computed once per fault, not per step.
"""

from __future__ import annotations

import functools

import numpy as np

from simulators.network import Floats

ELEMENTS = 40
BEARING = 1e4
"""Stiffness of a sound support against that of the beam, EI/L^3: stiff, but not rigid."""


def stiffness_and_mass(stiffness: Floats, bearings: Floats) -> tuple[Floats, Floats]:
    """The matrices of a beam of unit length, EI and mass. `stiffness` of each element and `bearings` of
    the two supports are shares of the sound ones."""
    n = len(stiffness)
    h = 1 / n
    bend = np.array([[12, 6 * h, -12, 6 * h], [6 * h, 4 * h * h, -6 * h, 2 * h * h],
                     [-12, -6 * h, 12, -6 * h], [6 * h, 2 * h * h, -6 * h, 4 * h * h]]) / h**3  # fmt: skip
    mass = np.array([[156, 22 * h, 54, -13 * h], [22 * h, 4 * h * h, 13 * h, -3 * h * h],
                     [54, 13 * h, 156, -22 * h], [-13 * h, -3 * h * h, -22 * h, 4 * h * h]])  # fmt: skip
    mass *= h / 420
    k, m = np.zeros((2 * n + 2, 2 * n + 2)), np.zeros((2 * n + 2, 2 * n + 2))
    for i, share in enumerate(stiffness):
        at = slice(2 * i, 2 * i + 4)
        k[at, at] += share * bend
        m[at, at] += mass
    k[0, 0] += BEARING * bearings[0]
    k[-2, -2] += BEARING * bearings[1]
    return k, m


def frequencies(stiffness: Floats, bearings: Floats) -> Floats:
    """Natural frequencies, lowest first, in units of sqrt(EI / (mass L^4)) radians.

    >>> f = frequencies(np.ones(40), np.ones(2))
    >>> bool(abs(f[0] / np.pi**2 - 1) < 0.005)  # pi^2 on rigid supports
    True
    """
    k, m = stiffness_and_mass(stiffness, bearings)
    half = np.linalg.inv(np.linalg.cholesky(m))
    squared = np.linalg.eigvalsh(half @ k @ half.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float64)


@functools.lru_cache(maxsize=64)
def frequency_ratio(lost: float, where: float = 0.5, width: float = 0.1) -> float:
    """First frequency with a share `lost` of the stiffness over `width` of the span, to the sound one.

    >>> 0.90 < frequency_ratio(0.5) < 0.93
    True
    """
    stiffness = np.ones(ELEMENTS)
    middle = (np.arange(ELEMENTS) + 0.5) / ELEMENTS
    stiffness[np.abs(middle - where) <= width / 2] = 1 - lost
    sound = frequencies(np.ones(ELEMENTS), np.ones(2))[0]
    return float(frequencies(stiffness, np.ones(2))[0] / sound)


@functools.lru_cache(maxsize=64)
def influence(positions: int) -> Floats:
    """Reaction of the first bearing under a unit load at each of `positions` places along the span."""
    k, _ = stiffness_and_mass(np.ones(ELEMENTS), np.ones(2))
    at = np.linspace(0, ELEMENTS, positions).round().astype(int)
    loads = np.zeros((len(k), positions))
    loads[2 * at, np.arange(positions)] = 1.0
    sunk = np.linalg.solve(k, loads)
    return np.asarray(BEARING * sunk[0], dtype=np.float64)
