"""Alerts to Kafka: an idempotent producer of our own, beside Faust's consumer.

Live and canary alerts go to `alerts`, those of shadow rules to a topic of their own; the key is the
district, so the messages of an episode keep their order. Sending does not wait; whoever has to know that
alerts are safe waits for the futures. The same (alert_id, seq) may be sent again after a restart: its body
is the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from prometheus_client import Counter, Histogram

from schemas import alert, topics
from schemas.alert import Alert
from schemas.clock import to_us

log = logging.getLogger(__name__)

ALERTS = Counter("cityvigil_detect_alerts_total", "alert messages sent", ["rule", "level", "change", "mode"])
SENSE_TO_ALERT = Histogram(
    "cityvigil_detect_sense_to_alert_seconds",
    "from the gateway's publish of what decided to Kafka's acknowledgement of the alert",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 15, 60),
)

Sent = asyncio.Future[object]


class AlertWriter:
    """Use as an async context manager; leaving it waits for what is under way."""

    def __init__(self, kafka: str, now_us: Callable[[], int]) -> None:
        self._kafka = kafka
        self._now_us = now_us
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> AlertWriter:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_request_size=topics.MESSAGE_MAX_BYTES,
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, alerts: Sequence[Alert]) -> list[Sent]:
        """One future an alert, done when Kafka has it. Raises what the producer raises."""
        assert self._producer is not None, "use as an async context manager"
        sent: list[Sent] = []
        for message in alerts:
            topic = topics.ALERTS_SHADOW if message.mode == "shadow" else topics.ALERTS
            key = (message.district or "").encode()
            future = await self._producer.send(topic.name, alert.encode(message), key=key)
            self._observe(message, future)
            sent.append(future)
        return sent

    def _observe(self, message: Alert, future: Sent) -> None:
        ALERTS.labels(message.rule, message.level, message.change, message.mode).inc()
        log.info(
            "%s: %s of %s, level %d, seq %d",
            message.subject,
            message.change,
            message.rule,
            message.level,
            message.seq,
            extra={"correlation": message.correlation, "alert": message.alert_id},
        )
        if message.published_at is not None:
            published_us = to_us(message.published_at)
            future.add_done_callback(lambda _: self._timed(published_us))

    def _timed(self, published_us: int) -> None:
        SENSE_TO_ALERT.observe(max(0, self._now_us() - published_us) / 1e6)
