"""Who else works in the group of detect: workers that share partitions need one store of snapshots.

A partition that moves to another worker goes on from its newest snapshot. If each worker kept its own in a
folder of its own, the partition would be read again from the log instead, every time it moves: so a worker
whose folder is not declared shared does not join others, and of several only the first stays.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError

from schemas import topics


class NotAlone(RuntimeError):
    """Others are in the group, and the snapshots are this worker's alone. One line says what to do."""


def client_id(worker: str) -> str:
    return f"{topics.DETECT_GROUP}-{worker}"


async def members(kafka: str) -> list[str]:
    """The client ids of the group's members, each once. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        while True:
            try:
                (answer,) = await admin.describe_consumer_groups([topics.DETECT_GROUP])
                break
            except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
                await asyncio.sleep(0.2)  # a fresh Kafka makes the topic of groups when it is first asked
    finally:
        await admin.close()
    found: list[dict[str, Any]] = answer.to_object()["groups"]
    return sorted({str(member["client_id"]) for group in found for member in group["members"]})


async def refuse(kafka: str, worker: str, snapshots: str, *, joining: bool) -> None:
    """Raises NotAlone if there are others; of those that are in already, the first by name may stay."""
    found = await members(kafka)
    others = [name for name in found if name != client_id(worker)]
    if others and (joining or min(others) < client_id(worker)):
        raise NotAlone(
            f"detect worker {worker} would share partitions with {', '.join(others)}, but its snapshots lie"
            f" in {snapshots}, a folder of this machine: set CITYVIGIL_SNAPSHOTS to a store that every worker"
            f" reaches (s3://BUCKET/PATH), or CITYVIGIL_SNAPSHOTS_SHARED=yes if that folder is one"
        )
