"""`cityvigil score`: a row for each row, causal, at ease with whatever people have in files."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from cityvigil.cli import main

HEADER = ["time", "score", "alert", "top"]


def _score(path: Path, *more: str | Path) -> list[list[str]]:
    out = path.with_suffix(".scored")
    assert main(["score", str(path), "--out", str(out), *map(str, more)]) == 0
    with out.open(newline="") as file:
        return list(csv.reader(file))


def _file(tmp_path: Path, text: str, name: str = "m.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def _series(
    tmp_path: Path, rows: int, columns: int, step_s: float, name: str = "m.csv", separator: str = ","
) -> Path:
    rng = np.random.default_rng(11)
    start = dt.datetime(2026, 1, 1)
    values = np.cumsum(rng.normal(0, 1, (rows, columns)), axis=0).round(2) * 0.1 + rng.normal(
        0, 1, (rows, columns)
    ).round(2)
    values[rows // 3 : rows // 3 + 3] += 60
    lines = [separator.join(["time", *(f"c{i}" for i in range(columns)), "label"])]
    for i in range(rows):
        when = start + dt.timedelta(seconds=step_s * i)
        lines.append(separator.join([f"{when}", *(f"{v:.2f}" for v in values[i]), "1"]))
    return _file(tmp_path, "\n".join(lines) + "\n", name)


@pytest.mark.parametrize(
    ("columns", "step_s", "options"),
    [
        (1, 900, ()),
        (1, 900, ("--profile", "nab")),
        (1, 900, ("--category", "water_ph")),
        (3, 1, ()),
        (3, 900, ()),
        (3, 900, ("--profile", "nab")),
        (3, 3600, ("fit",)),
        (3, 3600, ("fit", "--profile", "plant")),
    ],
)
def test_the_first_half_of_a_file_has_the_first_half_of_the_scores(
    tmp_path: Path, columns: int, step_s: float, options: tuple[str, ...]
) -> None:
    path = _series(tmp_path, 3000, columns, step_s)
    if "fit" in options:
        options = ("--fit", str(_series(tmp_path, 1500, columns, step_s, "clean.csv")), *options[1:])
    whole = _score(path, *options)
    assert len(whole) == 3001
    assert any(float(row[1]) >= 1 for row in whole[1:])
    lines = path.read_text().splitlines(keepends=True)
    for rows in (1500, 1501, 2999):
        half = _file(tmp_path, "".join(lines[: rows + 1]), "half.csv")
        assert _score(half, *options) == whole[: rows + 1]


def test_labels_never_reach_the_detectors(tmp_path: Path) -> None:
    path = _series(tmp_path, 500, 1, 900)
    as_is = _score(path)
    assert {row[3] for row in as_is[1:]} == {"c0"}
    turned = _file(tmp_path, path.read_text().replace(",1\n", ",0\n"), "turned.csv")
    assert _score(turned) == as_is


def test_a_semicolon_separates_as_well(tmp_path: Path) -> None:
    comma = _score(_series(tmp_path, 500, 2, 1))
    assert _score(_series(tmp_path, 500, 2, 1, "s.csv", ";")) == comma


def test_times_are_written_as_they_were_and_columns_can_be_chosen(tmp_path: Path) -> None:
    text = "When;flow;note;level\n04/07/16 00;1;fine;2\n04/07/16 01;1,5;;3\n".replace("1,5", "1.5")
    rows = _score(_file(tmp_path, text), "--time", "When", "--value", "level")
    assert rows == [HEADER, ["04/07/16 00", "0", "0", "level"], ["04/07/16 01", "0", "0", "level"]]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "2026-01-01 00:00,1\n",
        "2026-01-01 00:00,\n2026-01-01 00:05,NaN\n2026-01-01 00:10,inf\n",
        "2026-01-01 00:00,5\n" * 200,
        "2026-01-01 00:10,1\n2026-01-01 00:10,1\n2026-01-01 00:00,2\n",
        "2026-01-01 00:00,1e300\n2026-01-01 00:05,-1e300\n2027-01-01 00:00,1\n" * 50,
    ],
)
@pytest.mark.parametrize("columns", [1, 2])
def test_whatever_comes_there_is_a_row_for_each_row(tmp_path: Path, body: str, columns: int) -> None:
    header = "time," + ",".join("ab"[:columns]) + "\n"
    lines = [line + f",{line.split(',')[1]}" * (columns - 1) for line in body.splitlines()]
    rows = _score(_file(tmp_path, header + "\n".join(lines) + "\n"))
    assert rows[0] == HEADER
    assert [row[0] for row in rows[1:]] == [line.split(",")[0] for line in lines]
    assert all(np.isfinite(float(row[1])) for row in rows[1:])


def test_a_constant_and_then_a_gap_are_quiet(tmp_path: Path) -> None:
    start = dt.datetime(2026, 1, 1)
    times = [start + dt.timedelta(minutes=5 * i + (20_000 if i > 4000 else 0)) for i in range(8000)]
    rows = _score(_file(tmp_path, "time,v\n" + "".join(f"{t},3.5\n" for t in times)))
    assert not any(int(row[2]) for row in rows[1:])


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("", (), "m.csv: row 1: expected a header, got nothing"),
        ("a,b\n1,2\n", (), "m.csv: row 1: expected a time column"),
        (
            "time,v\n2026-01-01,1\n2026-01-02,high\n",
            (),
            "m.csv: row 3, column v: expected a number, got 'high'",
        ),
        ("time,v\n2026-01-01,1\nsoon,2\n", (), "m.csv: row 3, column time: expected a time"),
        ("time,v\n2026-01-01,1,2\n", (), "m.csv: row 2: expected 2 cells, got 3"),
        ("time,v\n2026-01-01,x\n", ("--value", "v"), "m.csv: row 2, column v: expected a number, got 'x'"),
        ("time,v\n2026-01-01,1\n", ("--value", "w"), "m.csv: row 1, column w: expected a column of numbers"),
        ("time,v\n2026-01-01,1\n", ("--category", "no_such"), "the catalogue has no category no_such"),
        ("time,v\n2026-01-01,1\n", ("--fit", "nowhere.csv"), "nowhere.csv: No such file or directory"),
        ("time,v\n2026-01-01,1\n", ("--profile", "best"), "invalid choice: 'best'"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    path = _file(tmp_path, text)
    try:
        code = main(["score", str(path), "--out", str(tmp_path / "o.csv"), *options])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    said = capsys.readouterr().err
    assert code == 2
    assert complaint in said
    assert said.count("\n") == 1
