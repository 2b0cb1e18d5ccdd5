"""Every detector by the name that rules use. In this order a reading's alerts are written."""

from __future__ import annotations

from detectors import (
    balance,
    blind,
    components,
    deviation,
    ewma,
    neighbours,
    onestep,
    plausible,
    regime,
    seasonal,
    silence,
    spike,
    stuck,
    threshold,
)
from detectors.contract import Detector
from detectors.group import GroupDetector

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
    )
}

ROLES: dict[str, frozenset[str]] = {"balance": balance.TAKEN, "neighbours": frozenset()}
"""Detectors that judge sensors together, and the roles that their rules may name."""

# Of columns that are one vector; offline so far (detectors/recorded.py), no rule names them.
GROUP_DETECTORS: dict[str, GroupDetector] = {
    detector.name: detector
    for detector in (components.DETECTOR, deviation.DETECTOR, onestep.DETECTOR, regime.DETECTOR)
}
