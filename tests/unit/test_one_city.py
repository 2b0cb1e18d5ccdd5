"""A data folder has one city at a time, and what a killed one left there ends before the next begins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cityvigil import one_city, process, supervisor
from cityvigil.errors import CannotRun
from cityvigil.verbs.demo import MARK, new_folder

HOLD = """if True:
    import sys
    from pathlib import Path
    from cityvigil.one_city import held
    with held(Path(sys.argv[1])):
        print("held", flush=True)
        input()
"""


@contextmanager
def a_holder(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder until it is killed, at the end at the latest."""
    words = [sys.executable, "-c", HOLD, str(data)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_who_comes_second_is_told_in_a_line_who_holds_the_folder_and_what_to_do(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder, pytest.raises(CannotRun) as refused, one_city.held(tmp_path):
        pytest.fail("two hold one folder")
    line = str(refused.value)
    assert "\n" not in line
    assert f"a city runs in {tmp_path} already" in line
    assert f"(pid {holder.pid}, since 2" in line
    assert f"`kill {holder.pid}`, or give another --data" in line


def test_a_holder_that_is_killed_lets_the_next_one_in(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        holder.kill()
        holder.wait()
        with one_city.held(tmp_path):
            assert json.loads((tmp_path / one_city.LOCK).read_text())["pid"] == os.getpid()


def test_a_holder_that_ended_in_peace_lets_the_next_one_in(tmp_path: Path) -> None:
    for _ in range(2):
        with one_city.held(tmp_path):
            pass


def test_a_child_of_the_holder_does_not_hold_the_folder_after_it(tmp_path: Path) -> None:
    with one_city.held(tmp_path):
        child = process.spawn("child", ["sleep", "60"], run=tmp_path, log=tmp_path / "log")
    try:
        with one_city.held(tmp_path):
            assert process.is_alive(child)
    finally:
        process.kill(child)


def test_a_demo_that_begins_empties_the_folder_of_none_that_runs(tmp_path: Path) -> None:
    (tmp_path / MARK).touch()
    (tmp_path / "truth.jsonl").touch()
    with a_holder(tmp_path):
        with pytest.raises(CannotRun, match="a city runs in"):
            new_folder(tmp_path)
        assert (tmp_path / "truth.jsonl").exists()
    new_folder(tmp_path)
    assert {found.name for found in tmp_path.iterdir()} == {MARK, one_city.LOCK}


def test_services_of_a_killed_supervisor_are_ended_before_others_start(tmp_path: Path) -> None:
    words = ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"]
    left = process.spawn("detect", words, run=tmp_path, log=tmp_path / "log")
    assert process.wait(lambda: (tmp_path / "log").read_text() == "ready\n", 60)
    rows = [
        {"name": "detect", "pid": left.pid, "port": 1, "restarts": 0, "started": left.started},
        {"name": "reused", "pid": os.getpid(), "port": 2, "restarts": 0, "started": "another boot/1"},
        {"name": "record", "pid": None, "port": 3, "restarts": 0, "started": None},
    ]
    supervisor.state_file(tmp_path).write_text(json.dumps({"supervisor": 1, "services": rows}))
    supervisor.end_left_behind(tmp_path)
    assert not process.is_alive(left)
    assert not supervisor.state_file(tmp_path).exists()
    supervisor.end_left_behind(tmp_path)


def test_a_service_whose_supervisor_died_before_it_asked_ends_all_the_same() -> None:
    words = "from cityvigil.supervisor import end_with_parent\nend_with_parent(1)\ninput()"
    done = subprocess.run([sys.executable, "-c", words], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGTERM
