"""Where the city's services are: the local ones of a data folder, else those that the environment names.

Verbs that talk to a running city ask here. In a container no stack runs beside them; there the variables that
every service reads (schemas/settings.py) say where Kafka, the database and the broker are.
"""

from __future__ import annotations

import os
from pathlib import Path

from cityvigil import stack
from cityvigil.errors import CannotRun
from cityvigil.stack import Stack
from cityvigil.wiring import settings_from_environ

REQUIRED = ("CITYVIGIL_MQTT", "CITYVIGIL_KAFKA", "CITYVIGIL_POSTGRES")


def services(data: Path) -> Stack:
    """Raises CannotRun where neither says anything."""
    try:
        return stack.load(data)
    except CannotRun:
        if not named_by_environment():
            raise
    settings = settings_from_environ()
    return Stack(
        data=data.absolute(),
        mqtt=settings.mqtt,
        kafka=settings.kafka,
        postgres=settings.postgres,
        mqtt_user=settings.mqtt_user,
        mqtt_password=settings.mqtt_password,
        mqtt_log=settings.mqtt_log or data / "log" / "mosquitto.log",
        kafka_controller="",
    )


def named_by_environment() -> bool:
    return all(name in os.environ or f"{name}_FILE" in os.environ for name in REQUIRED)
