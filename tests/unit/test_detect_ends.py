"""The detect worker's loops end when they are cancelled, whatever comes at that moment."""

import asyncio
import time
from typing import cast

import pytest

from streams import detect
from streams.detect import Detect
from streams.held import Partitions


def _no_partitions() -> Partitions:
    return cast(Partitions, None)  # only whether more comes is asked of it, and that is answered above


@pytest.mark.parametrize("passes", range(6))
async def test_a_cancellation_that_comes_with_a_frame_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    """`passes` of the event loop lie between the two: the waiting task wakes up somewhere among them."""
    worker = Detect(
        kafka="", snapshots="", shared=False, worker="1", now_us=lambda: time.time_ns() // 1_000, replay_s=1.0
    )
    monkeypatch.setattr(Detect, "_more_comes", lambda *_: True)  # always more to wait for
    monkeypatch.setattr(detect, "BATCH_S", 3600.0)
    monkeypatch.setattr(detect, "QUIET_S", 3600.0)
    waiting = asyncio.create_task(worker._wait_for_the_rest(_no_partitions()))
    await asyncio.sleep(0)
    worker._arrived.set()
    for _ in range(passes):
        await asyncio.sleep(0)
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=5)
    assert done
    assert waiting.cancelled()
