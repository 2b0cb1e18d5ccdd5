"""Every detector by the name that rules use. In this order a reading's alerts are written."""

from __future__ import annotations

from detectors import (
    blind,
    components,
    deviation,
    ewma,
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
    )
}

# Of columns that are one vector; offline so far (detectors/recorded.py), no rule names them.
GROUP_DETECTORS: dict[str, GroupDetector] = {
    detector.name: detector
    for detector in (components.DETECTOR, deviation.DETECTOR, onestep.DETECTOR, regime.DETECTOR)
}
