"""Solves a small sewer with SWMM into `drainage.npz`: how deep it stands under steady rain, and how fast.

    python -m simulators.physics.solve_drainage     (needs pyswmm)

Six manholes drain streets into a trunk; an underpass drains into a sump with one pump; the trunk ends in
an outfall. Each rain of a series falls for three hours: the depth then, and the time to 63 % of it, are kept
for the sewer as built, with the trunk blocked, and with the pump out of order.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from pyswmm import Nodes, Simulation

RAINS_MM_H = np.array([2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0])
NODES = ("M1", "M2", "M3", "M4", "M5", "M6", "U1", "S1")
STEP_S = 60
RAIN_S = 3 * 3600


def main() -> None:
    depth = np.zeros((3, len(NODES), len(RAINS_MM_H)))
    lag = np.zeros_like(depth)
    for j, rain in enumerate(RAINS_MM_H):
        for i, (trunk_m, pump) in enumerate(((0.8, "ON"), (0.16, "ON"), (0.8, "OFF"))):
            series = _depths(rain, trunk_m, pump)
            depth[i, :, j] = series[-1]
            over = series >= 0.63 * series[-1]
            lag[i, :, j] = STEP_S * (1 + over.argmax(axis=0))
    target = Path(__file__).with_name("drainage.npz")
    np.savez_compressed(
        target,
        nodes=np.array(NODES),
        rains=RAINS_MM_H.astype(np.float32),
        depth=depth.astype(np.float32),
        lag=lag.astype(np.float32),
    )
    print(f"{target.name}: {target.stat().st_size} bytes")
    for i, name in enumerate(("as built", "trunk blocked", "pump out")):
        print(name, dict(zip(NODES, depth[i].round(2).tolist(), strict=True)))


def _depths(rain_mm_h: float, trunk_m: float, pump: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.inp"
        model.write_text(_model(rain_mm_h, trunk_m, pump))
        rows = []
        with Simulation(str(model)) as run:
            nodes = [Nodes(run)[name] for name in NODES]
            run.step_advance(STEP_S)
            for _ in run:
                rows.append([node.depth for node in nodes])
    return np.array(rows[: RAIN_S // STEP_S])


def _model(rain_mm_h: float, trunk_m: float, pump: str) -> str:
    lines = ["[OPTIONS]", "FLOW_UNITS CMS", "INFILTRATION HORTON", "FLOW_ROUTING DYNWAVE",
             "START_DATE 01/01/2026", "END_DATE 01/01/2026", "END_TIME 03:10:00", "ROUTING_STEP 10",
             "WET_STEP 00:01:00", "DRY_STEP 00:01:00", "REPORT_STEP 00:01:00", "ALLOW_PONDING YES",
             "[RAINGAGES]", "R INTENSITY 0:05 1.0 TIMESERIES rain",
             "[TIMESERIES]"]  # fmt: skip
    lines += [f"rain {m // 60}:{m % 60:02d} {rain_mm_h}" for m in range(0, 195, 5)]
    junctions, areas, sub, loss, pipes, sections = [], [], [], [], [], []
    for i in range(1, 7):
        ground = 13.0 - i
        junctions.append(f"M{i} {ground - 3.5:.2f} 3.5 0 0 400")
        areas.append(f"A{i} R M{i} 1.6 70 120 1.0 0")
        sub.append(f"A{i} 0.015 0.2 1.5 5 25 OUTLET")
        loss.append(f"A{i} 60 6 4 7 0")
        to = f"M{i + 1}" if i < 6 else "O1"
        pipes.append(f"P{i} M{i} {to} 180 0.013 0 0")
        sections.append(f"P{i} CIRCULAR {trunk_m if i == 6 else 0.5 + 0.06 * i:.2f} 0 0 0")
    areas.append("AU R U1 0.9 95 60 3.0 0")
    sub.append("AU 0.015 0.2 1.0 5 50 OUTLET")
    loss.append("AU 60 6 4 7 0")
    junctions.append("U1 2.0 0.6 0 0 500")
    pipes.append("PU U1 S1 30 0.013 0 0")
    sections.append("PU CIRCULAR 0.6 0 0 0")
    return "\n".join([
        *lines,
        "[SUBCATCHMENTS]", *areas, "[SUBAREAS]", *sub, "[INFILTRATION]", *loss,
        "[JUNCTIONS]", *junctions,
        "[STORAGE]", "S1 -1.0 4.0 0.3 FUNCTIONAL 0 0 40",
        "[OUTFALLS]", "O1 2.5 FREE NO", "O2 5.0 FREE NO",
        "[CONDUITS]", *pipes, "[XSECTIONS]", *sections,
        "[PUMPS]", f"PP S1 O2 curve {pump} {'0.8 0.3' if pump == 'ON' else '0 0'}",
        "[CURVES]", "curve PUMP4 0.0 0.0", "curve 0.5 0.10", "curve 2.0 0.22", "curve 4.0 0.30",
        "[REPORT]", "INPUT NO", "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
