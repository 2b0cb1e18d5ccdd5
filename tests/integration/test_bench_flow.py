"""`cityvigil bench flow` beside a running city: what was sent is counted wherever it went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cityvigil.flow.load import gateway_name
from tests.running_city import a_running_city

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_played_load_is_stored_once_and_each_planted_crossing_is_told_once(tmp_path: Path) -> None:
    out = tmp_path / "flow.json"
    with a_running_city() as city:
        done = city.cityvigil(
            "bench", "flow", "--rate", "2000", "--frame", "100", "--seconds", "2",
            "--gateways", "8", "--crossings", "12", "--json", str(out),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        found = json.loads(out.read_text())
        ((rows,),) = city.rows("select count(*) from readings")
        whole = city.cityvigil("ledger", "--json", "-")
        one = city.cityvigil("ledger", "--gateway", "gw-bench-00003")
        none = city.cityvigil("ledger", "--gateway", "gw-none")
    counts = (
        "sent",
        "stored",
        "stored_distinct",
        "rejected",
        "alerts_expected",
        "alerts",
        "alerts_duplicate",
    )
    assert [found[name] for name in counts] == [4000, 4000, 4000, 0, 12, 12, 0]
    assert rows == 4000
    for name in ("sense_to_alert_ms", "sense_to_committed_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p95"] <= found[name]["p99"] <= found[name]["max"]
    assert {"ingest", "detect", "record", "generator", "kafka", "postgres"} <= found["cpu_s"].keys()
    assert found["rss_mb"]["postgres"] > 0
    assert json.loads(whole.stdout) == [
        {
            "gateway": gateway_name(gateway), "said": 5, "answered": 5, "given_up": 0, "awaited": 0,
            "loose": 0, "stored": 500, "rejected": 0, "adds_up": True,
        }
        for gateway in range(8)
    ]  # fmt: skip
    assert one.stdout.splitlines()[1].split() == ["gw-bench-00003", "5", "5", "0", "0", "0", "500", "0"]
    assert (none.returncode, none.stderr) == (
        2, "cityvigil ledger: nothing was ever heard of gateway gw-none\n")  # fmt: skip
