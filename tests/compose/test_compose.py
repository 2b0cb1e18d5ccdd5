"""compose.yaml is right as far as that can be known without Docker: by its schema, by our settings and verbs.

The schema is the Compose Specification's own (compose-spec.json, its licence beside it).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cityvigil import kafka, mosquitto
from cityvigil.cli import build_parser
from cityvigil.whole_city import SERVICES
from schemas.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"].startswith("cityvigil:")}
RUN_FOR_EVER = {*SERVICES, "simulate"}

VARIABLE = re.compile(r"\$\{([A-Z0-9_]+):-([^}]*)\}")


def filled(value: str) -> str:
    """As compose does where .env says nothing."""
    return VARIABLE.sub(r"\2", value)


def environment(service: Mapping[str, Any], secrets: Path) -> dict[str, str]:
    """What a service's process finds, with the secrets in a folder of this machine."""
    return {
        name: filled(value).replace("/run/secrets", str(secrets))
        for name, value in service["environment"].items()
    }


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name in COMPOSE["secrets"]:
        (tmp_path / name).write_text("postgresql://u:p@h/d" if name == "postgres_dsn" else "secret")
    return tmp_path


def test_the_file_follows_the_compose_specification() -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []


def test_there_is_a_service_for_each_verb_that_is_one() -> None:
    verbs = next(action.choices for action in build_parser()._actions if action.dest == "verb")
    assert verbs is not None
    assert set(OURS) >= RUN_FOR_EVER | {"migrate"}
    for name, service in OURS.items():
        command = service["command"]
        verb, *rest = command if isinstance(command, list) else filled(command).split()
        assert verb in verbs
        assert not rest
        assert name in (verb, "tools")


@pytest.mark.parametrize("name", OURS)
def test_each_of_our_services_is_told_what_the_settings_want_and_nothing_they_do_not_read(
    name: str, secrets: Path
) -> None:
    known = {field.metadata["name"] for field in Settings.__dataclass_fields__.values()}
    told = {variable.removesuffix("_FILE") for variable in OURS[name]["environment"]}
    assert told <= known
    settings = Settings.from_environ(environment(OURS[name], secrets))
    assert (settings.mqtt_password, settings.postgres) == ("secret", "postgresql://u:p@h/d")
    for address in (settings.mqtt, settings.kafka):
        assert address.rpartition(":")[0] in COMPOSE["services"]
    assert OURS[name]["volumes"][0] == f"data:{settings.data}"


def test_ingest_reads_the_log_that_the_broker_writes_and_can_change_none_of_its_files(secrets: Path) -> None:
    settings = Settings.from_environ(environment(OURS["ingest"], secrets))
    home = settings.data / mosquitto.NAME
    assert settings.mqtt_log == mosquitto.log_file(home)
    assert COMPOSE["services"]["broker-log"]["command"] == [str(mosquitto.log_file(home))]
    assert f"broker:{home}:ro" in OURS["ingest"]["volumes"]
    for name in ("mosquitto", "broker-log"):
        assert COMPOSE["services"][name]["volumes"] == [f"broker:{home}"]


@pytest.mark.parametrize("name", sorted(RUN_FOR_EVER))
def test_a_service_is_healthy_when_its_readyz_says_so(name: str, secrets: Path) -> None:
    settings = Settings.from_environ(environment(OURS[name], secrets))
    test = " ".join(OURS[name]["healthcheck"]["test"])
    assert f"http://127.0.0.1:{settings.http_port}/readyz" in test
    assert settings.http_host == "0.0.0.0"


def test_every_name_that_a_service_refers_to_is_defined() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
        for profile in service.get("profiles", []):
            assert profile in ("demo", "production", "tools")


def test_what_is_waited_for_to_be_healthy_has_a_health_check() -> None:
    for service in COMPOSE["services"].values():
        for name, how in service.get("depends_on", {}).items():
            other = COMPOSE["services"][name]
            waits_for_health = how["condition"] == "service_healthy"
            assert not waits_for_health or "test" in other["healthcheck"]
            optional = bool(other.get("profiles")) and not service.get("profiles")
            assert how.get("required", True) is not optional


def test_no_password_stands_in_the_file() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|DSN|POSTGRES_FILE|SECRET", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert "://" not in TEXT.replace("http://127.0.0.1:8080/readyz", "").replace("PLAINTEXT://", "").replace(
        "CONTROLLER://", ""
    )


def test_images_of_others_are_pinned_and_ports_open_on_this_machine_only() -> None:
    for name, service in COMPOSE["services"].items():
        assert name in OURS or re.search(r":\d+\.\d+\.\d+(-|$)", service["image"])
        for port in service.get("ports", []):
            assert filled(port).startswith("127.0.0.1:")


def test_our_containers_can_change_nothing_but_their_data() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_kafka_is_set_as_the_local_one_is() -> None:
    local = dict(line.split("=", 1) for line in kafka.CONFIG.splitlines() if "=" in line)
    places = {"listeners", "log.dirs", "controller.quorum.voters"}
    told = COMPOSE["services"]["kafka"]["environment"]
    differing = {
        key
        for key, value in local.items()
        if key not in places and told.get("KAFKA_" + key.upper().replace(".", "_")) != value
    }
    assert differing == set()
    jar = re.search(
        r"<kafka\.version>([\d.]+)<|<version>(4[\d.]+)<", (ROOT / "kafka-jars/pom.xml").read_text()
    )
    assert jar
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{jar[1] or jar[2]}"


def test_secrets_and_env_stay_out_of_the_repository_and_of_the_image() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/secrets/", "/.env"} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert all(str(one["file"]).startswith("secrets/") for one in COMPOSE["secrets"].values())
    assert os.path.commonpath([one["file"] for one in COMPOSE["secrets"].values()]) == "secrets"
