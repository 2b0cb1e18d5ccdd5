"""Everything a service is told by its environment; the only reader of `os.environ`.

A missing or malformed value stops the program with one line that names the variable. A secret can stand in a
file instead: NAME_FILE names the file that holds what NAME would. What operators tune (rules, units,
registry) is data, not settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from schemas.clock import CityClock


class SettingsError(ValueError):
    """A variable is missing or malformed; the message names it."""


def _var(name: str, parse: Callable[[str], Any], default: str | None, says: str) -> Any:
    """A setting's field: how its variable is named, parsed and described."""
    return field(metadata={"name": f"CITYVIGIL_{name}", "parse": parse, "default": default, "says": says})


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("expected HOST:PORT")
    return text


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("expected a whole number from 1 up")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise ValueError("expected a port number, 0 = any free one")
    return int(text)


def _dsn(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://USER@HOST:PORT/DATABASE")
    return text


def _text(environ: Mapping[str, str], name: str, default: str | None) -> str | None:
    if name in environ or f"{name}_FILE" not in environ:
        return environ.get(name, default)
    path = environ[f"{name}_FILE"]
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is no text"
        raise SettingsError(f"{name}_FILE={path!r}: {why}") from None


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text == "yes"


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise ValueError("expected a share of the whole, such as 0.8")
    return share


def _reorder_s(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 30:
        raise ValueError("expected seconds, 0 to 30")
    return seconds


def _optional_number(text: str) -> int | None:
    if text and not text.isdigit():
        raise ValueError("expected a whole number or nothing")
    return int(text) if text else None


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


# ruff: noqa: RUF009 - `_var` is dataclasses.field with a name; each call makes its own field
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    mqtt: str = _var("MQTT", _address, None, "broker, HOST:PORT")
    mqtt_user: str = _var("MQTT_USER", str, "cityvigil", "ingest's account at the broker")
    mqtt_password: str = _var("MQTT_PASSWORD", str, "", "its password")
    mqtt_log: Path | None = _var("MQTT_LOG", _optional_path, "", "the broker's log file, read for refusals")
    kafka: str = _var("KAFKA", _address, None, "bootstrap server, HOST:PORT")
    kafka_disk: Path | None = _var(
        "KAFKA_DISK", _optional_path, "", "a path on Kafka's disk, empty = not watched"
    )
    kafka_disk_limit: float = _var(
        "KAFKA_DISK_LIMIT", _share, "0.8", "of it used: from here ingest answers nothing"
    )
    postgres: str = _var("POSTGRES", _dsn, None, "postgresql://USER@HOST:PORT/DATABASE")
    data: Path = _var("DATA", Path, "var", "folder of snapshots, journals and local services")
    clock: CityClock = _var("CLOCK", CityClock.parse, "0,0,1", "city clock, BASE_US,WALL0_US,SCALE")
    partitions: int = _var("PARTITIONS", _positive, "4", "partitions of readings and alerts")
    worker: str = _var("WORKER", str, "1", "this worker's number in its group")
    snapshots: str = _var("SNAPSHOTS", str, "", "detect's snapshots: a folder or store URL, empty = in DATA")
    snapshots_shared: bool = _var(
        "SNAPSHOTS_SHARED", _yes_or_no, "no", "yes: every detect worker reaches that folder"
    )
    http_host: str = _var("HTTP_HOST", str, "127.0.0.1", "address of health, metrics and console")
    http_port: int = _var("HTTP_PORT", _port, "0", "its port, 0 = any free one")
    field_host: str = _var("FIELD_HOST", str, "127.0.0.1", "address that gateways of the field connect to")
    hj212_port: int = _var("HJ212_PORT", _port, "0", "TCP port for HJ 212, 0 = none")
    gb26875_port: int = _var("GB26875_PORT", _port, "0", "TCP port for GB/T 26875.3, 0 = none")
    sl651_port: int = _var("SL651_PORT", _port, "0", "TCP port for SL 651, 0 = none")
    door_port: int = _var("DOOR_PORT", _port, "0", "second MQTT port, for topics that name nobody, 0 = none")
    sparkplug_reorder_s: float = _var(
        "SPARKPLUG_REORDER_S", _reorder_s, "1", "a Sparkplug message waits so long for those before it"
    )
    push_port: int = _var("PUSH_PORT", _port, "0", "HTTP port for pushes of CTWing and OneNET, 0 = none")
    push_secret: str = _var("PUSH_SECRET", str, "", "what proves a push: OneNET's token, CTWing's address")
    push_certificate: Path | None = _var("PUSH_CERTIFICATE", _optional_path, "", "TLS for pushes, PEM")
    push_key: Path | None = _var("PUSH_KEY", _optional_path, "", "its key, if not in the same file")
    webhook: str = _var("WEBHOOK", str, "", "address that notifications are posted to, empty = none")
    scenario: str = _var("SCENARIO", str, "first-light", "what the simulators play: a name or a .yaml file")
    seed: int | None = _var("SEED", _optional_number, "", "another seed for it")
    log_level: str = _var("LOG", str, "info", "debug, info, warning or error")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises SettingsError for the first variable that is missing or malformed."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for item in fields(cls):
            name, default = item.metadata["name"], item.metadata["default"]
            text = _text(environ, name, default)
            if text is None:
                raise SettingsError(f"{name} is not set: {item.metadata['says']}")
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                raise SettingsError(f"{name}={text!r}: {error}") from None
        return cls(**values)

    @classmethod
    def describe(cls) -> str:
        """A line per variable, for --help."""
        rows = []
        for item in fields(cls):
            default = item.metadata["default"]
            tail = "required" if default is None else f"default {default!r}"
            rows.append(f"  {item.metadata['name']:<24} {item.metadata['says']} ({tail})")
        return "\n".join(rows)
