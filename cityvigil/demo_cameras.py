"""The simulated city's cameras in the registry, with the address where their pictures are this time.

Entered at every start, because the port of the simulators is another one each time.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from cityvigil import camera_store
from cityvigil.camera_files import CameraRow
from simulators.cameras import cameras_of
from simulators.city import Zone


def enter(postgres: str, zones: Sequence[Zone], port: int) -> int:
    """How many cameras there are."""
    rows = [
        CameraRow(0, **camera._asdict(), stream=None, state="in-service")
        for camera in cameras_of(zones, f"http://127.0.0.1:{port}")
    ]
    with psycopg.connect(postgres, autocommit=True) as connection:
        camera_store.enter(connection, rows, "the simulators")
    return len(rows)
