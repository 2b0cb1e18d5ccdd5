"""Kafka's disk: when ingest stops taking frames, when it goes on, what it takes for full."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.bridge import Load
from ingest.disk import RELIEF, Disk, is_full, share_used
from ingest.room import Room


async def test_it_closes_at_the_limit_and_opens_when_some_has_come_free() -> None:
    says = [0.0]
    changes: list[bool] = []
    disk = Disk(lambda: says[-1], 0.8, lambda: changes.append(disk.is_full))
    seen = []
    for share in (0.79, 0.8, 0.99, 0.78, 0.76, 0.75, 0.79):
        says.append(share)
        await disk.look()
        seen.append(disk.is_full)
    assert seen == [False, True, True, True, True, False, False]
    assert changes == [True, False]
    assert "limit is 80%" in disk.why()


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.1, 1))
def test_between_the_limit_and_its_relief_it_stays_as_it_was(shares: list[float], limit: float) -> None:
    full = False
    for share in shares:
        before, full = full, is_full(share, limit, full)
        assert full or share < limit
        assert not full or share > limit - RELIEF
        assert full == before or share >= limit or share <= limit - RELIEF


async def test_a_disk_that_cannot_be_looked_at_stops_nobody(tmp_path: Path) -> None:
    disk = Disk(lambda: share_used(tmp_path / "mistyped"), 0.01, lambda: None)
    await disk.look()
    assert not disk.is_full


def test_the_share_is_what_the_system_says(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert share_used(tmp_path) == pytest.approx(usage.used / (usage.used + usage.free), abs=0.02)


async def test_senders_beside_mqtt_wait_while_the_disk_is_full() -> None:
    full = True
    room = Room(Load(), lambda: full)
    assert room.is_full
    room.relieved()
    assert room.is_full
    full = False
    room.relieved()
    await room.wait()
    assert not room.is_full
