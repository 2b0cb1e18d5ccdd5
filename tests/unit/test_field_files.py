"""Registry files as the field sends them: Chinese heads, workbooks, degrees and minutes, other datums."""

from __future__ import annotations

import io
import zipfile

import openpyxl
import pytest
from msgspec.structs import replace

from cityvigil import sensor_files, sheet, template
from cityvigil.sensor_files import SensorRow
from schemas.catalogue import catalogue
from schemas.registry import Registry, Sensor

METHANE = "gas_manhole_methane"
HEADS = "网关,测点,监测项,单位,片区,设施,经度,纬度,状态,检修开始,检修结束,参数.op"
ROW = (
    f"gw-1,甲烷1,{catalogue()[METHANE].name_zh},%VOL,shinan-01,井一,120°23′04.2″,36.066,检修,"
    "2026-03-01 08:00,2026/03/01 18:00,1.5"
)
READ = SensorRow(
    row=2, gateway="gw-1", point="甲烷1", category=METHANE, unit="%{vol}", zone="shinan-01", asset="井一",
    lon=120.3845, lat=36.066, state="maintenance", params={"op": 1.5},
    maintenance_from=1_772_323_200_000_000, maintenance_to=1_772_359_200_000_000,
)  # fmt: skip


def as_workbook(text: str) -> bytes:
    book = openpyxl.Workbook()
    sheet_ = book.active
    assert sheet_ is not None
    for line in text.splitlines():
        sheet_.append([float(cell) if cell in ("36.066", "1.5") else cell for cell in line.split(",")])
    sheet_.append([None, "", None])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_chinese_heads_words_and_units_mean_the_same_in_every_kind_of_file() -> None:
    text = f"{HEADS}\n{ROW}\n"
    for data in (text.encode("gb18030"), b"\xef\xbb\xbf" + text.encode(), as_workbook(text)):
        assert sensor_files.read_sensors(data, "s") == ([READ], [])


def test_a_wrong_cell_of_a_workbook_is_said_with_its_row() -> None:
    text = f"{HEADS}\n{ROW}\n{ROW.replace('检修,', '坏了,').replace('120°23′', '120°63′')}\n"
    _, problems = sensor_files.read_sensors(as_workbook(text), "s.xlsx")
    assert [(one.row, one.column) for one in problems] == [(3, "lon"), (3, "state")]


def test_a_window_needs_both_ends_in_their_order() -> None:
    for window, column in (
        (",2026-03-01 08:00", "maintenance_from"),
        ("2026-03-02 08:00,2026-03-01", "maintenance_to"),
    ):
        text = f"gateway,point,maintenance_from,maintenance_to\ngw-1,p,{window}\n"
        _, problems = sensor_files.read_sensors(text.encode(), "s.csv")
        assert [(one.row, one.column) for one in problems] == [(2, column)]


def test_places_are_taken_out_of_the_datum_that_the_file_is_declared_in() -> None:
    text = "gateway,point,lon,lat\ngw-1,p,116.38404722,39.91334546\n"
    ((row,), wrong) = sensor_files.read_sensors(text.encode(), "s.csv", "GCJ-02")
    assert wrong == []
    assert row.lon == pytest.approx(116.377817, abs=2e-6)
    assert row.lat == pytest.approx(39.911954, abs=2e-6)
    ((row,), _) = sensor_files.read_sensors(text.encode(), "s.csv", "EPSG:4490")
    assert (row.lon, row.lat) == (116.38404722, 39.91334546)
    abroad = "gateway,point,lon,lat\ngw-1,p,2.35,48.85\n"
    _, problems = sensor_files.read_sensors(abroad.encode(), "s.csv", "BD-09")
    assert [(one.row, one.column) for one in problems] == [(2, "lon")]


def test_what_is_exported_as_a_workbook_is_read_back_the_same() -> None:
    registry = Registry()
    first = Sensor(7, "gw-1", "0012", METHANE, "%{vol}", "shinan-01", None, 120.25, 36.0, params={"op": 1.5},
                   maintenance_from=1_772_323_200_000_000, maintenance_to=1_772_359_200_123_456)  # fmt: skip
    for entry in (first, replace(first, sensor=8, point="b", maintenance_from=None, maintenance_to=None)):
        registry.apply(entry)
    for target in ("s.xlsx", "s.csv"):
        data = sensor_files.file_of(sensor_files.sensor_rows(registry), target)
        rows, wrong = sensor_files.read_sensors(data, target)
        assert wrong == []
        for row in rows:
            known = registry.sensors[row.gateway, row.point]
            names = (*sensor_files.COLUMNS, *sensor_files.WINDOW_COLUMNS, "params")
            assert [getattr(row, name) for name in names] == [getattr(known, name) for name in names]


@pytest.mark.parametrize("target", ["t.xlsx", "t.csv"])
def test_every_template_is_a_file_that_its_import_understands(target: str) -> None:
    for table, names in template.TABLES.items():
        (line, heads), *rest = sheet.rows_of(template.empty_file(table, target))
        assert (line, heads, rest) == (1, list(names.values()), [])
    assert sensor_files.read_sensors(template.empty_file("sensors", target), target) == ([], [])
    assert sensor_files.holds_zones(template.empty_file("zones", target))
    assert not sensor_files.holds_zones(template.empty_file("sensors", target))


def test_a_workbook_made_to_fill_the_disk_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_UNPACKED_BYTES", 2**20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", bytes(2**20 + 1))
    _, (problem,) = sensor_files.read_sensors(out.getvalue(), "s.xlsx")
    assert problem.got == "a larger one"
