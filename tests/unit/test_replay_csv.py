"""Files that people have: separators, times, empty cells; and what is said of those that cannot be read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from cityvigil.errors import CannotRun
from cityvigil.replay_csv import read
from schemas.clock import to_us


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.csv"
    path.write_bytes(text.encode())
    return path


def _local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    zone = dt.timezone(dt.timedelta(hours=8))
    return to_us(dt.datetime(year, month, day, hour, minute, tzinfo=zone))


def test_the_water_network_of_batadal_is_read_as_published(tmp_path: Path) -> None:
    text = "DATETIME, L_T1, S_PU1, ATT_FLAG\n04/07/16 00, 2.44,1,-999\n04/07/16 01, 2.66,1,-999\n"
    table = read(_file(tmp_path, text))
    assert table.time_column == "DATETIME"
    assert table.points == ("L_T1", "S_PU1", "ATT_FLAG")
    assert table.times_us.tolist() == [_local(2016, 7, 4, 0), _local(2016, 7, 4, 1)]
    assert table.values.tolist() == [[2.44, 1.0, -999.0], [2.66, 1.0, -999.0]]
    assert table.step_s == 3600
    assert table.readings == 6


def test_the_pump_of_skab_is_read_as_published(tmp_path: Path) -> None:
    text = "datetime;Accelerometer1RMS;Volume Flow RateRMS\n"
    text += "2020-03-09 14:34:41;0.028;32.0\n2020-03-09 14:34:42;0.027;33\n"
    table = read(_file(tmp_path, text))
    assert table.points == ("Accelerometer1RMS", "Volume Flow RateRMS")
    assert table.step_s == 1


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("2026-01-31 08:00:00", _local(2026, 1, 31, 8)),
        ("2026-01-31T00:00:00Z", _local(2026, 1, 31, 8)),
        ("2026-01-31T02:00:00+02:00", _local(2026, 1, 31, 8)),
        ("31/01/2026 08:00", _local(2026, 1, 31, 8)),
        ("01/31/2026 08:00", _local(2026, 1, 31, 8)),
        ("2026/01/31 08:00", _local(2026, 1, 31, 8)),
        ("1769817600", 1_769_817_600_000_000),
        ("1769817600.25", 1_769_817_600_250_000),
    ],
)
def test_a_time_is_read_and_is_local_unless_it_says_otherwise(
    tmp_path: Path, text: str, expected_us: int
) -> None:
    assert read(_file(tmp_path, f"when,v\n{text},1\n"), "when").times_us.tolist() == [expected_us]


def test_days_and_months_are_told_apart_by_what_fits_every_row(tmp_path: Path) -> None:
    table = read(_file(tmp_path, "time,v\n01/02/2026 00:00,1\n01/13/2026 00:00,1\n"))
    assert table.times_us.tolist() == [_local(2026, 1, 2), _local(2026, 1, 13)]


def test_an_empty_cell_is_no_reading_and_a_column_of_words_no_point(tmp_path: Path) -> None:
    text = (
        "\ufefftime,a,b,note,empty\r\n2026-01-01 00:00,1,,fine,\r\n\r\n2026-01-01 00:01,NaN,-2e3,12,n/a\r\n"
    )
    table = read(_file(tmp_path, text))
    assert table.points == ("a", "b")
    assert table.texts == ("note",)
    assert np.isnan(table.values).tolist() == [[False, True], [True, False]]
    assert table.readings == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "row 1: expected a time column (time, datetime, timestamp, date_time, date; or say --time COL)"),
        ("time,v\n", "row 2: expected a row of measurements, got the end of the file"),
        ("a,b\n1,2\n", "row 1: expected a time column"),
        ("time,v\n2026-01-01 00:00,1,2\n", "row 2: expected 2 cells, got 3"),
        ("time,v\n2026-01-01 00:00,1\n\nyesterday,2\n",
         "row 4, column time: expected a time such as 2026-01-31 08:00:00, got 'yesterday'"),
        ("time,v,v\n2026-01-01 00:00,1,2\n", "row 1, column v: expected each column once, got 2 of it"),
        ("time,v\n2026-01-01 00:00,1\n\n2026-01-01 00:01,high\n",
         "row 4, column v: expected a number, got 'high'"),
        ("time,v\n2026-01-01 00:00,inf\n", "row 2, column v: expected a number, got 'inf'"),
        ("time,w\n2026-01-01 00:00,1\n",
         "row 1, column v: expected a column of this name, got the columns time, w"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_with_row_column_expected_and_came(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(CannotRun) as caught:
        read(path, must_be_numbers=("v",))
    if text:
        assert str(caught.value).startswith(f"{path}: {complaint}")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="No such file"):
        read(tmp_path / "nowhere.csv")
    path = tmp_path / "m.csv"
    path.write_bytes(b"time,v\n\xff\xfe,1\n")
    with pytest.raises(CannotRun, match="byte 7: expected UTF-8"):
        read(path)
    with pytest.raises(CannotRun, match="column when: expected a column of this name"):
        read(_file(tmp_path, "time,v\n2026-01-01 00:00,1\n"), "when")
    with pytest.raises(CannotRun, match="column time: expected a column of numbers, got the time column"):
        read(_file(tmp_path, "time,v\n2026-01-01 00:00,1\n"), must_be_numbers=("time",))
