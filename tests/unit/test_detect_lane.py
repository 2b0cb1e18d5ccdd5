"""One partition's detection goes forward only: what a suspended ingest announces too late changes nothing."""

from __future__ import annotations

import pytest

from detectors.fold import Partition
from detectors.program import compile_program
from schemas import control
from schemas.control import Control, RegistryVersion, RulesVersion
from schemas.registry import Registry
from streams.lane import Lane
from streams.rules import Versions


@pytest.mark.parametrize(
    "late", [RulesVersion(6, 60), RegistryVersion(2, 20), RulesVersion(7, 70), RegistryVersion(3, 30)]
)
async def test_a_version_no_newer_than_the_one_in_force_is_passed_over(late: Control) -> None:
    fold = Partition(compile_program(Registry(), [], 0))
    # These versions are of no topic: to adopt one would fail.
    lane = Lane(0, Versions("nowhere:1"), fold, next_offset=10, registry=(3, 30), rules=(7, 70))
    assert await lane.take([(10, control.encode(late))]) == []
    assert (lane.next_offset, lane.registry, lane.rules) == (11, (3, 30), (7, 70))
