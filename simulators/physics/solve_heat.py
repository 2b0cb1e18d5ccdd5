"""Solves pandapipes' Schutterwald heat network into `heat.npz`: temperatures and pressures over load, leaks.

    python -m simulators.physics.solve_heat     (needs pandapipes and pandas < 3)

Supply and return junctions are kept apart. Temperatures are kept as what the pipes lose on the way, as a
share of the difference between supply and ground; pressures as shares of the pump's; a leak's
influence as the change at each junction over the largest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapipes as pp
import pandapipes.networks as nets

LOADS = np.array([0.7, 0.85, 1.0, 1.15])
GROUND_K = 283.15
LEAKS = 16
LEAK_KG_S = 0.3


def main() -> None:
    net = _solved(1.0)
    pump = net.circ_pump_pressure.iloc[0]
    supply = _joined(net, int(pump.flow_junction))
    back = _joined(net, int(pump.return_junction))
    lost, head = [], []
    for load in LOADS:
        result = _solved(load).res_junction
        fall_k = pump.t_flow_k - result.t_k.loc[supply].to_numpy()
        lost.append(fall_k / (pump.t_flow_k - GROUND_K))
        head.append(result.p_bar.loc[supply].to_numpy() / pump.p_flow_bar)
    target = Path(__file__).with_name("heat.npz")
    np.savez_compressed(
        target,
        loads=LOADS.astype(np.float32),
        lost=np.clip(np.array(lost).T, 0, 1).astype(np.float32),
        head=np.array(head).T.astype(np.float32),
        influence=_influence(net, supply).astype(np.float32),
        return_influence=_influence(net, back).astype(np.float32),
    )
    print(f"{target.name}: {len(supply)} supply and {len(back)} return junctions, "
          f"most lost {np.max(lost):.3f}, {target.stat().st_size} bytes")  # fmt: skip


def _solved(load: float, drawing: int | None = None) -> Any:
    """The network solved afresh: a second solution of the same one does not converge. A leak out of the
    loop does not converge either, so it is drawn through the consumer beside it, `drawing`."""
    net = nets.schutterwald_heat()
    net.heat_consumer["qext_w"] *= load
    net.heat_consumer["controlled_mdot_kg_per_s"] *= load
    if drawing is not None:
        net.heat_consumer.loc[drawing, "controlled_mdot_kg_per_s"] += LEAK_KG_S
    pp.pipeflow(net, mode="sequential", iter=100)
    return net


def _joined(net: Any, start: int) -> np.ndarray:
    """The junctions that pipes and valves reach from `start`, not through a consumer."""
    edges = [*zip(net.pipe.from_junction, net.pipe.to_junction, strict=True)]
    edges += [*zip(net.valve.junction, net.valve.element, strict=True)]
    reached, front = {start}, [start]
    while front:
        here = front.pop()
        for a, b in edges:
            for one, other in ((a, b), (b, a)):
                if one == here and other not in reached:
                    reached.add(int(other))
                    front.append(int(other))
    solved = set(net.res_junction.p_bar.dropna().index)
    return np.array(sorted(reached & solved))


def _influence(net: Any, junctions: np.ndarray) -> np.ndarray:
    before = net.res_junction.p_bar.loc[junctions].to_numpy()
    places = np.linspace(0, len(net.heat_consumer) - 1, LEAKS).round().astype(int)
    rows = np.zeros((LEAKS, len(junctions)))
    for i, place in enumerate(places):
        after = _solved(1.0, int(net.heat_consumer.index[place])).res_junction.p_bar.loc[junctions]
        moved = np.abs(before - after.to_numpy())
        rows[i] = np.clip(moved / max(moved.max(), 1e-9), 0, 1)
    return rows


if __name__ == "__main__":
    main()
