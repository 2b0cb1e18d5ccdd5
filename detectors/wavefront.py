"""Where a pressure wave began: arrival times at loggers against travel times along the pipes.

Misiunas et al. 2005 ("Pipeline break detection using pressure transient monitoring"), Srirangarajan et al.
2013 ("Wavelet-based burst event detection and localization in water distribution systems"), Hampson 2014
(shortest transit times over the network's graph). The moment of the burst is unknown, so only differences
count; that all waves run a few per cent faster or slower than the table says is fitted with the place, held
back by how well speeds are known. What sampling and clocks leave open is said as metres. Waves take the
shortest way; amplitudes, reflections and closed valves that the table does not know are not looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.model import Model, ModelError, unpacked

BY_PIPE = frozenset({"length_m", "wave_m_s", "from_lon", "from_lat", "to_lon", "to_lat"})
BY_LOGGER = frozenset({"from_s", "to_s"})
GRID_M = 10.0
METRES_A_DEGREE = 111_320.0
AS_LIKELY = 6.0
"""How much more a place may leave, in squares of the noise, and still be meant."""
FITS = 3.09  # quantile .999 of what the noise may leave
LEAST_TO_DOUBT = 5
"""Of fewer loggers none can be told to have a wrong clock: any three or four may agree by chance."""


class Network(NamedTuple):
    """Candidates every ten metres: pipe, metres from its first node, position, seconds to each logger."""

    pipe: np.ndarray
    along: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    travel: np.ndarray  # [candidates, loggers]
    length: np.ndarray  # [pipes]


class Origin(NamedTuple):
    """`place` indexes candidates, -1 where no place explains the times; `left_out` is a logger whose time
    agrees with none while all others agree, -1 none."""

    place: int
    within_m: float
    left_out: int


def loaded(model: Model) -> Network:
    """Raises ModelError."""
    arrays = unpacked(model)
    if set(arrays) != BY_PIPE | BY_LOGGER:
        expected = ", ".join(sorted(BY_PIPE | BY_LOGGER))
        raise ModelError(f"expected arrays {expected}, got {', '.join(sorted(arrays))}")
    pipes, left = divmod(len(model.places), 3)
    if not pipes or left:
        raise ModelError("expected places as pipe, first node, second node of each pipe")
    for name, array in arrays.items():
        shape = (pipes, len(model.names)) if name in BY_LOGGER else (pipes,)
        if array.shape != shape or not np.isfinite(array).all():
            raise ModelError(f"{name}: expected numbers of shape {shape}")
    length, speed = arrays["length_m"], arrays["wave_m_s"]
    if (length <= 0).any() or (speed <= 0).any():
        raise ModelError("expected lengths and wave speeds above zero")
    counts = np.ceil(length / GRID_M).astype(np.int64) + 1
    pipe = np.repeat(np.arange(pipes), counts)
    nth = np.arange(len(pipe)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = nth / (counts - 1)[pipe]
    along = share * length[pipe]
    run = (along / speed[pipe])[:, None]
    back = ((length[pipe] - along) / speed[pipe])[:, None]
    travel = np.minimum(arrays["from_s"][pipe] + run, arrays["to_s"][pipe] + back)
    lon = arrays["from_lon"][pipe] + share * (arrays["to_lon"] - arrays["from_lon"])[pipe]
    lat = arrays["from_lat"][pipe] + share * (arrays["to_lat"] - arrays["from_lat"])[pipe]
    return Network(pipe, along, lon, lat, travel, length)


def origin(network: Network, of: np.ndarray, arrived_s: np.ndarray, noise_s: float, speed: float) -> Origin:
    """`of`: loggers that the front reached, `arrived_s` when; `noise_s` of one time, `speed` as a share."""
    best, left = _least(network, of, arrived_s, noise_s, speed)
    if _fits(left[best], len(of)):
        return Origin(best, _within(network, left, best, len(of)), -1)
    if len(of) < LEAST_TO_DOUBT:
        return Origin(-1, np.nan, -1)
    without = []
    for j in range(len(of)):
        rest = np.arange(len(of)) != j
        place, lefts = _least(network, of[rest], arrived_s[rest], noise_s, speed)
        without.append((float(lefts[place]), j, place, lefts))
    least, j, place, lefts = min(without, key=lambda one: one[:2])
    if not _fits(least, len(of) - 1):
        return Origin(-1, np.nan, -1)
    return Origin(place, _within(network, lefts, place, len(of) - 1), int(of[j]))


def _least(
    network: Network, of: np.ndarray, arrived_s: np.ndarray, noise_s: float, speed: float
) -> tuple[int, np.ndarray]:
    """The candidate that leaves least, and what each leaves in squares of the noise."""
    seen = (arrived_s - arrived_s.mean()) / noise_s
    takes = network.travel[:, of] / noise_s
    takes = takes - takes.mean(axis=1, keepdims=True)
    stiff = 1 / max(speed, 1e-6) ** 2
    pace = (takes @ seen + stiff) / ((takes**2).sum(axis=1) + stiff)
    left = ((seen - pace[:, None] * takes) ** 2).sum(axis=1) + stiff * (pace - 1) ** 2
    return int(left.argmin()), left


def _fits(left: float, loggers: int) -> bool:
    free = max(loggers - 2, 1)
    spread = 2 / (9 * free)  # Wilson and Hilferty 1931
    return bool(left <= free * (1 - spread + FITS * np.sqrt(spread)) ** 3)


def _within(network: Network, left: np.ndarray, best: int, loggers: int) -> float:
    likely = left <= left[best] + AS_LIKELY * max(1.0, left[best] / max(loggers - 2, 1))
    east = (network.lon[likely] - network.lon[best]) * np.cos(np.radians(network.lat[best]))
    away = METRES_A_DEGREE * np.hypot(east, network.lat[likely] - network.lat[best])
    return float(away.max()) + GRID_M / 2
