"""Snapshots: what is written is found again, what is torn is not, and the newest is the right one.

The same holds in a local folder and in a store behind fsspec, here its store in memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.snapshot import LAYOUT
from streams.places import Folder, NoPlace, Place, Remote, place_of
from streams.state import Header, Snapshot, Snapshots, Superseded


def a_header(offset: int, *, generation: int = 1, partition: int = 0) -> Header:
    return Header(partition=partition, generation=generation, offset=offset, registry=(3, 120), rules=None)


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = f"memory://{tmp_path}" if request.param == "store" else f"file://{tmp_path}"
    made = place_of(url, "cluster-1", "1")
    assert isinstance(made, Folder if request.param == "folder" else Remote)
    made.open()
    return made


@pytest.fixture
def snapshots(place: Place) -> Snapshots:
    return Snapshots(place)


def write(snapshots: Snapshots, offset: int, state: bytes = b"state", base: str | None = None,
          generation: int = 1, partition: int = 0) -> str:  # fmt: skip
    """The crc of what was written."""
    header = a_header(offset, generation=generation, partition=partition)
    return snapshots.write(header, [state[:3], memoryview(state)[3:]], base)[0]


def newest(snapshots: Snapshots, partition: int = 0) -> Snapshot | None:
    return next(snapshots.usable(partition), None)


def offsets(snapshots: Snapshots, partition: int = 0) -> list[int]:
    return [found.header.offset for found in snapshots.usable(partition)]


def replaced(place: Place, name: str, content: bytes) -> None:
    place.remove(name)
    place.write(name, [content])


def named(place: Place, offset: int) -> str:
    (name,) = [one for one in place.names() if f"-offset-{offset:016d}-" in one]
    return name


def test_what_was_written_last_is_found_with_its_versions(snapshots: Snapshots) -> None:
    write(snapshots, 10, b"older")
    state = bytes(range(256)) * 40
    write(snapshots, 20, state)
    assert newest(snapshots) == Snapshot(a_header(20), state)


def test_changes_come_with_the_whole_snapshot_that_they_build_on(snapshots: Snapshots) -> None:
    write(snapshots, 10, b"another whole one")
    base = write(snapshots, 20, b"whole")
    write(snapshots, 30, b"changes", base)
    assert newest(snapshots) == Snapshot(a_header(30), b"whole", b"changes")


def test_partitions_do_not_see_each_other(snapshots: Snapshots) -> None:
    write(snapshots, 10, partition=1)
    write(snapshots, 99, partition=11)
    assert newest(snapshots) is None
    assert newest(snapshots, 1) == Snapshot(a_header(10, partition=1), b"state")


def test_three_are_kept_of_each_partition(snapshots: Snapshots, place: Place) -> None:
    for offset in range(10, 70, 10):
        write(snapshots, offset)
        write(snapshots, offset, partition=1)
    assert len(place.names()) == 6
    assert offsets(snapshots) == [60, 50, 40]


def test_what_changes_build_on_is_kept_as_long_as_they_are(snapshots: Snapshots, place: Place) -> None:
    first = write(snapshots, 10, b"first")
    for offset in range(20, 70, 10):
        write(snapshots, offset, b"changes", first)
    assert offsets(snapshots) == [60, 50, 40, 10]
    second = write(snapshots, 70, b"second")
    write(snapshots, 80, b"changes", second)
    assert {found.whole for found in snapshots.usable(0)} == {b"first", b"second"}
    write(snapshots, 90, b"changes", second)
    assert offsets(snapshots) == [90, 80, 70]
    assert len(place.names()) == 3


def test_changes_whose_whole_snapshot_is_gone_or_damaged_are_passed_over(
    snapshots: Snapshots, place: Place
) -> None:
    write(snapshots, 5, b"oldest")
    base = write(snapshots, 10, b"whole")
    write(snapshots, 20, b"changes", base)
    replaced(place, named(place, 10), b"damaged")
    assert newest(snapshots) == Snapshot(a_header(5), b"oldest")
    place.remove(named(place, 10))
    assert newest(snapshots) == Snapshot(a_header(5), b"oldest")


def test_a_lower_generation_is_never_written_beside_a_higher_one(snapshots: Snapshots) -> None:
    write(snapshots, 100, generation=7)
    with pytest.raises(Superseded, match="generation 7 is there, ours is 6"):
        write(snapshots, 500, b"of a worker that woke up late", generation=6)
    assert offsets(snapshots) == [100]


def test_a_lower_generation_never_comes_before_a_higher_one(snapshots: Snapshots, place: Place) -> None:
    """Written in the same moment, so that neither saw the other."""
    write(snapshots, 500, b"of a worker that woke up late", generation=6)
    late, content = named(place, 500), place.read(named(place, 500))
    place.remove(late)
    write(snapshots, 100, generation=7)
    place.write(late, [content])
    assert newest(snapshots) == Snapshot(a_header(100, generation=7), b"state")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 30, -1])
def test_a_torn_file_is_passed_over_for_the_one_before(snapshots: Snapshots, place: Place, kept: int) -> None:
    write(snapshots, 10)
    write(snapshots, 20)
    torn = named(place, 20)
    replaced(place, torn, place.read(torn)[:kept])
    assert offsets(snapshots) == [10]


def test_every_altered_byte_is_noticed(snapshots: Snapshots, place: Place) -> None:
    write(snapshots, 10)
    write(snapshots, 20)
    name = named(place, 20)
    good = place.read(name)
    for at in range(len(good)):
        replaced(place, name, good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        assert offsets(snapshots) == [10], f"byte {at}"


def test_a_file_of_another_layout_is_passed_over(snapshots: Snapshots, place: Place) -> None:
    write(snapshots, 10)
    write(snapshots, 20)
    name = named(place, 20)
    place.write(name.replace(f"-layout-{LAYOUT}-", "-layout-999-"), [place.read(name)])
    place.remove(name)
    assert offsets(snapshots) == [10]


def test_a_place_of_strangers_is_an_empty_one(snapshots: Snapshots, place: Place) -> None:
    place.write("partition-000-notes.snapshot", [b"hello"])
    place.write("README", [b"hello"])
    assert newest(snapshots) is None


def test_what_a_killed_worker_left_half_written_is_swept_by_itself_and_never_loaded(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "1")
    folder.open()
    write(Snapshots(folder), 10)
    whole = named(folder, 10)
    newer = whole.replace("offset-0000000000000010", "offset-0000000000000030")
    leftover, others = tmp_path / f".{newer}.1.writing", tmp_path / f".{newer}.2.writing"
    leftover.write_bytes((tmp_path / whole).read_bytes()[:20])
    others.write_bytes(b"still being written")
    again = Folder(tmp_path, "1")
    again.open()
    assert not leftover.exists()
    assert others.exists()
    assert offsets(Snapshots(again)) == [10]


def test_a_store_that_is_not_installed_or_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoPlace, match="CITYVIGIL_SNAPSHOTS='nowhere://x': Protocol not known: nowhere"):
        place_of("nowhere://x", "cluster-1", "1")
    with pytest.raises(NoPlace, match=r"s3://bucket/x.*s3fs"):
        place_of("s3://bucket/x", "cluster-1", "1")
    assert isinstance(place_of(str(tmp_path), "cluster-1", "1"), Folder)
