"""Measurements of parts, run by hand: `python -m bench.NAME`."""
