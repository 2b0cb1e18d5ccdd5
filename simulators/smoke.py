"""A room on fire: heat release that grows with the square of time, and the smoke that fills the room.

Two layers: the plume carries air into the smoke layer (Zukoski: 0.071 Q^(1/3) z^(5/3) kg/s), the layer
thickens downwards, and its optical density follows the soot that has gone in. No ventilation, no walls that
take heat up: the first minutes only, which are those a detector sees.
"""

from __future__ import annotations

import math
from typing import NamedTuple

GROWTH_KW_S2 = {"smouldering": 0.0004, "slow": 0.00293, "medium": 0.01172, "fast": 0.0469, "ultra": 0.1876}
SOOT_M2_KJ = 0.0067
"""Optical area of the soot of a kilojoule: 0.1 kg/MJ of smoke-making at 67 m2/kg."""
AIR_KG_M3, AIR_KJ_KGK = 1.2, 1.0
AMBIENT_C = 20.0
LOSS = 0.7
"""Share of the heat that ceiling and walls take."""


class Room(NamedTuple):
    area_m2: float = 60.0
    height_m: float = 3.0


class Smoke(NamedTuple):
    """What a ceiling detector is in: obscuration of the layer in %/m, its temperature, and where it ends."""

    obscuration: float
    layer_c: float
    clear_m: float


ROOM = Room()


def burn(growth: str, seconds: float, room: Room = ROOM, step_s: float = 1.0) -> Smoke:
    """The state `seconds` after ignition.

    >>> slow, fast = burn("smouldering", 120), burn("fast", 120)
    >>> slow.obscuration < fast.obscuration, slow.layer_c < 30 < fast.layer_c
    (True, True)
    """
    alpha = GROWTH_KW_S2[growth]
    clear, layer_kg, heat_kj, soot_m2 = room.height_m, 0.01, 0.0, 0.0
    for i in range(int(seconds / step_s)):
        q = alpha * (i * step_s) ** 2
        plume = 0.071 * q ** (1 / 3) * clear ** (5 / 3) if clear > 0.3 else 0.0
        layer_kg += plume * step_s
        heat_kj += (1 - LOSS) * q * step_s
        soot_m2 += SOOT_M2_KJ * q * step_s
        warm = heat_kj / (layer_kg * AIR_KJ_KGK)
        volume = layer_kg / AIR_KG_M3 * (1 + warm / (AMBIENT_C + 273))
        clear = max(0.3, room.height_m - volume / room.area_m2)
    depth = max(0.05, room.height_m - clear)
    extinction = soot_m2 / (depth * room.area_m2)
    return Smoke(
        obscuration=100 * (1 - math.exp(-extinction)),
        layer_c=AMBIENT_C + min(600.0, heat_kj / (layer_kg * AIR_KJ_KGK)),
        clear_m=clear,
    )
