"""Cameras and assets as files: what is wrong is said with its row, and a national catalogue is understood."""

from __future__ import annotations

from cityvigil.camera_files import CameraRow, columns_of, read_assets, read_cameras, table
from cityvigil.sensor_files import file_of

CATALOGUE = """<?xml version="1.0" encoding="GB2312"?>
<Response><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>37020000002000000001</DeviceID><SumNum>4</SumNum>
<DeviceList Num="4">
<Item><DeviceID>370202</DeviceID><Name>市南区</Name></Item>
<Item><DeviceID>37020200002160000001</DeviceID><Name>虚拟组织</Name></Item>
<Item><DeviceID>37020200001310000001</DeviceID><Name>香港中路东口</Name><Owner>公安</Owner><Status>ON</Status>
<Longitude>120.3900</Longitude><Latitude>36.0660</Latitude>
<Info><PTZType>3</PTZType><DirectionType>3</DirectionType></Info></Item>
<Item><DeviceID>37020200001320000002</DeviceID><Name>球机</Name><Status>OFF</Status>
<Longitude>0</Longitude><Latitude>0</Latitude><Info><PTZType>1</PTZType></Info></Item>
</DeviceList></Response>"""


def test_a_national_catalogue_gives_its_cameras_and_passes_over_the_rest() -> None:
    for data in (CATALOGUE.encode("gb18030"), CATALOGUE.encode()):
        (fixed, turning), problems = read_cameras(data, "c.xml", "GCJ-02")
        assert problems == []
        assert (fixed.camera, fixed.name, fixed.owner) == ("37020200001310000001", "香港中路东口", "公安")
        assert (fixed.lon, fixed.lat, fixed.bearing) == (120.3848663, 36.0657223, 180.0)
        assert (fixed.state, turning.state) == ("in-service", "maintenance")
        assert (turning.bearing, turning.lon, turning.lat) == (None, None, None)


def test_what_is_no_catalogue_is_said() -> None:
    for text, column in (("<Response><CmdType>Alarm</CmdType></Response>", "CmdType"), ("<Response>", "")):
        rows, (problem,) = read_cameras(text.encode(), "c.xml")
        assert (rows, problem.column) == ([], column)
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><Response><CmdType>Catalog</CmdType></Response>'
    _, (problem,) = read_cameras(bomb.encode(), "c.xml")
    assert problem.got == "one with entities"


def test_a_file_that_holds_no_camera_is_no_import_of_nothing() -> None:
    for text, said in (
        ("<html><body>504</body></html>", "c.xml: expected a catalogue, Response or Notify, got '<html>'"),
        (
            "<Query><CmdType>Catalog</CmdType></Query>",
            "c.xml: expected a catalogue, Response or Notify, got '<Query>'",
        ),
        (
            "<Response><CmdType>Catalog</CmdType><Item><DeviceID>370202</DeviceID></Item></Response>",
            "c.xml: column DeviceID: expected a camera, type 131 or 132, got none",
        ),
    ):
        rows, (problem,) = read_cameras(text.encode(), "c.xml")
        assert (rows, str(problem)) == ([], said)


def test_what_is_wrong_in_a_catalogue_is_said_with_its_line() -> None:
    for old, new, line, column in (
        ("120.3900", "120,39", 6, "Longitude"),
        ("36.0660", "136.0660", 6, "Latitude"),
        ("120.3900", "-120.39", 6, "Longitude"),
        ("36.0660", "", 6, "Latitude"),
        ("120.3900", "0.000000", 6, "Longitude"),
        ("37020200001320000002", "37020200001310000001", 9, "DeviceID"),
        ("37020200001320000002", "3702-132", 9, "DeviceID"),
        ("香港中路东口", "口" * 257, 6, "Name"),
    ):
        assert old in CATALOGUE
        _, problems = read_cameras(CATALOGUE.replace(old, new).encode(), "c.xml", "GCJ-02")
        found = [(problem.row, problem.column) for problem in problems]
        assert found == [(line, column)], (old, new, problems)


def test_wrong_cells_of_cameras_are_said_with_their_rows() -> None:
    text = (
        "摄像机,名称,经度,纬度,朝向,视场角,可视距离米,视频地址,抓拍地址,状态\n"
        "cam-1,一,120.3,36.0,90,60,200,rtsp://10.0.0.1/1,http://10.0.0.1/1.jpg,在用\n"
        "cam 2,二,120.3,,400,0,0,file:///x,rtsp://10.0.0.1/1,调试\n"
        "cam-1,三,,,,,,,,\n"
    )
    rows, problems = read_cameras(text.encode("gb18030"), "c.csv")
    assert {(one.row, one.column) for one in problems} == {
        (3, "camera"), (3, "lat"), (3, "bearing"), (3, "angle"), (3, "range_m"), (3, "stream"),
        (3, "snapshot"), (3, "state"), (4, "camera"),
    }  # fmt: skip
    assert rows[0] == CameraRow(
        2, "cam-1", "一", 120.3, 36.0, 90.0, 60.0, 200.0, None, None, "rtsp://10.0.0.1/1",
        "http://10.0.0.1/1.jpg", "in-service",
    )  # fmt: skip


def test_cameras_that_are_written_are_read_back_the_same() -> None:
    rows, _ = read_cameras(CATALOGUE.encode(), "c.xml")
    names = columns_of(CameraRow)
    values = [tuple(getattr(row, name) for name in names) for row in rows]
    for target in ("c.csv", "c.xlsx"):
        again, problems = read_cameras(file_of(table(names, values), target), target)
        assert problems == []
        assert [tuple(getattr(row, name) for name in names) for row in again] == values


def test_assets_have_a_kind_in_either_language() -> None:
    rows, problems = read_assets("设施,设施类型,权属单位\nm-1,管线,燃气公司\nb-1,bridge,\n".encode(), "a.csv")
    assert problems == []
    assert [(row.kind, row.owner) for row in rows] == [("pipe", "燃气公司"), ("bridge", None)]
    _, problems = read_assets(b"asset,kind\nm-1,\nm-1,tube\n", "a.csv")
    assert {(one.row, one.column) for one in problems} == {(2, "kind"), (3, "kind"), (3, "asset")}
