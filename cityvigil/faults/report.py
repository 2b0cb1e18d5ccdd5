"""The result of a run of kills, as data and as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cityvigil.faults.measure import Done, Run
from cityvigil.faults.plan import SERVICES, Step

PROMISED_S = {"kafka": 15.0}
WORKER_S = 3.0
"""What is promised of a worker's kill; of brokers other than Kafka nothing is."""


def result(seed: int, steps: Sequence[Step], run: Run, counts: dict[str, Any]) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "seed": seed,
        "exact": not run.wrong,
        "wrong": list(run.wrong),
        "compared": counts,
        "targets": table(run.done),
        "took_s": run.took_s,
        "steps_planned": len(steps),
        "steps": [
            {
                "step": one.step.name,
                "gaps_s": list(one.step.gaps_s),
                "back_s": round(one.back_s, 2),
                "alert_s": None if one.alert_s is None else round(one.alert_s, 2),
            }
            for one in run.done
        ],
    }


def table(done: Sequence[Done]) -> list[dict[str, Any]]:
    """A row for each target killed alone or otherwise disturbed, and one for those killed together."""
    rows: dict[str, list[Done]] = {}
    for one in done:
        alone = len(one.step.targets) == 1 or one.step.kind == "join"
        name = f"{one.step.kind} {one.step.targets[-1]}" if alone else "kill several at once"
        rows.setdefault(name, []).append(one)
    return [_row(name, some) for name, some in rows.items()]


def _row(name: str, some: Sequence[Done]) -> dict[str, Any]:
    delays = [one.alert_s for one in some if one.alert_s is not None]
    target = name.removeprefix("kill ")
    promised = PROMISED_S.get(target, WORKER_S if target in SERVICES else None)
    return {
        "what": name,
        "times": len(some),
        "alert_s_p50": round(float(np.median(delays)), 2) if delays else None,
        "alert_s_max": round(max(delays), 2) if delays else None,
        "promised_s": promised,
        "kept": None if promised is None or not delays else max(delays) < promised,
    }


def lines(found: dict[str, Any]) -> list[str]:
    rows = [f"{'what':<24}{'times':>6}{'p50 s':>8}{'max s':>8}  promise"]
    for row in found["targets"]:
        kept = {None: "", True: "kept", False: "missed"}[row["kept"]]
        promise = f"< {row['promised_s']:g} s {kept}" if row["promised_s"] else ""
        delays = f"{row['alert_s_p50'] or 0:>8.2f}{row['alert_s_max'] or 0:>8.2f}"
        rows.append(f"{row['what']:<24}{row['times']:>6}{delays}  {promise}")
    rows.append(", ".join(f"{name} {count}" for name, count in found["compared"].items()))
    rows.append(f"{len(found['steps'])} of {found['steps_planned']} steps; took " + ", ".join(
        f"{what} {seconds:.0f} s" for what, seconds in found["took_s"].items()
    ))  # fmt: skip
    rows += [f"wrong: {line}" for line in found["wrong"]]
    rows.append("exact" if found["exact"] else "not exact")
    return rows
