"""Registry files: what people have is read, what is wrong is said with its row and column."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence

import openpyxl
import pytest
from msgspec.structs import replace

from cityvigil import sensor_files
from cityvigil.cells import Problem
from cityvigil.sensor_files import GatewayRow, SensorRow
from schemas.registry import Gateway, Registry, Sensor, Zone

METHANE = "gas_manhole_methane"
WINDOW = ("maintenance_from", "maintenance_to")
GOOD = f"""\
gateway,point,category,zone,asset,lon,lat,param.design
gw-1,ch4-1,{METHANE},shinan-01,井盖一,120.3,36.05,1.5
"""


def written(rows: Iterable[Sequence[str]], target: str = "s.csv") -> bytes:
    return sensor_files.file_of(rows, target)


def problems_of(text: str) -> list[tuple[int, str]]:
    _, problems = sensor_files.read_sensors(text.encode(), "s.csv")
    return [(problem.row, problem.column) for problem in problems]


def test_a_file_is_read_in_each_encoding_that_spreadsheets_save() -> None:
    expected = [
        SensorRow(
            2, "gw-1", "ch4-1", 0, METHANE, None, "shinan-01", "井盖一", 120.3, 36.05, "", {"design": 1.5}
        )
    ]
    for data in (GOOD.encode(), b"\xef\xbb\xbf" + GOOD.encode(), GOOD.encode("gb18030")):
        assert sensor_files.read_sensors(data, "s.csv") == (expected, [])
    assert sensor_files.read_sensors(GOOD.replace("\n", "\r\n").encode(), "s.csv") == (expected, [])


def test_a_workbook_and_bytes_of_no_text_are_named_for_what_they_are() -> None:
    for data, what in (
        (b"PK\x03\x04 no workbook", "s.csv: expected an .xlsx workbook, got one that cannot be read"),
        (
            b"\xff\xff\xff\x00",
            "s.csv: expected CSV in UTF-8 or GB18030, or an .xlsx workbook, got bytes of neither",
        ),
    ):
        rows, problems = sensor_files.read_sensors(data, "s.csv")
        assert rows == []
        (problem,) = problems
        assert str(problem).startswith(what)


def test_every_wrong_cell_is_said_with_row_column_expectation_and_what_came() -> None:
    text = (
        "gateway,point,sensor,category,unit,zone,lon,lat,state,param.design\n"
        f"GW 1,a,0,{METHANE},Pa,shinan-01,120,36,in-service,\n"
        "gw-1,,x,methane,,Shinan,200,36,broken,much\n"
        "gw-1,b,1,,,,120,,,nan\n"
    )
    rows, problems = sensor_files.read_sensors(text.encode(), "s.csv")
    assert {(problem.row, problem.column) for problem in problems} == {
        (2, "gateway"), (2, "sensor"), (2, "unit"),
        (3, "point"), (3, "sensor"), (3, "category"), (3, "zone"), (3, "lon"), (3, "state"),
        (3, "param.design"), (4, "lat"), (4, "param.design"),
    }  # fmt: skip
    assert len(rows) == 3
    assert Problem("s.csv", 2, "unit", "%{vol} (the catalogue's), or nothing", "'Pa'") in problems


def test_a_row_of_another_length_is_named_and_the_rest_still_read() -> None:
    text = "gateway,point,zone\ngw-1,a\n\ngw-1,b,shinan-01\ngw-1,c,shinan-01,\n"
    rows, problems = sensor_files.read_sensors(text.encode(), "s.csv")
    assert [row.point for row in rows] == ["b"]
    assert [(problem.row, problem.got) for problem in problems] == [(2, "2"), (5, "4")]


def test_a_header_must_have_the_needed_columns_and_only_known_ones_once() -> None:
    assert problems_of("gateway,zone\ngw-1,a\n") == [(1, "point")]
    assert problems_of("gateway,point,catgory\n") == [(1, "catgory")]
    assert problems_of("gateway,point,zone,zone\n") == [(1, "zone")]
    assert problems_of("gateway,point,param.Design\n") == [(1, "param.Design")]
    assert problems_of("") == [(1, "gateway"), (1, "point")]


def test_a_quote_that_stays_open_is_said_where_it_opens() -> None:
    _, (problem,) = sensor_files.read_sensors(b'gateway,point\ngw-1,a\ngw-1,"b\ngw-1,c\n', "s.csv")
    assert (
        str(problem) == "s.csv: row 3: expected an end to the quote that opens here, got the end of the file"
    )
    (found,) = problems_of('gateway,point\ngw-1,"' + "a,b\n" * 50_000)
    assert found == (2, "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("gateway,point\n".encode("utf-16"), "UTF-8 or GB18030, or an .xlsx workbook, got UTF-16"),
        (b"\xd0\xcf\x11\xe0" + bytes(9), "got an old .xls, or a workbook behind a password"),
        (b"gateway,point\ngw-1,a\ngw-1,b\0\n", "s.csv: row 3: expected text, got a NUL byte"),
        (b"gateway,point\ngw-1,temp\xe9\n", "got the byte 0xe9, which fits neither"),
        (b"\xef\xbb\xbfgateway,point\n\ngw-1,\xff\n", "s.csv: row 3: expected CSV in UTF-8 or GB18030"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_text_is_said_with_its_row_and_reason(data: bytes, said: str) -> None:
    _, (problem,) = sensor_files.read_sensors(data, "s.csv")
    assert said in str(problem)


def test_a_number_is_one_that_every_reader_understands() -> None:
    """An infinite one would stand in the registry as nothing at all, and nobody could read it again."""
    head = "gateway,point,sensor,lon,lat,param.op\n"
    for value in ("inf", "-inf", "1e400", "nan", "1_0", "1,5"):
        assert problems_of(f'{head}gw-1,a,,,,"{value}"\n') == [(2, "param.op")]
    assert problems_of(f"{head}gw-1,a,,1_20.0,36,\n") == [(2, "lon")]
    assert problems_of(f"{head}gw-1,a,{'9' * 5000},,,\n") == [(2, "sensor")]


def test_a_time_may_be_written_as_spreadsheets_do_and_must_lie_in_our_age() -> None:
    head = "gateway,point,maintenance_from,maintenance_to\n"
    rows, problems = sensor_files.read_sensors(
        f"{head}gw-1,a,2026/3/1 8:00,2026-3-1 9:05:30.5\n".encode(), "s.csv"
    )
    assert problems == []
    assert (rows[0].maintenance_from, rows[0].maintenance_to) == (1772323200000000, 1772327130500000)
    for begin, end in (("0001-01-01", "0001-01-02"), ("9999-12-31T23:00-14:00", "9999-12-31T23:30-14:00")):
        assert problems_of(f"{head}gw-1,a,{begin},{end}\n")[0] == (2, "maintenance_from")
    assert problems_of(f"{head}gw-1,a,03/01/2026 08:00,46083\n") == [(2, name) for name in WINDOW]


def test_what_came_is_told_in_short_however_long_it_is() -> None:
    _, (problem,) = sensor_files.read_sensors(f"gateway,point\ngw-1,{'x' * 100_000}\n".encode(), "s.csv")
    assert problem.got.endswith("xxx'... (100000 characters)")
    assert len(str(problem)) < 200


def test_a_head_without_a_name_is_told_by_its_cells_and_stands_in_its_own_row() -> None:
    _, (problem,) = sensor_files.read_sensors(b"\n\ngateway,point,,\ngw-1,a,,\n", "s.csv")
    assert str(problem) == "s.csv: row 3: expected a name in every cell of the head, got none in cell 3, 4"


def test_a_workbook_that_is_broken_anywhere_is_a_problem_and_no_exception() -> None:
    whole = workbook_of([["gateway", "point"], ["gw-1", "a"]])
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    many = b"".join(b'<!ENTITY e%d "%s">' % (i, b"&e%d;" % (i - 1) * 99) for i in range(1, 6))
    text, word = b'<row><c t="s"><v>99</v></c></row>', b"<row><c><v>abc</v></c></row>"
    end = b"</sheetData></worksheet>"
    bomb = b'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">' + many + b"]>" + sheet
    for name, content in (
        ("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row><c"),
        ("xl/worksheets/sheet1.xml", sheet + text + end),
        ("xl/worksheets/sheet1.xml", sheet + word + end),
        ("xl/worksheets/sheet1.xml", bomb + b"<row><c><v>&e5;</v></c></row>" + end),
        ("xl/workbook.xml", b"<nonsense/>"),
        ("xl/workbook.xml", b"<<<"),
        ("[Content_Types].xml", b""),
    ):  # fmt: skip
        rows, (problem,) = sensor_files.read_sensors(with_part(whole, name, content), "s.xlsx")
        assert rows == []
        assert problem.expected.startswith("an .xlsx workbook"), name
    spoilt = bytearray(whole)
    at = spoilt.find(b"xl/worksheets/sheet1.xml") + 60
    spoilt[at : at + 20] = bytes(20)
    locked = bytearray(whole)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := locked.find(mark, at + 1)) >= 0:
            locked[at + flags] |= 1
    for data in (bytes(spoilt), bytes(locked), whole[: len(whole) // 2]):
        _, (problem,) = sensor_files.read_sensors(data, "s.xlsx")
        assert problem.expected == "an .xlsx workbook"


def test_a_formula_that_nobody_calculated_is_no_empty_cell() -> None:
    head = ["gateway", "point", "lon", "lat"]
    data = workbook_of([head, ["gw-1", "a", "120.3", "36"], ["gw-1", "b", "=120+0.3", "36"]])
    _, problems = sensor_files.read_sensors(data, "s.xlsx")
    assert [(problem.row, problem.got) for problem in problems] == [
        (3, "a formula in cell 3 that no spreadsheet has calculated: save it in one")
    ]


def workbook_of(rows: Iterable[Sequence[str]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_part(workbook: bytes, name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return out.getvalue()


def test_zones_and_gateways_have_files_of_their_own() -> None:
    zones, wrong = sensor_files.read_zones(
        "zone,district,name_zh\nshinan-01,shinan,八大峡\n".encode(), "z.csv"
    )
    assert wrong == []
    assert (zones[0].name_zh, zones[0].name_en, zones[0].lon) == ("八大峡", "shinan-01", None)
    gateways, wrong = sensor_files.read_gateways(b"gateway,zone,interval_s\ngw-1,shinan-01,300\n", "g.csv")
    assert (gateways, wrong) == ([GatewayRow(2, "gw-1", "shinan-01", 300.0)], [])
    _, wrong = sensor_files.read_gateways(b"gateway,zone,interval_s\ngw-1,shinan-01,0\n", "g.csv")
    assert [(problem.row, problem.column) for problem in wrong] == [(2, "interval_s")]


def test_gateways_that_only_a_sensor_names_are_taken_from_its_row() -> None:
    registry = Registry()
    registry.apply(Gateway("gw-known", "shinan-01", 300.0))
    sensors = [SensorRow(row, gateway, "p", zone="shinan-01") for row, gateway in
               enumerate(["gw-new", "gw-new", "gw-known", "gw-given"], 2)]  # fmt: skip
    given = [GatewayRow(2, "gw-given", "shinan-01", 10.0)]
    found = sensor_files.gateways_of(sensors, given, registry)
    assert [(row.gateway, row.interval_s) for row in found] == [("gw-given", 10.0), ("gw-new", 60.0)]


def test_what_is_written_is_read_back_the_same() -> None:
    registry = Registry()
    first = Sensor(
        7, "gw-1", "温度, 一", METHANE, "%{vol}", "shinan-01", '井"盖', 120.25, 36.0, params={"design": 1.5}
    )
    for entry in (
        Zone("shinan-01", "shinan", "八大峡", "Badaxia", 1, 120.3, 36.05),
        Gateway("gw-1", "shinan-01", 300.0),
        first,
        replace(first, sensor=(1 << 30) + 1, point="b", category=None, unit=None, state="waiting", params={}),
    ):
        registry.apply(entry)
    rows, wrong = sensor_files.read_sensors(written(sensor_files.sensor_rows(registry)), "s.csv")
    assert wrong == []
    for row in rows:
        known = registry.sensors[row.gateway, row.point]
        for column in (*sensor_files.COLUMNS, "params"):
            assert getattr(row, column) == getattr(known, column)
    assert len(rows) == 2
    zones, wrong = sensor_files.read_zones(written(sensor_files.zone_rows(registry)), "z.csv")
    assert (wrong, zones[0].name_zh, zones[0].lon) == ([], "八大峡", 120.3)
    gateways, wrong = sensor_files.read_gateways(written(sensor_files.gateway_rows(registry)), "g.csv")
    assert (wrong, gateways) == ([], [GatewayRow(2, "gw-1", "shinan-01", 300.0)])


def test_tags_are_read_written_and_wrong_ones_named() -> None:
    text = "网关,测点,标签\ngw-1,a,dma:7；inlet; dma:7\ngw-1,b,\ngw-1,c,-\ngw-1,d,two words\ngw-1,e,a;;b\n"
    rows, wrong = sensor_files.read_sensors(text.encode(), "s.csv")
    assert [row.tags for row in rows] == [("dma:7", "inlet"), None, (), None, None]
    assert [(problem.row, problem.column) for problem in wrong] == [(5, "tags"), (6, "tags")]
    registry = Registry()
    for number, tags in enumerate((("dma:7", "inlet"), ()), 1):
        registry.apply(Sensor(number, "gw-1", f"p{number}", METHANE, "%{vol}", "shinan-01", tags=tags))
    rows, wrong = sensor_files.read_sensors(written(sensor_files.sensor_rows(registry)), "s.csv")
    assert (wrong, [row.tags for row in rows]) == ([], [("dma:7", "inlet"), ()])
