"""The simulated city's cameras in the registry: those that show pictures, and channels that only stand there.

The former are entered at every start, because the port of the simulators is another one each time. A
scenario's `cameras` are entered beside them; entered again they change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from cityvigil import camera_store
from cityvigil.camera_files import CameraRow
from simulators.cameras import cameras_of
from simulators.channels import channels
from simulators.city import Zone


def enter(postgres: str, zones: Sequence[Zone], port: int, seed: int = 0, count: int = 0) -> int:
    """How many cameras there are. `count` channels of that seed show nothing."""
    rows = [
        CameraRow(0, **camera._asdict(), stream=None, state="in-service")
        for camera in cameras_of(zones, f"http://127.0.0.1:{port}")
    ]
    rows += [CameraRow(0, *channel) for channel in channels(seed, count)]
    with psycopg.connect(postgres, autocommit=True) as connection:
        camera_store.enter(connection, rows, "the simulators")
    return len(rows)
