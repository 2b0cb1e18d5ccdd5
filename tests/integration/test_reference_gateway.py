"""The gateway to copy, at a platform that says nothing, then something: window, resend, back-off."""

from __future__ import annotations

import ast
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from simulators import reference_gateway
from simulators.reference_gateway import WINDOW, Gateway, Outbox
from tests.integration.test_gateway_client import Platform, stored
from tests.services import Mqtt

pytestmark = pytest.mark.integration


def step_until(true: Callable[[], object], gateway: Gateway, what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"waited for: {what}"
        gateway.step(0.01)


def test_unanswered_it_resends_its_window_ever_more_patiently_and_answered_it_sends_the_rest(
    mqtt: Mqtt, unique: str, tmp_path: Path
) -> None:
    secret = mqtt.add_gateway(unique)
    platform = Platform(mqtt, f"up/{unique}/senml")
    platform.answers = lambda _: None
    now_s = [1_000.0]
    outbox = Outbox(tmp_path / "outbox")
    gateway = Gateway(
        f"{mqtt.host}:{mqtt.port}", unique, secret, outbox, rng=random.Random(3), now=lambda: now_s[0]
    )
    try:
        step_until(lambda: platform.subscribed, gateway, "the platform listens")

        def all_seen(times: int) -> bool:
            return len(platform.seen) == times * WINDOW

        for value in range(WINDOW + 6):
            gateway.submit([{"n": "p", "v": value}])
        for times, patience_s in enumerate((30, 60, 120, 240, 480, 600, 600), start=1):
            step_until(partial(all_seen, times), gateway, f"round {times}")
            assert gateway.resends_at is not None
            wait_s = gateway.resends_at - now_s[0]
            assert 0.5 * patience_s <= wait_s <= 1.5 * patience_s
            now_s[0] = gateway.resends_at
        sequences = [one.sequence for one in platform.seen]
        assert sequences == list(range(1, WINDOW + 1)) * (len(sequences) // WINDOW)
        platform.answers = stored
        step_until(lambda: not len(outbox), gateway, "everything is answered")
        assert {one.sequence for one in platform.seen} == set(range(1, WINDOW + 7))
        assert gateway.resends_at is None
    finally:
        gateway.close()
        outbox.close()
        platform.close()


def test_who_lost_the_outbox_file_goes_on_in_a_new_epoch_and_who_kept_it_in_the_old_one(
    tmp_path: Path,
) -> None:
    first = Outbox(tmp_path / "outbox")
    first.put(b"1")
    first.put(b"2")
    assert first.drop(1)
    first.close()
    again = Outbox(tmp_path / "outbox")
    assert (again.epoch, again.next, again.between(0, 99)) == (first.epoch, 3, [(2, b"2")])
    assert Outbox(tmp_path / "other").epoch > first.epoch


def test_one_file_is_enough() -> None:
    source = Path(reference_gateway.__file__).read_text(encoding="utf-8")
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"paho"}
