"""Following a log file: rotation, truncation, and taking up where the last process stopped."""

from __future__ import annotations

from pathlib import Path

from ingest.broker_log import BrokerLog, Refusal


def denied(number: int) -> str:
    return (
        f"2026-11-23T09:02:47: Denied PUBLISH from c (d0, q1, r0, m1, 'up/x/{number}', ... (1 bytes))"
        " by u'gw'\n"
    )


class Follower:
    """A process that follows the log; `seen` are the numbers of the topics that it was told of."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[int] = []
        self._log = BrokerLog(folder / "log", folder / "state" / "place.json", self._refuse)
        self._log.resume()

    async def _refuse(self, refusal: Refusal, count: int, line: bytes) -> None:
        number = int(refusal.detail.split("up/x/")[1].split(",")[0])
        self.seen += [number] * count

    async def catch_up(self) -> list[int]:
        """What was seen since the last call."""
        self.seen.clear()
        while await self._log.poll():
            pass
        return list(self.seen)

    def stop(self) -> None:
        self._log.close()


async def test_lines_are_told_once_and_repeats_are_summed(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert await follower.catch_up() == []
    (tmp_path / "log").write_text(denied(1) + denied(2) + denied(2))
    assert await follower.catch_up() == [1, 2, 2]
    assert await follower.catch_up() == []
    follower.stop()


async def test_a_line_that_is_not_whole_yet_waits_for_its_end(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    with (tmp_path / "log").open("w") as log:
        log.write(denied(1) + denied(2)[:40])
        log.flush()
        assert await follower.catch_up() == [1]
        log.write(denied(2)[40:])
        log.flush()
        assert await follower.catch_up() == [2]
    follower.stop()


async def test_rotation_and_truncation_lose_and_repeat_nothing(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    log = tmp_path / "log"
    log.write_text(denied(1))
    assert await follower.catch_up() == [1]
    with log.open("a") as old:
        old.write(denied(2))
    log.rename(tmp_path / "log.1")
    log.write_text(denied(3))
    assert await follower.catch_up() == [2, 3]
    log.write_text("")
    assert await follower.catch_up() == []
    log.write_text(denied(4))
    assert await follower.catch_up() == [4]
    follower.stop()


async def test_the_next_process_goes_on_where_the_last_one_stopped_even_in_the_rotated_file(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.write_text(denied(1))
    first = Follower(tmp_path)
    assert await first.catch_up() == [1]
    first.stop()
    with log.open("a") as old:
        old.write(denied(2))
    log.rename(tmp_path / "log.1")
    log.write_text(denied(3))
    second = Follower(tmp_path)
    assert await second.catch_up() == [2, 3]
    second.stop()
    third = Follower(tmp_path)
    assert await third.catch_up() == []
    third.stop()
