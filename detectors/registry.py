"""Every detector by the name that rules use. In this order a reading's alerts are written."""

from __future__ import annotations

from detectors import (
    balance,
    blind,
    ewma,
    fitted,
    neighbours,
    plausible,
    seasonal,
    silence,
    spike,
    stuck,
    threshold,
)
from detectors.contract import Detector

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        threshold.DETECTOR,
        stuck.DETECTOR,
        plausible.DETECTOR,
        spike.DETECTOR,
        ewma.DETECTOR,
        seasonal.DETECTOR,
        blind.DETECTOR,
        silence.DETECTOR,
        balance.DETECTOR,
        neighbours.DETECTOR,
        fitted.DETECTOR,
    )
}

ROLES: dict[str, frozenset[str]] = {
    "balance": balance.TAKEN,
    "neighbours": frozenset(),
    "fitted": frozenset(),
}
"""Detectors that judge sensors together, and the roles that their rules may name."""

# Of columns that are one vector: files offline (detectors/recorded.py), rules with a model live.
GROUP_DETECTORS = fitted.FITTABLE
