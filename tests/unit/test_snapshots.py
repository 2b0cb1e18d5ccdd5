"""Snapshots: what is written is found again, what is torn is not, and the newest is the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.state import Header, Snapshot, SnapshotFolder


def a_snapshot(offset: int, *, generation: int = 1, partition: int = 0, state: bytes = b"state") -> Snapshot:
    header = Header(partition=partition, generation=generation, offset=offset, registry=(3, 120), rules=None)
    return Snapshot(header, state)


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    made = SnapshotFolder(tmp_path)
    made.open()
    return made


def newest(folder: SnapshotFolder, partition: int = 0) -> Snapshot | None:
    return next(folder.usable(partition), None)


def files(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("*.snapshot"))


def test_what_was_written_last_is_found_with_its_versions(folder: SnapshotFolder) -> None:
    folder.write(a_snapshot(10, state=b"older"))
    written = a_snapshot(20, state=bytes(range(256)) * 40)
    folder.write(written)
    assert newest(folder) == written


def test_partitions_do_not_see_each_other(folder: SnapshotFolder) -> None:
    folder.write(a_snapshot(10, partition=1))
    folder.write(a_snapshot(99, partition=11))
    assert newest(folder) is None
    assert newest(folder, 1) == a_snapshot(10, partition=1)


def test_three_are_kept_of_each_partition(folder: SnapshotFolder, tmp_path: Path) -> None:
    for offset in range(10, 70, 10):
        folder.write(a_snapshot(offset))
        folder.write(a_snapshot(offset, partition=1))
    assert len(files(tmp_path)) == 6
    assert [found.header.offset for found in folder.usable(0)] == [60, 50, 40]


def test_a_lower_generation_never_comes_before_a_higher_one(folder: SnapshotFolder) -> None:
    folder.write(a_snapshot(100, generation=7))
    folder.write(a_snapshot(500, generation=6, state=b"of a worker that woke up late"))
    assert newest(folder) == a_snapshot(100, generation=7)


def test_the_late_ones_of_an_old_generation_do_not_push_out_the_current(folder: SnapshotFolder) -> None:
    folder.write(a_snapshot(100, generation=7))
    for offset in range(500, 510):
        folder.write(a_snapshot(offset, generation=6))
    assert newest(folder) == a_snapshot(100, generation=7)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 30, -1])
def test_a_torn_file_is_passed_over_for_the_one_before(
    folder: SnapshotFolder, tmp_path: Path, kept: int
) -> None:
    folder.write(a_snapshot(10))
    folder.write(a_snapshot(20))
    torn = files(tmp_path)[-1]
    torn.write_bytes(torn.read_bytes()[:kept])
    assert newest(folder) == a_snapshot(10)


def test_every_altered_byte_is_noticed(folder: SnapshotFolder, tmp_path: Path) -> None:
    folder.write(a_snapshot(10))
    folder.write(a_snapshot(20))
    path = files(tmp_path)[-1]
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        assert newest(folder) == a_snapshot(10), f"byte {at}"


def test_a_file_of_another_layout_is_passed_over(folder: SnapshotFolder, tmp_path: Path) -> None:
    folder.write(a_snapshot(10))
    folder.write(a_snapshot(20))
    path = files(tmp_path)[-1]
    path.rename(path.with_name(path.name.replace("layout-1-", "layout-999-")))
    assert newest(folder) == a_snapshot(10)


def test_what_a_killed_worker_left_half_written_is_swept_and_never_loaded(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    folder.open()
    folder.write(a_snapshot(10))
    whole = files(tmp_path)[0]
    newer = whole.name.replace("offset-0000000000000010", "offset-0000000000000030")
    leftover = tmp_path / f".{newer}.writing"
    leftover.write_bytes(whole.read_bytes()[:20])
    again = SnapshotFolder(tmp_path)
    again.open()
    assert not leftover.exists()
    assert newest(again) == a_snapshot(10)


def test_a_folder_of_strangers_is_an_empty_one(folder: SnapshotFolder, tmp_path: Path) -> None:
    (tmp_path / "partition-000-notes.snapshot").write_text("hello")
    (tmp_path / "README").write_text("hello")
    assert newest(folder) is None
