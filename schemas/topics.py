"""Every MQTT filter and Kafka topic: name, key, partitions, retention. `cityvigil migrate` creates them.

Consumer groups are named here too: Faust and Kafka would otherwise derive names from modules, and a
rename would silently start again from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    key: str
    holds: str
    partitions: int | None  # None: as many as Settings.partitions
    retention_ms: int | None = None  # None: for ever (compacted topics)
    compacted: bool = False

    def config(self) -> dict[str, str]:
        """Kafka's topic settings. Compaction waits a week: versions that the log names stay readable."""
        if self.compacted:
            return {"cleanup.policy": "compact", "min.compaction.lag.ms": str(7 * DAY_MS)}
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


READINGS = Topic(
    "readings", "none; the partition is the zone's", "packed frames and control records", None, 7 * DAY_MS
)
REJECTS = Topic("rejects", "source", "JSON: source, reason, received_at, raw base64", 1, 30 * DAY_MS)
ALERTS = Topic("alerts", "district", "JSON, one message per change of an alert", None, 30 * DAY_MS)
ALERTS_SHADOW = Topic("alerts-shadow", "district", "as alerts, of rules in shadow", None, 30 * DAY_MS)
RULES = Topic("rules", "rule name", "JSON rules and version markers", 1, compacted=True)
SENSORS = Topic("sensors", "kind/id", "JSON registry entries and version markers", 1, compacted=True)
CASE_EVENTS = Topic("case-events", "case", "CloudEvents 1.0 JSON", 1, 30 * DAY_MS)

ALL = (READINGS, REJECTS, ALERTS, ALERTS_SHADOW, RULES, SENSORS, CASE_EVENTS)

MESSAGE_MAX_BYTES = 4 * 1024 * 1024
"""A 1 MiB SenML frame packs into less; topics and producers are set to this."""

DETECT_GROUP = "cityvigil-detect"
RECORD_GROUP = "cityvigil-record"
DISPATCH_GROUP = "cityvigil-dispatch"
BYPASS_GROUP = "cityvigil-bypass"
INGEST_CLIENT = "cityvigil-ingest"  # also the MQTT client id of the persistent session

MQTT_UP = "up/#"


def senml_topic(gateway: str) -> str:
    return f"up/{gateway}/senml"


def ack_topic(gateway: str) -> str:
    return f"down/{gateway}/ack"
