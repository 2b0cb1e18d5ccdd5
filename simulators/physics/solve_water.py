"""Solves EPANET's Net3 with wntr into `water.npz`: an ordinary day, a burst at each place, a pump out.

    python -m simulators.physics.solve_water     (needs wntr and six)

Pressures are kept as shares of each junction's own mean, so that a city may give its mains another level;
influences as the fall at each junction over the fall at the burst. Net3 has junctions below zero: those under
10 m head at any hour are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import wntr

LEAST_M = 10.0
EMITTER = 0.004  # m3/s per m^0.5: about 25 L/s at 40 m
BURST_AT_S = 3 * 3600
BULK_DECAY_PER_S = -0.5 / 86_400


def main() -> None:
    day = _solved(_model())
    names = [n for n in day.columns if day[n].min() > LEAST_M]
    pressures = day[names].to_numpy()
    reference = pressures[BURST_AT_S // 3600]
    influence = np.zeros((len(names), len(names)))
    for i, name in enumerate(names):
        model = _model(BURST_AT_S)
        model.get_node(name).emitter_coefficient = EMITTER
        fallen = reference - _solved(model)[names].to_numpy()[-1]
        influence[i] = np.clip(fallen / max(fallen[i], 1e-6), 0.0, 1.0)
    target = Path(__file__).with_name("water.npz")
    np.savez_compressed(
        target,
        junctions=np.array(names),
        pressure=(pressures[:24] / pressures[:24].mean(axis=0)).T.astype(np.float32),
        influence=influence.astype(np.float32),
        pump_out=_without_pumps(names, pressures).astype(np.float32),
        chlorine=_chlorine(names).astype(np.float32),
    )
    print(f"{target.name}: {len(names)} junctions, {target.stat().st_size} bytes")


def _model(seconds: int = 24 * 3600) -> Any:
    library = wntr.library.ModelLibrary()
    model = wntr.network.WaterNetworkModel(library.get_filepath("Net3"))
    model.options.time.duration = seconds
    model.options.time.report_timestep = 3600
    model.options.time.hydraulic_timestep = 900
    return model


def _solved(model: Any) -> Any:
    results = wntr.sim.EpanetSimulator(model).run_sim()
    return results.node["pressure"][model.junction_name_list]


def _without_pumps(names: list[str], day: np.ndarray) -> np.ndarray:
    """What is left of the pressure at each junction with the pumps closed at noon."""
    model = _model(12 * 3600)
    for name in model.pump_name_list:
        model.get_link(name).initial_status = wntr.network.LinkStatus.Closed
    for name in list(model.control_name_list):
        control = model.get_control(name)
        if any(str(pump) in str(control) for pump in model.pump_name_list):
            model.remove_control(name)
    left = _solved(model)[names].to_numpy()[-1] / day[12]
    return np.asarray(np.clip(left, 0.0, 1.0))


def _chlorine(names: list[str]) -> np.ndarray:
    """Residual chlorine at each junction and hour as a share of the works', by first-order decay."""
    model = _model(72 * 3600)
    model.options.quality.parameter = "CHEMICAL"
    model.options.reaction.bulk_coeff = BULK_DECAY_PER_S
    for name in model.reservoir_name_list:
        model.add_source(f"works-{name}", name, "CONCEN", 1.0)
        model.get_node(name).initial_quality = 1.0
    for name in [*model.junction_name_list, *model.tank_name_list]:
        model.get_node(name).initial_quality = 0.7
    quality = wntr.sim.EpanetSimulator(model).run_sim().node["quality"][names].to_numpy()
    return np.asarray(np.clip(quality[48:72], 0.0, 1.0).T)


if __name__ == "__main__":
    main()
