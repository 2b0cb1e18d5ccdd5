"""How long alerts were late after a kill, as a consumer of `alerts` sees it.

A listener notes when each pulse's alert arrives; the delay of a kill is the time until every pulsing gateway
has been heard again with readings that were sent after it, so it counts the slowest partition and up to one
beat. Wall time of this machine; what it is worth, the machine's load says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from aiokafka.errors import KafkaError

from cityvigil.flow import log as logs
from cityvigil.flow.log import Told
from schemas.clock import to_us

log = logging.getLogger(__name__)

LOOK_S = 0.05
HEARD_WITHIN_S = 300.0
AGAIN_S = 0.2


class Listener:
    def __init__(self, kafka: str, gateways: Collection[str]) -> None:
        self._kafka = kafka
        self._gateways = frozenset(gateways)
        self._told: list[Told] = []

    async def run(self, first: Mapping[int, int]) -> None:
        """Until cancelled. Kafka away is waited for; of what is read again the first time counts."""
        while True:
            try:
                await logs.listen(self._kafka, first, self._told)
            except (KafkaError, OSError) as error:
                log.warning("listening to alerts: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def heard_again(self, since_us: int) -> float | None:
        """Seconds until every gateway was heard with readings from after `since_us`; None: not in time."""
        heard: dict[str, int] = {}
        at = 0
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                while heard.keys() != self._gateways:
                    for told in self._told[at:]:
                        self._note(told, since_us, heard)
                    at = len(self._told)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return None
        return (max(heard.values()) - since_us) / 1e6

    def _note(self, told: Told, since_us: int, heard: dict[str, int]) -> None:
        gateway, published = told.alert.subject.split("/")[1], told.alert.published_at
        if gateway in self._gateways and published and to_us(published) >= since_us:
            heard.setdefault(gateway, told.arrived_us)
