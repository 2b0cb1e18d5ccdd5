"""Every detector by the name that rules use. In this order a reading's alerts are written."""

from __future__ import annotations

from collections.abc import Callable

from detectors import (
    balance,
    blind,
    clock,
    cusum,
    ewma,
    fitted,
    front,
    locate,
    modal,
    neighbours,
    night_flow,
    noise_change,
    novelty,
    plausible,
    seasonal,
    silence,
    spike,
    stuck,
    threshold,
    wavefront,
)
from detectors.contract import Detector
from schemas.model import Model

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        threshold.DETECTOR,
        stuck.DETECTOR,
        plausible.DETECTOR,
        spike.DETECTOR,
        ewma.DETECTOR,
        cusum.DETECTOR,
        noise_change.DETECTOR,
        seasonal.DETECTOR,
        novelty.DETECTOR,
        blind.DETECTOR,
        clock.DETECTOR,
        silence.DETECTOR,
        balance.DETECTOR,
        neighbours.DETECTOR,
        fitted.DETECTOR,
        locate.DETECTOR,
        night_flow.DETECTOR,
        modal.DETECTOR,
        front.DETECTOR,
    )
}

ROLES: dict[str, frozenset[str]] = {
    "balance": balance.TAKEN,
    "neighbours": frozenset(),
    "fitted": frozenset(),
    "locate": frozenset(),
    "night-flow": night_flow.ROLES,
    "modal": frozenset({modal.ROLE}),
    "front": front.ROLES,
}
"""Detectors that judge sensors together, and the roles that their rules may name."""

MEASURES: dict[str, frozenset[str]] = {
    "balance": frozenset({"v", "dev", "sigma"}),
    "neighbours": frozenset({"v", "sigma"}),
    "fitted": frozenset({"v"}),
    "locate": frozenset({"v"}),
    "night-flow": frozenset({"v", "dev"}),
    "modal": frozenset({"dev"}),
    "front": frozenset({"v"}),
}
"""And what their cells may measure (detectors/verdict.py)."""
MODELS: dict[str, Callable[[Model], object]] = {
    "fitted": fitted.loaded,
    "locate": locate.loaded,
    "front": wavefront.loaded,
}
"""Detectors whose rules carry a model, and what reads it; it raises ModelError."""
WITHOUT_MODEL = frozenset({"front"})
"""Those of them that say less without one, but something."""

PARAMS: dict[str, dict[str, tuple[float, float]]] = {
    "cusum": cusum.PARAMS,
    "noise-change": noise_change.PARAMS,
    "novelty": novelty.PARAMS,
}
"""Of detectors that say so: the parameters that their rules may have, from where to where."""

# Of columns that are one vector: files offline (detectors/recorded.py), rules with a model live.
GROUP_DETECTORS = fitted.FITTABLE
