"""Why an alert was raised: the numbers of a change of an episode, and the sentence made of them.

One small function a detector says what it saw. Neighbours are sensors of the same category and zone with
the newest value known at that place of the log.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from detectors.binding import Facts, Slot
from detectors.contract import NO_SLOT
from detectors.program import Lane, Program
from detectors.tracks import Change
from detectors.wording import Finding, number, quantity, sentence, span_en, span_zh
from schemas.alert import Alert, Evidence
from schemas.catalogue import Category, catalogue
from schemas.clock import to_datetime, to_us
from schemas.rule import Rule

SHOWN_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Other sensors of the same category and zone: how many are known, how many meet a level themselves."""

    known: int = 0
    agreeing: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a detector saw, in numbers and in words."""

    what_zh: str
    what_en: str
    value: float | None = None
    unit: str | None = None
    limit: float | None = None
    condition: str | None = None
    window_us: int = 0  # looked back from the reading; 0: since the beginning of the episode


def evidence(program: Program, lane: Lane, change: Change, neighbours: Neighbours) -> Evidence:
    rule, bound = lane.rule_of(change.track), lane.bound_of(change.track)
    seen = _SAW[lane.detector.name](program, lane, change)
    finding = Finding(
        change.change,
        change.level,
        seen.what_zh,
        seen.what_en,
        change.since,
        change.at,
        neighbours.known,
        neighbours.agreeing,
    )
    zh, en = sentence(finding)
    start = change.at - seen.window_us if seen.window_us else change.since
    return Evidence(
        text_zh=zh,
        text_en=en,
        source=rule.source,
        confidence=rule.confidence,
        value=seen.value,
        unit=seen.unit,
        limit=seen.limit,
        condition=seen.condition,
        window={"from": _text(start), "to": _text(change.at)},
        neighbours=neighbours.shown,
        unguarded=list(bound.reasons),
    )


def withdrawn(last: Alert, at: int) -> Evidence:
    """Of an episode whose rule or sensor is no more."""
    since = to_us(last.since)
    zh, en = sentence(
        Finding(
            "clear",
            last.level,
            f"{last.subject} 的规则 {last.rule} 或测点已撤销",
            f"{last.subject}: rule {last.rule} or the point was withdrawn",
            since,
            at,
        )
    )
    window = {"from": _text(since), "to": _text(at)}
    return replace(last.evidence, text_zh=zh, text_en=en, neighbours=[], window=window)


def _text(us: int) -> str:
    return to_datetime(us).astimezone(dt.UTC).isoformat()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _category(program: Program, lane: Lane, change: Change) -> tuple[Rule, Category]:
    sensor = program.sensors[int(lane.row[change.track])]
    return lane.rule_of(change.track), catalogue()[sensor.category or ""]


def _threshold(program: Program, lane: Lane, change: Change) -> Seen:
    rule, category = _category(program, lane, change)
    facts: Facts = lane.bound_of(change.track).facts
    slot = facts.slots[0 if change.slot == NO_SLOT or change.slot >= len(facts.slots) else change.slot]
    value = slot.depth - change.value if slot.shown == "freeboard" else change.value
    value = change.score if slot.window >= 0 else value
    limit_zh, limit_en = _limit(slot)
    # Own weather stations observe; official warnings come from the weather service alone.
    title_zh = f"实况提示：{rule.title_zh}" if category.domain == "weather" else rule.title_zh
    title_en = f"observation: {rule.title_en}" if category.domain == "weather" else rule.title_en
    if category.is_state:
        doing = ("恢复正常", "back to normal") if change.change == "clear" else ("动作", "active")
        what_zh, what_en = f"{title_zh}：{doing[0]}", f"{title_en}: {doing[1]}"
    else:
        said_zh, said_en = _saying(slot, value, category)
        what_zh, what_en = f"{title_zh}{said_zh}{limit_zh}", f"{title_en}{said_en}{limit_en}"
    return Seen(
        what_zh,
        what_en,
        value=_finite(value),
        unit=category.unit,
        limit=slot.limit,
        condition=facts.choices[slot.group].text,
        window_us=slot.span_us,
    )


def _limit(slot: Slot) -> tuple[str, str]:
    text = f"{abs(slot.limit) if slot.shown in ('roc', 'drop') else slot.limit:.4g}"
    if slot.side == 0:
        return "", ""
    about = f"与设定值 {slot.centre:g} 相差" if slot.centre else ""
    return f"（{about}限 {text}）", f" (limit {text})"


def _saying(slot: Slot, value: float, category: Category) -> tuple[str, str]:
    amount = quantity(value, category.unit, category.resolution)
    if slot.shown == "freeboard":
        return f"：液面距地面 {amount}", f": {amount} below ground"
    if slot.window < 0:
        return f" {amount}", f" {amount}"
    zh, en = span_zh(slot.span_us), span_en(slot.span_us)
    if math.isnan(value):
        return f" {zh}内数据不足", f": too little data in {en}"
    if slot.shown in ("roc", "drop"):
        size = quantity(abs(value), category.unit, category.resolution)
        falls = slot.shown == "drop" or value < 0
        return (
            f" {zh}内{'下降' if falls else '上升'} {size}",
            f" {'fell' if falls else 'rose'} {size} in {en}",
        )
    words = {
        "sum": ("累计", "sum"),
        "mean": ("平均", "mean"),
        "max": ("最高", "maximum"),
        "min": ("最低", "minimum"),
    }
    word_zh, word_en = words[slot.shown]
    return f" {zh}{word_zh} {amount}", f": {word_en} over {en} {amount}"


def _stuck(program: Program, lane: Lane, change: Change) -> Seen:
    _, category = _category(program, lane, change)
    amount, times = quantity(change.value, category.unit, category.resolution), int(change.score)
    if change.change == "clear":
        what = (
            f"{category.name_zh}测点读数恢复变化，现 {amount}",
            f"{category.quantity}: readings vary again, now {amount}",
        )
    else:
        what = (
            f"{category.name_zh}测点疑似卡滞：连续 {times} 次上报同一数值 {amount}",
            f"{category.quantity}: the sensor looks stuck at {amount}, the same value in {times} reports",
        )
    limit = float(lane.bound_of(change.track).facts.repeats)
    return Seen(*what, value=_finite(change.value), unit=category.unit, limit=limit, condition="stuck")


def _ewma(program: Program, lane: Lane, change: Change) -> Seen:
    _, category = _category(program, lane, change)
    limit = float(lane.bound_of(change.track).facts.limit)
    amount = quantity(change.value, category.unit, category.resolution)
    size = f"{abs(change.score):.1f}"
    return Seen(
        f"{category.name_zh} {amount}，加权均值偏离自身均值 {size} 倍标准差（限 {limit:g}）",
        f"{category.quantity} {amount}: weighted mean {size} sigma off its own mean (limit {limit:g})",
        value=_finite(change.value),
        unit=category.unit,
        limit=limit,
        condition="ewma",
    )


def _plausible(program: Program, lane: Lane, change: Change) -> Seen:
    _, category = _category(program, lane, change)
    facts = lane.bound_of(change.track).facts
    amount = quantity(change.value, category.unit, category.resolution)
    low = quantity(facts.low, category.unit, category.resolution)
    high = quantity(facts.high, category.unit, category.resolution)
    return Seen(
        f"{category.name_zh}测点读数 {amount}，可信范围 {low} 至 {high}",
        f"{category.quantity} {amount}; plausible is {low} to {high}",
        value=_finite(change.value),
        unit=category.unit,
        limit=facts.high if change.value > facts.high else facts.low,
        condition="plausible",
    )


def _spike(program: Program, lane: Lane, change: Change) -> Seen:
    _, category = _category(program, lane, change)
    amount = quantity(change.value, category.unit, category.resolution)
    size = f"{change.score:.1f}"
    return Seen(
        f"{category.name_zh} {amount}，偏离前三次读数中位数，幅度为限值的 {size} 倍",
        f"{category.quantity} {amount}: away from the median of the three before, {size} times the limit",
        value=_finite(change.value),
        unit=category.unit,
        limit=1.0,
        condition="spike",
    )


def _seasonal(program: Program, lane: Lane, change: Change) -> Seen:
    _, category = _category(program, lane, change)
    amount = quantity(change.value, category.unit, category.resolution)
    size = f"{change.score:.1f}"
    return Seen(
        f"{category.name_zh} {amount}，偏离该时段常态，幅度为限值的 {size} 倍",
        f"{category.quantity} {amount}: away from what is usual at this hour, {size} times the limit",
        value=_finite(change.value),
        unit=category.unit,
        limit=1.0,
        condition="seasonal",
    )


def _silence(program: Program, lane: Lane, change: Change) -> Seen:
    sensor = program.sensors[int(lane.row[change.track])]
    _, category = _category(program, lane, change)
    facts = lane.bound_of(change.track).facts
    interval_us = round(facts.interval_s * 1e6)
    limit = facts.intervals[change.level - 1]
    limit = float(limit) if math.isfinite(limit) else None
    if change.change == "clear":
        what = (
            f"{category.name_zh}测点 {sensor.point} 恢复上报",
            f"{category.quantity}, point {sensor.point}: reports again",
        )
    else:
        missed = number(change.score, 0.1)
        what = (
            f"设备失联：{category.name_zh}测点 {sensor.point} 已 {missed} 个上报周期"
            f"（每 {span_zh(interval_us)}）无数据",
            f"sensor silent: {category.quantity}, point {sensor.point}, nothing for {missed} intervals"
            f" of {span_en(interval_us)}",
        )
    return Seen(
        *what,
        value=_finite(change.score),
        unit="1",
        limit=limit,
        condition=f"v>={limit:g}" if limit else None,
    )


def _blind(program: Program, lane: Lane, change: Change) -> Seen:
    g = int(lane.row[change.track])
    gateway, points = program.gateways[g].gateway, int((program.gateway == g).sum())
    if change.change == "clear":
        what = f"网关 {gateway} 恢复在线", f"gateway {gateway} is back"
    else:
        what = (
            f"监测盲区：网关 {gateway} 离线，{points} 个测点无数据",
            f"blind area: gateway {gateway} is offline, {points} points without data",
        )
    return Seen(*what, value=float(points), unit=None, condition="gateway_down")


_SAW: dict[str, Callable[[Program, Lane, Change], Seen]] = {
    "threshold": _threshold,
    "stuck": _stuck,
    "ewma": _ewma,
    "plausible": _plausible,
    "spike": _spike,
    "seasonal": _seasonal,
    "silence": _silence,
    "blind-area": _blind,
}
