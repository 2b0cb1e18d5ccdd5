"""Detect's own snapshots, for verbs that only look: where this installation keeps them, never changed here.

With several workers on machines of their own the store that they share is read; where none can be reached
from here the answer is None, and whoever asks says so.
"""

from __future__ import annotations

from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from cityvigil import where
from cityvigil.wiring import settings_from_environ
from streams.places import NoPlace, place_of
from streams.state import Snapshots


async def snapshots_of(kafka: str, data: Path) -> Snapshots | None:
    """Raises KafkaError."""
    named = settings_from_environ() if where.named_by_environment() else None
    url = (named.snapshots or str(named.data / "detect")) if named else str(data / "detect")
    return snapshots_at(url, await cluster_of(kafka))


def snapshots_at(url: str, cluster: str) -> Snapshots | None:
    """As they are there now."""
    try:
        place = place_of(url, cluster, "reader")
        place.names()
    except (NoPlace, OSError):
        return None
    return Snapshots(place)


async def cluster_of(kafka: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
