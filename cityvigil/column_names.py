"""The heads and words of registry files in Chinese, as the template has them, and the states' words.

A file may have either language, mixed too. Only names are translated here; identifiers never are.
"""

from __future__ import annotations

from collections.abc import Mapping

SENSORS: Mapping[str, str] = {
    "gateway": "网关",
    "point": "测点",
    "sensor": "传感器编号",
    "category": "监测项",
    "unit": "单位",
    "zone": "片区",
    "asset": "设施",
    "lon": "经度",
    "lat": "纬度",
    "state": "状态",
    "tags": "标签",
    "maintenance_from": "检修开始",
    "maintenance_to": "检修结束",
}
ZONES: Mapping[str, str] = {
    "zone": "片区",
    "district": "区市",
    "name_zh": "中文名称",
    "name_en": "英文名称",
    "lon": "经度",
    "lat": "纬度",
}
GATEWAYS: Mapping[str, str] = {
    "gateway": "网关",
    "zone": "片区",
    "interval_s": "上报间隔秒",
    "silent_after_s": "离线判定秒",
    "identity": "设备标识",
    "password": "口令",
}
ASSETS: Mapping[str, str] = {
    "asset": "设施",
    "kind": "设施类型",
    "name_zh": "中文名称",
    "name_en": "英文名称",
    "owner": "权属单位",
    "zone": "片区",
    "lon": "经度",
    "lat": "纬度",
}
CAMERAS: Mapping[str, str] = {
    "camera": "摄像机",
    "name": "名称",
    "lon": "经度",
    "lat": "纬度",
    "bearing": "朝向",
    "angle": "视场角",
    "range_m": "可视距离米",
    "owner": "权属单位",
    "zone": "片区",
    "stream": "视频地址",
    "snapshot": "抓拍地址",
    "state": "状态",
}
PARAM, PARAM_ZH = "param.", "参数."

STATES: Mapping[str, str] = {
    "in-service": "在用",
    "waiting": "待归类",
    "commissioning": "调试",
    "maintenance": "检修",
    "retired": "停用",
}
KINDS: Mapping[str, str] = {
    "pipe": "管线",
    "station": "场站",
    "bridge": "桥梁",
    "building": "建筑",
    "chamber": "窨井",
    "road": "道路",
    "home": "住户",
    "other": "其他",
}


def english(head: str, names: Mapping[str, str]) -> str:
    """The column that a head means; a head that is none of ours stays as it is.

    >>> [english(head, SENSORS) for head in (" 监测项 ", "参数.op", "lon", "备注")]
    ['category', 'param.op', 'lon', '备注']
    """
    head = head.strip()
    if head.startswith(PARAM_ZH):
        return PARAM + head.removeprefix(PARAM_ZH)
    return next((name for name, chinese in names.items() if chinese == head), head)


def key_of(text: str, words: Mapping[str, str]) -> str:
    """The key that a word means, in either language; what is neither stays as it is.

    >>> key_of("检修", STATES), key_of("retired", STATES), key_of("broken", STATES)
    ('maintenance', 'retired', 'broken')
    """
    return next((key for key, chinese in words.items() if chinese == text), text)
