"""What compose needs beside compose.yaml: secrets and .env, the broker's files, the image's build steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from cityvigil import cli, mosquitto, process, where
from cityvigil.errors import CannotRun
from ingest.broker_log import Lines, Refusal
from schemas.clock import CityClock
from schemas.reading import Reason
from schemas.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/prepare.sh", tmp_path / "deploy")
    return tmp_path


def prepare(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "deploy/prepare.sh", *options], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def contents(checkout: Path) -> dict[str, str]:
    return {
        str(path.relative_to(checkout)): path.read_text() for path in checkout.rglob("*") if path.is_file()
    }


def test_secrets_are_made_once_and_fit_one_another(checkout: Path) -> None:
    assert prepare(checkout).returncode == 0
    made = contents(checkout)
    assert prepare(checkout).returncode == 0
    assert contents(checkout) == made
    wanted = yaml.safe_load((ROOT / "compose.yaml").read_text())["secrets"]
    assert {one["file"] for one in wanted.values()} == {name for name in made if name.startswith("secrets/")}
    dsn = conninfo_to_dict(made["secrets/postgres_dsn"])
    assert (dsn["host"], dsn["password"]) == ("timescaledb", made["secrets/postgres_password"])
    assert made["secrets/mqtt_password"] != made["secrets/postgres_password"]
    assert len(made["secrets/mqtt_password"]) == 48
    assert stat.S_IMODE((checkout / "secrets").stat().st_mode) == 0o700


def test_a_demo_has_a_clock_of_its_own_and_never_changes_the_one_of_a_city(checkout: Path) -> None:
    assert prepare(checkout, "--demo").returncode == 0
    line = re.search("^CITY_CLOCK=(.*)$", (checkout / ".env").read_text(), re.MULTILINE)
    assert line
    clock = CityClock.parse(line[1])
    assert (clock.scale, clock.base_us) == (60.0, clock.wall0_us)
    (checkout / ".env").write_text("MQTT_PORT=1883\n")
    refused = prepare(checkout, "--demo")
    assert (refused.returncode, (checkout / ".env").read_text()) == (1, "MQTT_PORT=1883\n")
    assert "not for a demo" in refused.stderr
    assert prepare(checkout, "--production").returncode == 2


@pytest.mark.integration
def test_the_broker_that_compose_runs_lets_in_who_the_local_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, port = tmp_path / "data", process.pick_ports(1)[0]
    (tmp_path / "mqtt_password").write_text("of ingest\n")
    for name, value in {
        "CITYVIGIL_MQTT": f"mosquitto:{port}",
        "CITYVIGIL_MQTT_PASSWORD_FILE": str(tmp_path / "mqtt_password"),
        "CITYVIGIL_KAFKA": "kafka:9092",
        "CITYVIGIL_POSTGRES": "postgresql://u@h/d",
        "CITYVIGIL_DATA": str(data),
    }.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["broker"]) == 0
    assert cli.main(["gateways", "add", "gw-1", "--data", str(data)]) == 0
    secret = json.loads(capsys.readouterr().out.splitlines()[-1])["secret"]
    assert cli.main(["broker"]) == 0  # as at the next start: who is known stays known
    with a_broker(data / "mosquitto"):
        assert process.wait(lambda: mosquitto.answers(port, "cityvigil", "of ingest"), 10)
        assert mosquitto.answers(port, "gw-1", secret)
        assert not mosquitto.answers(port, "gw-1", "guessed")
        log = mosquitto.log_file(data / "mosquitto")
        assert process.wait(lambda: bool(refusals(log)), 60)
        assert [(one.source, one.reason) for one in refusals(log)] == [("gw-1", Reason.credentials)]


def refusals(log: Path) -> list[Refusal]:
    """What ingest would count of it."""
    lines = Lines()
    return [found for line in log.read_bytes().splitlines() if (found := lines.read(line))]


@contextmanager
def a_broker(home: Path) -> Iterator[None]:
    config = home / "mosquitto.conf"
    if os.geteuid() == 0:  # the container does not run as root; here root's folder is to be read
        config.write_text(config.read_text() + "user root\n")
    with subprocess.Popen([mosquitto.program(), "-c", config], stderr=subprocess.DEVNULL) as broker:
        try:
            yield
        finally:
            broker.terminate()


def test_a_secret_may_stand_in_a_file_and_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environ = {
        "CITYVIGIL_MQTT": "m:1",
        "CITYVIGIL_KAFKA": "k:1",
        "CITYVIGIL_POSTGRES_FILE": str(tmp_path / "dsn"),
    }
    with pytest.raises(ValueError, match=r"CITYVIGIL_POSTGRES_FILE=.*No such file"):
        Settings.from_environ(environ)
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d\n")
    assert Settings.from_environ(environ).postgres == "postgresql://u:p@h/d"
    assert Settings.from_environ(environ | {"CITYVIGIL_POSTGRES": "postgresql://x@h/d"}).postgres.endswith(
        "x@h/d"
    )


def test_verbs_find_the_services_that_the_environment_names_where_no_stack_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in where.REQUIRED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotRun, match="no stack runs under"):
        where.services(tmp_path)
    monkeypatch.setenv("CITYVIGIL_MQTT", "mosquitto:1883")
    monkeypatch.setenv("CITYVIGIL_KAFKA", "kafka:9092")
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d")
    monkeypatch.setenv("CITYVIGIL_POSTGRES_FILE", str(tmp_path / "dsn"))
    found = where.services(tmp_path)
    assert (found.kafka, found.postgres) == ("kafka:9092", "postgresql://u:p@h/d")


def test_the_image_holds_the_product_and_installs_nothing_unpinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    copied = {
        pair[0] for pair in re.findall(r"^COPY (\w+) (\w+)$", DOCKERFILE, re.MULTILINE) if pair[0] == pair[1]
    }
    assert copied == packages
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert packages | {"requirements.lock", "requirements-build.lock", "pyproject.toml", "LICENSE"} == let_in
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)
    assert {*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)} == {"python:3.11.14-slim-bookworm"}


def test_the_image_runs_as_a_user_who_is_not_root_and_owns_the_data() -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user == [("10001", "10001")]
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("ENTRYPOINT")
    mosquitto_in_compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["mosquitto"]
    assert mosquitto_in_compose["user"] == "10001:10001"


def test_the_file_that_keeps_the_brokers_log_small_empties_it_at_its_limit(tmp_path: Path) -> None:
    """The loop of compose.yaml, once, as its shell runs it."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["broker-log"]
    shell, flag, words = service["entrypoint"]
    once = words.replace("$$", "$").replace("while sleep 60", "for once in 1")
    log = tmp_path / "mosquitto.log"
    for size, left in ((process.LOG_KEPT_BYTES, 0), (process.LOG_KEPT_BYTES - 1, process.LOG_KEPT_BYTES - 1)):
        log.touch()
        os.truncate(log, size)
        subprocess.run([shell, flag, once, str(log)], check=True)
        assert log.stat().st_size == left
    subprocess.run([shell, flag, once, str(tmp_path / "none")], check=True)
    assert not (tmp_path / "none").exists()
