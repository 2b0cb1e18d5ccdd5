"""The front door itself: lines come when they are said, complaints are one line."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cityvigil import cli

TELL_AND_WAIT = """
import sys
from cityvigil import cli

def tell(args):
    print("said")
    sys.stdin.readline()
    return 0

build = cli.build_parser
def with_tell(only):
    parser = build()
    parser._actions[-1].add_parser("tell").set_defaults(run=tell)
    return parser
cli.build_parser = with_tell
sys.exit(cli.main(["tell"]))
"""


def test_a_line_is_in_the_pipe_before_the_command_ends() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", TELL_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=Path(__file__).parent.parent.parent,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "said\n"
        assert process.poll() is None
        process.communicate("\n")
    assert process.returncode == 0


def test_an_unknown_verb_is_one_line_and_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cityvigil", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nonsense" in done.stderr


@pytest.mark.parametrize("module", cli.VERBS)
def test_a_module_has_the_verbs_under_which_it_is_found(module: str) -> None:
    verbs = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"cityvigil.verbs.{module}").add_to(verbs)
    assert tuple(verbs.choices) == cli.VERBS[module]


def test_a_worker_does_not_load_what_other_verbs_need() -> None:
    script = (
        "import sys; from cityvigil.cli import build_parser; build_parser('detect');"
        " print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "cityvigil.verbs.services" in loaded
    assert not loaded & {"cityvigil.whole_city", "cityvigil.verbs.up", "simulators.city"}


@pytest.mark.parametrize(
    "words",
    [
        ["rules", "export", "{good}/below"],
        ["bench", "city", "--sensors", "100", "--minutes", "1", "--json={nowhere}/t"],
        ["bench", "city", "--sensors", "100", "--minutes", "1", "--out", "{nowhere}/t"],
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_one_line_and_2(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "a.yaml"
    good.write_text("name: a\n", encoding="utf-8")
    names = {"good": good, "nowhere": tmp_path / "nowhere"}
    assert cli.main([word.format(**names) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"cityvigil {words[0]}: {tmp_path}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["999", "36"], "LON: expected degrees from -180 to 180, got '999'"),
        (["120", "nan"], "LAT: expected degrees from -90 to 90, got 'nan'"),
        (["120", "36", "--limit", "0"], "--limit: expected a whole number from 1 up, got '0'"),
    ],
)
def test_a_place_that_is_none_is_no_question_for_cameras(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["cameras", "near", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
