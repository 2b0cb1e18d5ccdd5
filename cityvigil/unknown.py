"""Points that nobody registered, with the newest values they sent and what they probably are.

Which they are says the registry, what they sent says the database; what they probably are is
dispatch/suggest.py's guess.
"""

from __future__ import annotations

from typing import Any

import psycopg

from cityvigil.errors import CannotRun
from dispatch.suggest import suggest
from schemas.registry import Registry

EXAMPLES = 5


def unknown_points(registry: Registry, postgres: str, zone: str | None = None) -> list[dict[str, Any]]:
    """By number. Raises CannotRun without the database."""
    waiting = [
        sensor
        for _, sensor in sorted(registry.by_number.items())
        if sensor.state == "waiting" and zone in (None, sensor.zone)
    ]
    siblings: dict[str, list[tuple[str, str]]] = {sensor.gateway: [] for sensor in waiting}
    for sensor in registry.sensors.values():
        if sensor.category is not None and sensor.gateway in siblings:
            siblings[sensor.gateway].append((sensor.point, sensor.category))
    examples = _examples(postgres, [sensor.sensor for sensor in waiting])
    return [
        {
            "sensor": sensor.sensor,
            "gateway": sensor.gateway,
            "point": sensor.point,
            "unit": sensor.unit,
            "zone": sensor.zone,
            "examples": examples.get(sensor.sensor, []),
            "suggested": [
                one._asdict()
                for one in suggest(
                    sensor.point, sensor.unit, examples.get(sensor.sensor, []), siblings[sensor.gateway]
                )
            ],
        }
        for sensor in waiting
    ]


def _examples(postgres: str, sensors: list[int]) -> dict[int, list[float]]:
    """The newest values of each, newest first, as far back as its health was noted."""
    query = """
        select h.sensor, r.value from (
            select sensor, max(last_at) as last_at from sensor_health where sensor = any(%s) group by sensor
        ) h cross join lateral (
            select value from readings
            where sensor = h.sensor and time > h.last_at - interval '1 day' and time <= h.last_at
            order by time desc limit %s
        ) r
    """
    found: dict[int, list[float]] = {}
    try:
        with psycopg.connect(postgres, autocommit=True) as connection:
            for sensor, value in connection.execute(query, [sensors, EXAMPLES]):
                found.setdefault(sensor, []).append(value)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable) as error:
        raise CannotRun(f"PostgreSQL at {postgres}: {' '.join(str(error).split())}") from error
    return found
