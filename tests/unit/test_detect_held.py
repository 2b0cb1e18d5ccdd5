"""What a partition takes of what is delivered: each offset once, in order, and nothing silently skipped."""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from detectors.fold import Partition
from detectors.program import compile_program
from detectors.snapshot import pack
from schemas.registry import Registry
from schemas.rule import Rule
from streams.held import Held, LostMessages, Message, Partitions
from streams.lane import Lane
from streams.places import Folder
from streams.rules import Versions
from streams.state import Header, Snapshots
from tests.builders import a_registry, a_rule, a_sensor


@dataclass(slots=True)
class Delivered:
    offset: int
    value: Any

    def ack(self, consumer: Any) -> bool:
        return True


def messages(*offsets: int) -> list[Message]:
    return [Delivered(offset, f"at {offset}".encode()) for offset in offsets]


@pytest.fixture
def held() -> Held:
    """A partition whose state holds everything before offset 10."""
    lane = Lane(0, Versions("nowhere:1"), Partition(compile_program(Registry(), [], 0)), next_offset=10)
    return Held(lane, generation=1)


def offsets_taken(held: Held, *offsets: int) -> list[int]:
    taken = held.unseen(messages(*offsets))
    assert all(value == f"at {offset}".encode() for offset, value in taken)
    if taken:
        held.lane.next_offset = taken[-1][0] + 1
    return [offset for offset, _ in taken]


def test_what_the_snapshot_holds_is_skipped(held: Held) -> None:
    assert offsets_taken(held, 7, 8, 9, 10, 11) == [10, 11]
    assert offsets_taken(held, 12) == [12]


def test_a_hole_in_what_is_delivered_is_an_error(held: Held) -> None:
    assert offsets_taken(held, 10, 11) == [10, 11]
    with pytest.raises(LostMessages, match="partition 0: expected 12, got 14"):
        held.unseen(messages(14))


def test_a_hole_among_what_is_skipped_is_an_error_too(held: Held) -> None:
    with pytest.raises(LostMessages, match="expected 8, got 10"):
        held.unseen(messages(7, 10))


def test_a_hole_where_reading_began_is_an_error_and_says_what_to_look_for(held: Held) -> None:
    held.next_delivery = 10
    with pytest.raises(LostMessages, match="expected 10, got 15") as raised:
        held.unseen(messages(15, 16))
    assert (raised.value.first, raised.value.before) == (10, 15)


def test_a_hole_that_the_log_has_is_passed_and_said(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    held.next_delivery = 15
    with caplog.at_level(logging.ERROR):
        assert offsets_taken(held, 15, 16) == [15, 16]
    assert "offsets 10 to 14 are not in the log" in caplog.text


def test_what_is_delivered_again_is_taken_once(held: Held) -> None:
    assert offsets_taken(held, 10, 11, 12) == [10, 11, 12]
    assert offsets_taken(held, 11, 12, 13) == [13]


class Known(Versions):
    """Registry and rules that nobody has to read."""

    async def registry_at(self, offset: int) -> Registry:
        return a_registry(a_sensor(1))

    async def rules_at(self, offset: int) -> list[Rule]:
        return [a_rule()]


class Log:
    """Where a log of a thousand messages begins and ends, and who is to commit."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 1000)

    def assignment(self) -> set[int]:
        return set()


async def test_a_partition_that_was_given_back_is_forgotten(tmp_path: Path) -> None:
    snapshots = Snapshots(Folder(tmp_path))
    snapshots.open()
    program = compile_program(a_registry(a_sensor(1)), [a_rule()], 0)
    at_9 = Header(partition=0, generation=1, offset=9, registry=(1, 1), rules=(1, 1))
    snapshots.write(at_9, pack(Partition(program).copy()))
    failures: list[BaseException] = []
    log: Any = Log()
    partitions = Partitions(
        versions=Known("nowhere:1"),
        snapshots=snapshots,
        kafka="nowhere:1",
        offsets=log,
        replay_s=1.0,
        failed=failures.append,
    )
    states: list[weakref.ref[Any]] = []
    for generation in range(2, 5):
        assert await partitions.assign({0: None}, generation) == {0: 8 + generation}
        lane = partitions.held[0].lane
        lane.next_offset += 1
        partitions.held[0].folded = messages(lane.next_offset - 1)
        states += [weakref.ref(lane.fold), weakref.ref(lane.fold.program)]
        del lane
        await partitions.release({0}, log)
    gc.collect()
    assert failures == []
    assert [state() for state in states] == [None] * 6
