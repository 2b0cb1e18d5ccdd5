"""BATADAL: Taormina et al. 2018, "Battle of the attack detection algorithms". Data set 04, learnt from 03.

S is half the time-to-detection score (one minus the mean share of an attack that passed before it was seen)
and half the mean of true positive and true negative rate by the hour. Several quantiles of the same limit are
listed, because a figure that holds at one of them only is no result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cityvigil.quality import peers, plain
from cityvigil.quality.events import Row, Span, spans, tally
from cityvigil.score import judge
from cityvigil.score_csv import read
from detectors import onestep
from detectors.profiles import GROUPS, Group
from detectors.recorded import Limits

QUANTILES = (0.995, 0.996, 0.997, 0.998, 0.999)


def s_score(alert: np.ndarray, attacks: list[Span]) -> tuple[float, float]:
    """S and the true negative rate."""
    truth = np.zeros(len(alert), bool)
    passed = []
    for first, last in attacks:
        truth[first : last + 1] = True
        seen = np.flatnonzero(alert[first : last + 1])
        passed.append(seen[0] / (last - first + 1) if len(seen) else 1.0)
    positive, negative = float(alert[truth].mean()), float((~alert[~truth]).mean())
    return 0.5 * (1 - float(np.mean(passed))) + 0.5 * (positive + negative) / 2, negative


def measure(folder: Path) -> Iterator[Row]:
    path = folder / "train_attacks_dataset04.csv"
    live, clean = read(path, "timestamp"), read(folder / "train_clean_dataset03.csv", "timestamp")
    attacks = spans(read(path, "timestamp", ("label",)).values[:, 0] > 0)

    def row(method: str, alert: np.ndarray) -> Row:
        s, negative = s_score(alert, attacks)
        seen = tally(live.at, alert, attacks, sensors=len(live.names), late_s=0.0)
        return Row("batadal", method, {"s": s, "true_negative_rate": negative} | seen.figures())

    known = np.zeros(len(live.at), bool)
    for first, last in attacks:
        known[first : last + 1] = True
    yield row("perfect detector", known)
    yield row("null detector", ~known & False)
    yield row("3 sigma", plain.three_sigma(clean.values, live.values) >= 1)
    yield row("fixed limits", plain.fixed_limits(clean.values, live.values) >= 1)
    forest = peers.isolation_forest(clean.values, live.values)
    if forest is not None:
        yield row("isolation forest", forest >= 1)
    for name, score in peers.by_pyod(clean.values, live.values).items():
        yield row(f"pyod {name}", score >= 1)
    walked = peers.our_forest(GROUPS["network"])
    if walked is not None:
        yield row("our forest", judge(walked, live, clean, Limits()).alert)
    default = onestep.Settings().quantile
    for quantile in QUANTILES:
        detector = replace(onestep.DETECTOR, settings=onestep.Settings(quantile=quantile))
        profile = Group("network", detector, GROUPS["network"].learn_rows)
        note = " (default)" if quantile == default else ""
        yield row(f"profile network, q {quantile}{note}", judge(profile, live, clean, Limits()).alert)
