"""Solves pandapipes' Schutterwald gas network into `gas.npz`: pressures over load, and leaks.

    python -m simulators.physics.solve_gas     (needs pandapipes and pandas < 3)

Pressures are kept as shares of the supply's at loads from a fifth to twice the planned; a leak's influence
as the fall at each kept junction over the fall at the leak. Every twentieth junction is kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapipes as pp
import pandapipes.networks as nets

KEEP_EVERY = 20
LOADS = np.array([0.2, 0.5, 0.8, 1.0, 1.3, 1.6, 2.0])
LEAKS = 24
LEAK_KG_S = 0.005


def main() -> None:
    net = nets.schutterwald_gas()
    pp.pipeflow(net)
    supply = float(net.ext_grid.p_bar.max())
    served = net.res_junction.p_bar.dropna().index.to_numpy()
    kept = served[::KEEP_EVERY]
    planned = net.sink.mdot_kg_per_s.to_numpy().copy()
    over_load = np.zeros((len(kept), len(LOADS)))
    for i, load in enumerate(LOADS):
        net.sink["mdot_kg_per_s"] = planned * load
        pp.pipeflow(net)
        over_load[:, i] = net.res_junction.p_bar.loc[kept].to_numpy() / supply
    net.sink["mdot_kg_per_s"] = planned
    pp.pipeflow(net)
    before = net.res_junction.p_bar.loc[kept].to_numpy()
    places = kept[np.linspace(0, len(kept) - 1, LEAKS).round().astype(int)]
    influence = np.zeros((LEAKS, len(kept)))
    for i, place in enumerate(places):
        leak = pp.create_sink(net, int(place), LEAK_KG_S)
        pp.pipeflow(net)
        fallen = before - net.res_junction.p_bar.loc[kept].to_numpy()
        influence[i] = np.clip(fallen / max(fallen.max(), 1e-12), 0.0, 1.0)
        net.sink.drop(leak, inplace=True)
    target = Path(__file__).with_name("gas.npz")
    np.savez_compressed(
        target,
        loads=LOADS.astype(np.float32),
        pressure=over_load.astype(np.float32),
        places=np.searchsorted(kept, places),
        influence=influence.astype(np.float32),
    )
    print(f"{target.name}: {len(kept)} of {len(served)} junctions, supply {supply} bar, "
          f"lowest share {over_load.min():.3f}, {target.stat().st_size} bytes")  # fmt: skip


if __name__ == "__main__":
    main()
