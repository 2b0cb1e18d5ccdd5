"""Why an alert was raised: the numbers of a change of an episode, and the sentence made of them.

One small function a detector says what it saw. Neighbours are sensors of the same category and zone with
the newest value known at that place of the log.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from detectors.checked import tells
from detectors.contract import NO_SLOT
from detectors.group_said import SAYINGS
from detectors.limits_said import OWN_UNIT, limit_text, saying
from detectors.program import Lane, Program
from detectors.slots import Facts
from detectors.tracks import Change, Explained
from detectors.wording import Finding, clock, number, quantity, sentence, span_en, span_zh, unit_text
from schemas.alert import Alert, Evidence, Place
from schemas.catalogue import Category, catalogue
from schemas.clock import to_datetime, to_us
from schemas.reading import FUTURE_SUSPECT_US
from schemas.rule import Rule

SHOWN_NEIGHBOURS = 5
EXPLAINS = 0.25


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Other sensors of the same category and zone: how many are known, how many meet a level themselves."""

    known: int = 0
    agreeing: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)


def members_of(program: Program, told: Explained) -> Neighbours:
    """Those of a group that were known, who explain most of it first; `agrees`: a quarter of it or more."""
    known = np.flatnonzero(np.isfinite(told.shown))
    share = np.nan_to_num(told.share[known], nan=0.0)
    most = known[np.argsort(-share, kind="stable")][:SHOWN_NEIGHBOURS]
    return Neighbours(
        shown=[
            {
                "subject": program.sensors[int(told.rows[i])].key,
                "value": float(told.shown[i]),
                "agrees": bool(told.share[i] >= EXPLAINS),
            }
            for i in most.tolist()
        ]
    )


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
    place: Place | None = None


def evidence(program: Program, lane: Lane, change: Change, neighbours: Neighbours) -> Evidence:
    rule, bound = lane.rule_of(change.track), lane.bound_of(change.track)
    seen = _SAW[lane.detector.name](program, lane, change)
    seen = _in_own_words(rule, program, lane, change, seen)
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
        place=seen.place,
    )


def _in_own_words(rule: Rule, program: Program, lane: Lane, change: Change, seen: Seen) -> Seen:
    """The rule's message in place of the detector's words, where it has one; what clears says so itself."""
    if not (rule.messages.zh or rule.messages.en):
        return seen
    at_gateway = lane.detector.looks_at == "gateways"
    row = int(lane.row[change.track])
    sensor = None if at_gateway else program.sensors[row]
    places = {
        "value": "" if seen.value is None else f"{seen.value:g}",
        "unit": unit_text(seen.unit),
        "limit": "" if seen.limit is None else f"{seen.limit:g}",
        "point": sensor.point if sensor else "",
        "gateway": sensor.gateway if sensor else program.gateways[row].gateway,
        "zone": program.gateways[row].zone if at_gateway else program.zones[row],
        "asset": (sensor.asset if sensor else None) or "",
        "level": str(change.level),
        "since": clock(change.since, change.at),
    }
    zh = rule.messages.zh.format(**places, title=rule.title_zh, what=seen.what_zh) or seen.what_zh
    en = rule.messages.en.format(**places, title=rule.title_en, what=seen.what_en) or seen.what_en
    return dataclasses.replace(seen, what_zh=zh, what_en=en)


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
    looked_at = slot.depth - change.value if slot.shown == "freeboard" else change.score
    # Own weather stations observe; official warnings come from the weather service alone.
    title_zh = f"实况提示：{rule.title_zh}" if category.domain == "weather" else rule.title_zh
    title_en = f"observation: {rule.title_en}" if category.domain == "weather" else rule.title_en
    if category.is_state:
        doing = ("恢复正常", "back to normal") if change.change == "clear" else ("动作", "active")
        what_zh, what_en = f"{title_zh}：{doing[0]}", f"{title_en}: {doing[1]}"
    else:
        said_zh, said_en = saying(slot, looked_at, change.value, category)
        limit_zh, limit_en = limit_text(slot)
        what_zh, what_en = f"{title_zh}{said_zh}{limit_zh}", f"{title_en}{said_en}{limit_en}"
    # What is shown beside the limit is in the limit's own measure: a share, a count, or the category's unit.
    own = slot.shown in OWN_UNIT and not slot.percent
    return Seen(
        what_zh,
        what_en,
        value=_finite(looked_at * 100 if slot.percent else looked_at),
        unit=category.unit if own else "%" if slot.percent else "1",
        limit=slot.limit * 100 if slot.percent else slot.limit,
        condition=facts.choices[slot.group].text if facts.choices else None,
        window_us=slot.span_us,
    )


def _scored(words: Callable[[str, str, Any], tuple[str, str]]) -> Callable[[Program, Lane, Change], Seen]:
    """A detector that gives one score to one reading: `words` makes the sentence of what was read, how
    strange it is, and the detector's facts."""

    def saw(program: Program, lane: Lane, change: Change) -> Seen:
        _, category = _category(program, lane, change)
        facts = lane.bound_of(change.track).facts
        amount = quantity(change.value, category.unit, category.resolution)
        zh, en = words(amount, f"{abs(change.score):.1f}", facts)
        return Seen(
            f"{category.name_zh} {zh}",
            f"{category.quantity} {en}",
            value=_finite(change.value),
            unit=category.unit,
            limit=float(getattr(facts, "limit", 1.0)),
            condition=lane.detector.name,
        )

    return saw


_ewma = _scored(
    lambda amount, size, facts: (
        f"{amount}，加权均值偏离自身均值 {size} 倍标准差（限 {facts.limit:g}）",
        f"{amount}: weighted mean {size} sigma off its own mean (limit {facts.limit:g})",
    )
)
_cusum = _scored(
    lambda amount, size, facts: (
        f"{amount}，累积偏离自身均值达 {size} 倍标准差（限 {facts.h:g}）",
        f"{amount}: departures from its own mean add up to {size} sigma (limit {facts.h:g})",
    )
)
_noise_change = _scored(
    lambda amount, size, _: (
        f"{amount}，相邻读数的波动为平常的 {size} 倍",
        f"{amount}: from one reading to the next it scatters {size} times as much as usual",
    )
)
_spike = _scored(
    lambda amount, size, _: (
        f"{amount}，偏离前三次读数中位数，幅度为限值的 {size} 倍",
        f"{amount}: away from the median of the three before, {size} times the limit",
    )
)
_seasonal = _scored(
    lambda amount, size, _: (
        f"{amount}，偏离该时段常态，幅度为限值的 {size} 倍",
        f"{amount}: away from what is usual at this hour, {size} times the limit",
    )
)

_novelty = _scored(
    lambda amount, size, _: (
        f"{amount}，近段读数的波形未曾出现过，差异为限值的 {size} 倍",
        f"{amount}: the course of the last readings is of a shape not shown before, {size} times the limit",
    )
)


def _plausible(program: Program, lane: Lane, change: Change) -> Seen:
    rule, category = _category(program, lane, change)
    facts = lane.bound_of(change.track).facts
    amount, low, high = (
        quantity(x, category.unit, category.resolution) for x in (change.value, facts.low, facts.high)
    )
    zh = f"{category.name_zh}测点读数 {amount}，可信范围 {low} 至 {high}"
    en = f"{category.quantity} {amount}; plausible is {low} to {high}"
    if tells(rule):
        back = change.change == "clear"
        zh += "，恢复研判" if back else "；此类读数不参与其他规则研判"
        en += "; judged again" if back else "; no other rule judges such readings"
    return Seen(
        zh,
        en,
        value=_finite(change.value),
        unit=category.unit,
        limit=facts.high if change.value > facts.high else facts.low,
        condition="plausible",
    )


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


def _clock(program: Program, lane: Lane, change: Change) -> Seen:
    g = int(lane.row[change.track])
    gateway, points = program.gateways[g].gateway, int((program.gateway == g).sum())
    off_us = round(change.value)
    zh, en = span_zh(abs(off_us)), span_en(abs(off_us))
    if change.change == "clear":
        what = f"网关 {gateway} 时钟恢复正常", f"the clock of gateway {gateway} is right again"
    elif off_us > 0:
        what = (
            f"网关 {gateway} 时钟快 {zh}，{points} 个测点的读数只存不判，等同未设防",
            f"the clock of gateway {gateway} is {en} ahead: readings of its {points} points are kept and not"
            " judged, nobody is guarded by them",
        )
    else:
        what = (
            f"网关 {gateway} 时钟慢 {zh}，{points} 个测点早于既有读数的数据只存不判，其后按错误时间研判",
            f"the clock of gateway {gateway} is {en} behind: readings of its {points} points that are older"
            " than what it said before are kept and not judged, later ones are judged at wrong times",
        )
    limit = FUTURE_SUSPECT_US / 1e6
    return Seen(*what, value=off_us / 1e6, unit="s", limit=limit, condition="clock_off")


def _together(program: Program, lane: Lane, change: Change) -> Seen:
    """A group; detectors/group_said.py has the words."""
    _, category = _category(program, lane, change)
    facts = lane.bound_of(change.track).facts
    told = change.told
    names = [] if told is None else [program.sensors[row].point for row in told.rows.tolist()]
    said = SAYINGS[lane.detector.name](category, facts, told, names, change)
    limit = facts.limits.limit[change.level - 1]
    return Seen(
        said.zh,
        said.en,
        value=_finite(said.value),
        unit=said.unit,
        limit=limit * said.factor if math.isfinite(limit) else None,
        condition=lane.detector.name,
        window_us=said.window_us,
        place=said.place,
    )


_SAW: dict[str, Callable[[Program, Lane, Change], Seen]] = {
    "threshold": _threshold,
    "stuck": _stuck,
    "ewma": _ewma,
    "cusum": _cusum,
    "noise-change": _noise_change,
    "plausible": _plausible,
    "spike": _spike,
    "seasonal": _seasonal,
    "novelty": _novelty,
    "silence": _silence,
    "blind-area": _blind,
    "clock": _clock,
    **dict.fromkeys(SAYINGS, _together),
}
