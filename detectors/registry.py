"""Every detector by the name that rules use. In this order a reading's alerts are written."""

from __future__ import annotations

from detectors import blind, ewma, silence, stuck, threshold
from detectors.contract import Detector

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        threshold.DETECTOR,
        stuck.DETECTOR,
        ewma.DETECTOR,
        blind.DETECTOR,
        silence.DETECTOR,
    )
}
