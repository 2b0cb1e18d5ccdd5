"""GECCO 2018, drinking water (Rehbach et al. 2018): 70,000 minutes of nine quantities at one outlet.

VUS-PR of the causal score, and events found at what false alerts. The first ten days, which nobody looks at,
are there to learn from; no label of them is used, and all rows count in the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cityvigil.quality import peers, plain
from cityvigil.quality.events import Row, spans, tally
from cityvigil.quality.vus import vus_pr
from cityvigil.score import judge
from cityvigil.score_csv import read
from detectors.profiles import GROUPS
from detectors.recorded import Limits

LEARN = 14_400


def measure(folder: Path) -> Iterator[Row]:
    path = folder / "gecco2018_water_quality_first70000.csv"
    file = read(path, "timestamp")
    label = (read(path, "timestamp", ("label",)).values[:, 0] > 0).astype(int)
    events = spans(label)

    def row(method: str, score: np.ndarray, alert: np.ndarray) -> Row:
        seen = tally(file.at, alert, events, sensors=len(file.names), merge_s=3600.0, late_s=0.0)
        return Row("gecco", method, {"vus_pr": vus_pr(label, score)} | seen.figures())

    yield row("perfect detector", label.astype(float), label > 0)
    yield row("null detector", np.zeros(len(label)), np.zeros(len(label), bool))
    for method, plainly in (("3 sigma", plain.three_sigma), ("fixed limits", plain.fixed_limits)):
        score = plainly(file.values[:LEARN], file.values)
        yield row(method, score, score >= 1)
    forest = peers.isolation_forest(file.values[:LEARN], file.values)
    if forest is not None:
        yield row("isolation forest", forest, forest >= 1)
    for name, score in peers.by_pyod(file.values[:LEARN], file.values).items():
        yield row(f"pyod {name}", score, score >= 1)
    walked = peers.our_forest(GROUPS["place"])
    if walked is not None:
        marks = judge(walked, file, None, Limits())
        yield row("our forest", marks.score, marks.alert)
    marks = judge(GROUPS["place"], file, None, Limits())
    yield row("profile place", marks.score, marks.alert)
