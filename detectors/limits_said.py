"""How the limit of a threshold rule, and what was looked at, are said in zh and en."""

from __future__ import annotations

import math

from detectors.slots import Slot
from detectors.wording import number, quantity, span_en, span_zh
from schemas.catalogue import Category

OWN_UNIT = frozenset(
    {"v", "abs", "freeboard", "sum", "mean", "max", "min", "roc", "drop", "resid", "dev", "use"}
)
"""What is shown in the category's unit, unless it is a share of something."""
_WINDOWS = {
    "sum": ("累计", "sum"),
    "mean": ("平均", "mean"),
    "max": ("最高", "maximum"),
    "min": ("最低", "minimum"),
}
_LEARNED = {
    "dev": ("偏离该时段基线", "off its usual for this hour by"),
    "drop": ("低于基线", "below its baseline by"),
    "dev_curve": ("偏离供热曲线", "off the weather curve by"),
    "resid": ("偏离温度回归", "off its line on temperature by"),
    "sigma": ("偏离温度回归（标准差倍数）", "off its line on temperature, in sigmas:"),
    "growth": ("较近期均值增长", "above its recent mean by"),
    "ratio": ("占比", "share"),
    "curve": ("为供热曲线的", "as a share of the weather curve:"),
}


def limit_text(slot: Slot) -> tuple[str, str]:
    if slot.side == 0:
        return "", ""
    size = slot.limit * 100 if slot.percent else slot.limit
    text = f"{abs(size) if slot.shown in ('roc', 'drop') else size:.4g}{'%' if slot.percent else ''}"
    about = f"与{'基线' if slot.shown == 'dev' else '设定值'} {slot.centre:g} 相差" if slot.centre else ""
    return f"（{about}限 {text}）", f" (limit {text})"


def saying(slot: Slot, looked_at: float, value: float, category: Category) -> tuple[str, str]:
    """Of the column that decided; `value` is the reading itself."""
    reading = quantity(value, category.unit, category.resolution)
    shown = (
        f"{100 * looked_at:.3g}%" if slot.percent else quantity(looked_at, category.unit, category.resolution)
    )
    if slot.shown == "freeboard":
        return f"：液面距地面 {shown}", f": {shown} below ground"
    if slot.shown in ("v", "abs") or (slot.shown == "dev" and not slot.percent):
        return f" {reading}", f" {reading}"
    zh, en = span_zh(slot.span_us), span_en(slot.span_us)
    if math.isnan(looked_at):
        return (
            (f" {zh}内数据不足", f": too little data in {en}")
            if slot.span_us
            else (f" {reading}", f" {reading}")
        )
    if slot.shown == "count":
        return f" {zh}内 {looked_at:g} 次", f": {looked_at:g} times in {en}"
    if slot.shown in ("input", "hour"):
        return f" {reading}", f" {reading}"
    if slot.shown in _LEARNED and not (slot.shown == "drop" and slot.span_us):
        word_zh, word_en = _LEARNED[slot.shown]
        size = shown if slot.percent or slot.shown != "sigma" else number(abs(looked_at), 0.1)
        return f" {reading}，{word_zh} {size.lstrip('-')}", f" {reading}, {word_en} {size.lstrip('-')}"
    if slot.shown in ("roc", "drop"):
        falls = slot.shown == "drop" or looked_at < 0
        size = shown.lstrip("-")
        return (
            f" {zh}内{'下降' if falls else '上升'} {size}",
            f" {'fell' if falls else 'rose'} {size} in {en}",
        )
    word_zh, word_en = _WINDOWS.get(slot.shown, ("", slot.shown))
    return f" {zh}{word_zh} {shown}", f": {word_en} over {en} {shown}"
