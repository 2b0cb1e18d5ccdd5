"""One sentence for a duty officer, in Chinese and in English: what, how much, against what, since when.

Numbers are rounded to the quantity's resolution, units are those people write, times are the city's
(+08:00). Facts in, text out; nothing here decides anything.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from schemas.clock import to_datetime

ZONE = dt.timezone(dt.timedelta(hours=8))
LEVELS_ZH = {1: "一级（红）", 2: "二级（橙）", 3: "三级（黄）", 4: "四级（蓝）"}
LEVELS_EN = {1: "level 1 (red)", 2: "level 2 (orange)", 3: "level 3 (yellow)", 4: "level 4 (blue)"}
PLACES = frozenset(
    {"title", "value", "unit", "limit", "point", "gateway", "zone", "asset", "level", "since", "what"}
)
"""What a rule's own message may name in braces; `what` is what the detector would have said."""
UNITS = {
    "1": "",
    "Cel": "°C",
    "[ppm]": "ppm",
    "[NTU]": "NTU",
    "[pH]": "",
    "%{vol}": "%VOL",  # never a bare % for gas: it could be read as % of the explosive limit
    "%{LEL}": "%LEL",
    "%{RH}": "%RH",
    "{count}": "",
    "dB[SPL]": "dB",
    "um/m": "με",
    "uS/cm": "μS/cm",
    "ug/m3": "μg/m³",
    "mg/m3": "mg/m³",
    "m3/h": "m³/h",
    "m3": "m³",
    "m/s2": "m/s²",
    "W/m2": "W/m²",
    "kOhm": "kΩ",
    "deg": "°",
    "kW.h": "kWh",
    "/s": "/s",
    "/min": "/min",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sentence is made of; numbers as text."""

    change: str
    level: int
    what_zh: str  # the quantity and what it does, "... 3.25 %VOL（限 2.5）"
    what_en: str
    since: int
    at: int
    neighbours: int = 0
    agreeing: int = 0


def unit_text(unit: str | None) -> str:
    return UNITS.get(unit or "", unit or "")


def number(value: float, resolution: float) -> str:
    """Rounded to the resolution, never in more than 6 significant digits.

    >>> number(3.2512, 0.01), number(12345.6, 1.0), number(1e12, 0.01)
    ('3.25', '12346', '1e+12')
    """
    if not math.isfinite(value) or abs(value) >= 1e9:
        return f"{value:g}"
    decimals = max(0, math.ceil(-math.log10(resolution) - 1e-9)) if resolution > 0 else 3
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def quantity(value: float, unit: str | None, resolution: float) -> str:
    text, words = number(value, resolution), unit_text(unit)
    return f"{text}{'' if words == '°' else ' '}{words}" if words else text


def span_zh(us: int) -> str:
    return _span(us, (" 天", " 小时", " 分钟", " 秒"))


def span_en(us: int) -> str:
    return _span(us, (" d", " h", " min", " s"))


def _span(us: int, words: tuple[str, str, str, str]) -> str:
    seconds = us / 1e6
    for size, word in zip((86_400, 3_600, 60), words, strict=False):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g}{word}"
    return f"{seconds:.3g}{words[3]}"


def clock(us: int, beside: int | None = None) -> str:
    """HH:MM in the city's time, with the date unless it is that of `beside`."""
    moment = to_datetime(us).astimezone(ZONE)
    if beside is None or to_datetime(beside).astimezone(ZONE).date() == moment.date():
        return f"{moment:%H:%M}"
    return f"{moment:%m-%d %H:%M}"


def sentence(finding: Finding) -> tuple[str, str]:
    """The sentence in zh and en."""
    since = clock(finding.since, finding.at)
    level_zh, level_en = LEVELS_ZH[finding.level], LEVELS_EN[finding.level]
    if finding.change == "clear":
        until = clock(finding.at)
        return (
            f"已恢复：{finding.what_zh}，{level_zh}报警 {since} 至 {until}。",
            f"Cleared: {finding.what_en}; {level_en} from {since} to {until}.",
        )
    start_zh, start_en = {
        "raise": ("", ""),
        "upgrade": (f"升为{level_zh}：", f"Now {level_en}: "),
        "downgrade": (f"降为{level_zh}：", f"Down to {level_en}: "),
        "update": ("持续加重：", "Getting worse: "),
    }[finding.change]
    zh, en = f"{start_zh}{finding.what_zh}，{since} 起", f"{start_en}{finding.what_en}, since {since}"
    if finding.neighbours:
        zh += f"，同片区 {finding.neighbours} 个测点中 {finding.agreeing} 个同向"
        en += f"; {finding.agreeing} of {finding.neighbours} neighbours in the zone agree"
    return f"{zh}。", f"{en[0].upper()}{en[1:]}."
