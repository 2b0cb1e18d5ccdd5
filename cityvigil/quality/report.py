"""All sets that a folder holds, measured; as a table for people and as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cityvigil.errors import CannotRun
from cityvigil.quality import batadal, gecco, heat, nab, river, skab
from cityvigil.quality.events import Row

SETS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "nab": ("nab", nab.measure),
    "skab": ("skab", skab.measure),
    "batadal": ("batadal", batadal.measure),
    "gecco": ("gecco2018_water", gecco.measure),
    "heat": ("xai4heat_heat", heat.measure),
    "river": ("lro_river", river.measure),
}


def measure(data: Path, only: Sequence[str] = ()) -> Iterator[Row]:
    """A row for each method and set, sets that are not in the folder left out."""
    chosen = {name: entry for name, entry in SETS.items() if not only or name in only}
    there = {name: entry for name, entry in chosen.items() if (data / entry[0]).is_dir()}
    if not there or (only and len(there) < len(chosen)):
        missing = ", ".join(folder for name, (folder, _) in chosen.items() if name not in there)
        raise CannotRun(f"{data}: expected a folder of recordings, none is called {missing}")
    for folder, run in there.values():
        yield from run(data / folder)


def line(row: Row) -> str:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row.figures.items())
    return f"{row.set:8} {row.method:32} {figures}"
