"""`cityvigil replay` through everything that runs: broker, ingest, Kafka, detect, historian, dispatch."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cityvigil import gateways
from cityvigil.replay import Order, secret_of
from cityvigil.replay_csv import read
from cityvigil.stack import Stack
from tests.running_city import RunningCity, a_running_city

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROWS = 40


@pytest.fixture(scope="module")
def city() -> Iterator[RunningCity]:
    with a_running_city() as made:
        yield made


def _write(path: Path) -> Path:
    """Ten-minute rows of 2019: a pH that leaves its range for good, and a column nobody registered."""
    lines = ["DATETIME;pH 1;note;flow"]
    for row in range(ROWS):
        ph = 7.4 if row < 20 else 9.2
        moment = dt.datetime(2019, 5, 4, 10) + dt.timedelta(minutes=10 * row)
        lines.append(
            f"{moment:%d/%m/%y %H:%M};{ph + 0.01 * (row % 3):.2f};ok;{'' if row == 3 else 10 + row % 7}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_recorded_with_its_own_times_and_judged_by_the_rules(
    city: RunningCity, tmp_path: Path
) -> None:
    file = _write(tmp_path / "ph.csv")
    out = tmp_path / "result.json"
    done = city.cityvigil(
        "replay", str(file), "--gateway", "gw-lab", "--zone", "lab-01",
        "--map", "pH 1=water_ph", "--json", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    readings = 2 * ROWS - 1
    assert json.loads(out.read_text()) == {
        "sent": readings, "acked": readings, "rejected": 0, "alerts": 1, "cases": 1}  # fmt: skip
    assert done.stdout == f"sent {readings}, acked {readings}, rejected 0, alerts 1, cases 1\n"
    found = city.rows(
        "select point, category, state, count(*), min(time) from readings join sensors using (sensor)"
        " where gateway = %s group by point, category, state order by point", "gw-lab",
    )  # fmt: skip
    begins = dt.datetime(2019, 5, 4, 10, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    assert found == [
        ("flow", None, "waiting", ROWS - 1, begins),
        ("pH 1", "water_ph", "in-service", ROWS, begins),
    ]
    ((subject, level, zone, unit),) = city.rows(
        "select subject, cases.level, cases.zone, unit from alerts join cases using (case_id)"
    )
    assert (subject, level, zone, unit) == ("sensor/gw-lab/pH 1", 2, "lab-01", "water-group")


def test_a_second_replay_goes_on_with_the_kept_secret_and_says_what_was_refused(
    city: RunningCity, tmp_path: Path
) -> None:
    file = tmp_path / "old.csv"
    file.write_text("time,flow\n1999-12-31T10:00:00Z,1\n2019-06-04T10:01:00Z,2\n")
    done = city.cityvigil("replay", str(file), "--gateway", "gw-lab", "--speed", "1e9")
    assert done.returncode == 1, done.stderr
    assert done.stdout == "sent 2, acked 1, rejected 1, alerts 0, cases 0\n"


def test_a_secret_is_kept_where_it_was_asked_for_and_read_from_there(stack: Stack, tmp_path: Path) -> None:
    file, secret = tmp_path / "short.csv", tmp_path / "secret"
    file.write_text("time,a\n2019-05-04T10:00:00Z,1\n")
    order = Order(read(file), "gw-kept", None, {}, secret, None)
    made = secret_of(order, stack.data)
    assert secret.stat().st_mode & 0o077 == 0
    assert secret_of(order, stack.data) == made
    secret.write_text(json.dumps({"gateway": "gw-kept", "secret": "as-printed"}))
    assert secret_of(order, stack.data) == "as-printed"


def test_what_cannot_be_replayed_is_said_in_one_line(city: RunningCity, tmp_path: Path) -> None:
    file = tmp_path / "short.csv"
    file.write_text("time,a\n2019-05-04T10:00:00Z,1\n")
    gateways.add(city.data, "gw-foreign")
    unknown = city.cityvigil("replay", str(file), "--gateway", "gw-foreign")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr == (
        "cityvigil replay: gateway gw-foreign has a secret that is not known here: give it with"
        " --secret-file, or make a new one with `cityvigil gateways rotate gw-foreign`\n"
    )
    category = city.cityvigil("replay", str(file), "--gateway", "gw-x", "--map", "a=nonsense")
    assert category.returncode == 2
    assert "expected a category of the catalogue, got 'nonsense'" in category.stderr
    assert category.stderr.count("\n") == 1


def test_a_second_city_in_the_folder_is_refused_and_its_brokers_may_be_asked_for(city: RunningCity) -> None:
    second = city.cityvigil("up", "--no-simulators")
    assert second.returncode == 2
    assert f"a city runs in {city.data} already: `cityvigil up` (pid " in second.stderr
    assert second.stderr.count("\n") == 1
    assert city.cityvigil("stack", "up").returncode == 0
