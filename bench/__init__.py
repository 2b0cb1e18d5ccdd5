"""Measurements of parts, run by hand: `python -m bench.fold`, `python -m bench.snapshots`."""
