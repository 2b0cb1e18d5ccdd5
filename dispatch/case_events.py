"""Case transitions onto the topic `case-events`, as CloudEvents 1.0 JSON.

The transitions table is its own outbox: a row is published until Kafka has acknowledged it, in the
order of each case, at least once under the id `{case}/{seq}`. Kafka being away only makes it wait. Before it
leaves, a row gets its place in the audit's chain, and takes it along: so the log is a witness of the table.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from dispatch import audit_chain, ledger, views

BATCH = 200
SOURCE = "/cityvigil/dispatch"


def cloud_event(row: dict[str, Any]) -> dict[str, Any]:
    """The event of one transition; its data is the transition and the case after it."""
    transition = ledger.transition_of(row)
    return {
        "specversion": "1.0",
        "id": f"{transition.case_id}/{transition.seq}",
        "source": SOURCE,
        "type": f"cityvigil.case.{transition.action.value}",
        "subject": transition.case_id,
        "time": views.plain(transition.at),
        "datacontenttype": "application/json",
        "data": {
            "transition": views.transition_item(transition),
            "case": row["snapshot"],
            "audit": {"position": row["position"], "chain": row["chain"]},
        },
    }


async def publish(
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    producer: AIOKafkaProducer,
    topic: str,
) -> int:
    """Publishes what waits, in batches; says how many. Raises KafkaError or psycopg.OperationalError."""
    total = 0
    async with pool.connection() as connection:
        await audit_chain.extend(connection)
    while True:
        async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            # Locked, so that a second dispatch publishes other rows or waits for these.
            await cursor.execute(
                "select * from case_transitions where not published and position is not null"
                " order by position limit %s for update",
                (BATCH,),
            )
            rows = await cursor.fetchall()
            sent = [
                await producer.send(
                    topic, key=row["case_id"].encode(), value=msgspec.json.encode(cloud_event(row))
                )
                for row in rows
            ]
            for future in sent:
                await future
            await cursor.execute(
                "update case_transitions set published = true where id = any(%s)",
                ([row["id"] for row in rows],),
            )
        total += len(rows)
        if len(rows) < BATCH:
            return total
