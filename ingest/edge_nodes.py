"""Sparkplug B's edge nodes over the MQTT session: births, data, deaths, and what is asked of them.

The edge node's id is the gateway's. Readings go by `ingest/admission.py`; a rebirth is asked for where a
message is missing or an alias unknown; one that comes too early waits for those before it, `reorder_us` at
most. A node that dies is silent at once, and what it or its device last said is stored again as of no more
use (`link_lost`, never scored), as the specification wants such values stale. PUBACK comes when Kafka has
the message. Commands are not published; our state is the session's to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from prometheus_client import Counter

from ingest.admission import Admission, Arrival
from ingest.connections.reordering import Reordering, Turn
from ingest.formats import sparkplug
from ingest.formats.result import Item, Reading, Reply, Seen
from ingest.formats.sparkplug import EdgeNodes, Said
from ingest.message import Message
from schemas.clock import CityClock
from schemas.reading import Quality

log = logging.getLogger(__name__)

PREFIX = "spBv1.0/"
FILTER = "spBv1.0/#"
LAST_KEPT = 200_000
"""Last values over all nodes: further points do not become stale, they only fall silent."""

REBIRTHS = Counter("cityvigil_ingest_sparkplug_rebirths_total", "births asked for")
OUT_OF_ORDER = Counter(
    "cityvigil_ingest_sparkplug_out_of_order_total", "messages that waited for one before them"
)
DEATHS = Counter("cityvigil_ingest_sparkplug_deaths_total", "nodes and devices that died", ["what"])


class Nodes:
    """`say` publishes (topic, payload, None), `acknowledge` sends a PUBACK, `lost` hears of the dead."""

    def __init__(
        self,
        *,
        admission: Admission,
        clock: CityClock,
        say: Callable[[str, bytes, None], None],
        acknowledge: Callable[[Message], None],
        lost: Callable[[str], None],
        now: Callable[[], int],
        reorder_us: int,
    ) -> None:
        self._admission, self._clock = admission, clock
        self._say, self._acknowledge, self._lost = say, acknowledge, lost
        self._now = now
        self._nodes = EdgeNodes()
        self._order: Reordering[tuple[Message, Said]] = Reordering(reorder_us)
        self._waits = asyncio.Event()
        self._last: dict[tuple[str, str], dict[str, dict[str, Reading]]] = {}  # node -> device -> point
        self._kept = 0

    async def run(self) -> None:
        """Until cancelled: lets go on what has waited long enough for what is missing before it."""
        while True:
            due_us = self._order.next_us
            if due_us is None:
                self._waits.clear()
                await self._waits.wait()
            elif (left_us := due_us - self._now()) > 0:
                await asyncio.sleep(left_us / 1e6)
            else:
                self._read_all(self._order.due(due_us))

    def receive(self, message: Message) -> None:
        """One message of a topic below spBv1.0/."""
        said = sparkplug.read(message.payload, message.topic)
        if isinstance(said, list):
            self._take(message, said)
        elif said.kind is None or said.kind in ("NCMD", "DCMD"):
            self._take(message, self._nodes.understood(said, message.received_wall))
        else:
            node, size = (said.group, said.edge), len(message.payload)
            turns = self._order.take(
                node, said.kind, said.number, (message, said), size, message.received_wall
            )
            if not turns:
                OUT_OF_ORDER.inc()
            self._read_all(turns)
            if self._order.next_us is not None:
                self._waits.set()

    def finish(self) -> None:
        """Nothing waits any more: what is missing will not be heard by us."""
        while (due_us := self._order.next_us) is not None:
            self._read_all(self._order.due(due_us))

    def _read_all(self, turns: list[Turn[tuple[Message, Said]]]) -> None:
        for turn in turns:
            message, said = turn.message
            self._take(message, self._nodes.understood(said, message.received_wall, may_ask=turn.may_ask))

    def _take(self, message: Message, items: list[Item]) -> None:
        for item in items:
            if isinstance(item, Reply) and item.topic is not None:
                REBIRTHS.inc()
                self._say(item.topic, item.data, None)
        parts = message.topic.split("/")
        is_birth = len(parts) > 2 and parts[2] in ("NBIRTH", "DBIRTH")
        items = [item for item in items if not _is_no_reading(item, is_birth)]
        if len(parts) < 4 or any(isinstance(item, Seen) and item.frame == "state" for item in items):
            self._acknowledge(message)
            return
        node, device = (parts[1], parts[3]), parts[4] if len(parts) > 4 else ""
        gateway = node[1]
        is_death = any(isinstance(item, Seen) and item.frame in ("ndeath", "ddeath") for item in items)
        if is_death:
            items = [*items, *self._stale(node, device, message.received_wall)]
            DEATHS.labels("device" if device else "node").inc()
            if not device:
                log.info("edge node %s of group %s is dead", gateway, node[0])
                self._lost(gateway)
        elif parts[2] in ("NCMD", "DCMD"):
            self._acknowledge(message)  # what we or others asked of a node is no word of the node
            return
        else:
            self._remember(node, device, items)
        is_alive = parts[2] != "NDEATH"
        came = Arrival(
            "sparkplug",
            items,
            message.payload,
            message.topic,
            gateway,
            message.received_wall,
            gateway,
            is_alive,
        )
        stored = self._admission.admit(came).stored
        if message.qos:
            stored.add_done_callback(lambda _: self._acknowledge(message))

    def _remember(self, node: tuple[str, str], device: str, items: list[Item]) -> None:
        last = self._last.setdefault(node, {}).setdefault(device, {})
        for item in items:
            if isinstance(item, Reading) and item.value is not None and not item.historical:
                if item.point not in last:
                    if self._kept >= LAST_KEPT:
                        continue
                    self._kept += 1
                last[item.point] = item

    def _stale(self, node: tuple[str, str], device: str, wall_us: int) -> list[Item]:
        """What it last said, as of now and of no more use; it must be said anew after the next birth."""
        if device:
            gone = [self._last.get(node, {}).pop(device, {})]
        else:
            gone = list(self._last.pop(node, {}).values())
        now_us = self._clock.city_us(wall_us)
        stale = [one for points in gone for one in points.values()]
        self._kept -= len(stale)
        return [one._replace(time_us=now_us, quality=Quality.link_lost) for one in stale]


def _is_no_reading(item: Item, is_birth: bool) -> bool:
    """Births name what the protocol itself needs, and metrics that have no value yet."""
    if not isinstance(item, Reading):
        return False
    point = item.point
    return point == "bdSeq" or point.startswith("Node Control/") or (is_birth and item.value is None)
