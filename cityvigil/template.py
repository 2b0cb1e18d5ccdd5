"""The empty registry files that people fill in: Chinese heads, a sheet that explains, a sheet of categories.

As .xlsx everything is in one workbook, of which an import reads the first sheet; CSV is the heads alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cityvigil import column_names, sheet
from schemas.catalogue import catalogue

TABLES: Mapping[str, Mapping[str, str]] = {
    "sensors": column_names.SENSORS,
    "zones": column_names.ZONES,
    "gateways": column_names.GATEWAYS,
    "assets": column_names.ASSETS,
    "cameras": column_names.CAMERAS,
}

_EXPLAINED = {
    "gateway": ("必填。小写字母、数字和连字符，与网关登录名一致", "required; lower case letters, digits, -"),
    "point": ("必填。网关上报时的测点名，同一网关内不重复", "required; the gateway's name for it"),
    "sensor": ("留空由系统编号", "empty: numbered by the system"),
    "category": ("监测项键或中文名，见“监测项”表；留空表示待归类", "key or Chinese name; empty: waits"),
    "unit": ("留空取监测项的单位", "empty: the category's"),
    "zone": ("片区编号，如 shinan-01；须与网关所在片区一致", "zone id; that of its gateway"),
    "asset": ("所在设施的编号", "the asset it stands at"),
    "lon": ("十进制度，或 120°23′04.5″；坐标系在导入时声明", "decimal degrees or d°m′s″"),
    "lat": ("同上", "likewise"),
    "state": ("在用、调试、检修、停用；留空为在用", "in-service, commissioning, maintenance, retired"),
    "tags": ("规则选点用，分号隔开，如 dma:7;inlet；留空不变，- 为清空", "rules select by them; -: none"),
    "maintenance_from": ("检修开始时间，如 2026-03-01 08:00（北京时间）", "begin of a maintenance window"),
    "maintenance_to": ("检修结束时间", "its end"),
    "district": ("必填。区市编号，如 shinan", "required; district id"),
    "name_zh": ("中文名称", "Chinese name"),
    "name_en": ("英文名称", "English name"),
    "interval_s": ("网关至少多久上报一次，秒", "publishes at least every so many seconds"),
    "silent_after_s": ("多久不上报算离线，秒；留空为 5 个间隔，至少 10 分钟", "silent after so many s"),
    "identity": ("国标协议的设备标识，如 hj212/88888880000006", "its name in a national protocol"),
    "password": ("协议自带的口令（HJ 212 的 PW 等）；留空不变，- 为取消", "its password; - takes it away"),
    "kind": ("、".join(column_names.KINDS.values()), ", ".join(column_names.KINDS)),
    "owner": ("权属单位", "owner"),
    "camera": ("必填。摄像机编号（国标 20 位编码或自定）", "required; GB/T 28181 id or any other"),
    "name": ("名称", "name"),
    "bearing": ("正北为 0，顺时针，度；留空表示四周（球机）", "degrees from north; empty: all round"),
    "angle": ("水平视场角，度", "horizontal angle of view, degrees"),
    "range_m": ("看得清的距离，米", "how far it sees, metres"),
    "stream": ("视频流地址，rtsp:// 或 http(s)://", "stream address"),
    "snapshot": ("抓拍图片地址，http(s)://", "snapshot address"),
}  # fmt: skip


def empty_file(table: str, target: str) -> bytes:
    """An empty file of a table; .xlsx by its name, else CSV with a byte order mark, for spreadsheets."""
    names = TABLES[table]
    heads = list(names.values())
    if not target.endswith(".xlsx"):
        return b"\xef\xbb\xbf" + sheet.written(heads, []).encode()
    sheets = [(table, iter([heads])), ("填写说明", _explained(names))]
    if table == "sensors":
        sheets.append(("监测项", _categories()))
    return sheet.workbook(sheets)


def _explained(names: Mapping[str, str]) -> Iterator[list[str]]:
    yield ["列", "column", "说明", "meaning"]
    for name, head in names.items():
        yield [head, name, *_EXPLAINED[name]]
    if names is column_names.SENSORS:
        yield [
            "参数.NAME",
            "param.NAME",
            "现场参数，如 参数.op（运行压力）",
            "a site parameter that thresholds name",
        ]


def _categories() -> Iterator[list[str]]:
    yield ["监测项", "key", "单位", "设备品类", "现场参数"]
    for key, row in catalogue().items():
        yield [row.name_zh, key, row.unit, row.device_type, ", ".join(row.site_params)]
