"""Measurements of parts, run by hand: `python -m bench.fold`, `bench.snapshots`, `bench.full_disk`, `bench.level_one`."""
