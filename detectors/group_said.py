"""What a detector of groups says in an alert: numbers and a sentence in zh and en, naming who explains it.

Text only; `evidence.py` puts it beside level, time and source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from detectors.tracks import Change, Explained
from detectors.wording import quantity
from schemas.alert import Place
from schemas.catalogue import Category

MOST_NAMED = 3
LEAST_SHARE = 0.25


class Said(NamedTuple):
    """`factor`: of the limits, as they are kept, to `unit`."""

    zh: str
    en: str
    value: float
    unit: str | None
    factor: float = 1.0
    window_us: int = 0
    place: Place | None = None


def explaining(told: Explained | None, names: Sequence[str]) -> list[str]:
    """The members that explain a quarter of it or more, most first."""
    if told is None:
        return []
    share = np.nan_to_num(told.share, nan=0.0)
    return [names[i] for i in np.argsort(-share, kind="stable").tolist() if share[i] >= LEAST_SHARE][
        :MOST_NAMED
    ]


def _balance(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    now, usual, off, flowing_in = told.figures if told else (math.nan,) * 4
    size, at, was = (quantity(x, category.unit, category.resolution) for x in (off, now, usual))
    who = explaining(told, names)
    mostly_zh, mostly_en = (
        (f"，主要见于 {'、'.join(who)}", f", mostly at {', '.join(who)}") if who else ("", "")
    )
    share = facts.limits.measure == "dev"
    part = off / flowing_in if share and flowing_in else math.nan
    if change.change == "clear":
        zh, en = f"分区水量平衡恢复：差额 {at}，常态 {was}", f"balance as usual again: {at}, usual {was}"
    else:
        rate_zh = f"（占流入 {part:.0%}）" if math.isfinite(part) else ""
        rate_en = f" ({part:.0%} of the inflow)" if math.isfinite(part) else ""
        zh = f"分区流入减流出 {at}，比该时段常态 {was} 多 {size}{rate_zh}{mostly_zh}"
        en = f"in less out {at}: {size}{rate_en} above the usual {was} of this hour{mostly_en}"
    return Said(
        zh, en, part * 100 if share else off, "%" if share else category.unit, 100.0 if share else 1.0
    )


def _neighbours(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    now, usual, off, _ = told.figures if told else (math.nan,) * 4
    apart, was, size = (quantity(x, category.unit, category.resolution) for x in (now, usual, abs(off)))
    others = int(np.isfinite(told.shown[1:]).sum()) if told else 0
    kind_zh, kind_en = category.name_zh, category.quantity
    if change.change == "clear":
        zh = f"{kind_zh}测点与相邻 {others} 个测点的差恢复常态：{apart}"
        en = f"{kind_en}: as far from its {others} neighbours as usual again, {apart}"
    else:
        way_zh, way_en = ("偏高", "above") if off > 0 else ("偏低", "below")
        zh = f"{kind_zh}测点与相邻 {others} 个测点的中位数相差 {apart}，常态 {was}，{way_zh} {size}，疑似漂移"
        en = f"{kind_en}: {apart} from the median of its {others} neighbours, usually {was};"
        en = f"{en} {size} {way_en}, the sensor may drift"
    in_sigmas = facts.limits.measure == "sigma"
    return Said(zh, en, change.score if in_sigmas else abs(off), "1" if in_sigmas else category.unit)


def _fitted(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    times, count = f"{change.score:.1f}", len(names)
    who = explaining(told, names)
    worst_zh, worst_en = (f"，最异常的是 {who[0]}", f", {who[0]} departs most") if who else ("", "")
    if change.change == "clear":
        zh, en = (
            f"{count} 个测点的联合残差恢复常态",
            f"the residual of {count} sensors together is as usual again",
        )
    else:
        zh = f"{count} 个测点的联合残差为模型限值的 {times} 倍{worst_zh}（模型 {facts.version}）"
        en = f"{count} sensors together: residual {times} times the model's limit{worst_en}"
        en = f"{en} (model {facts.version})"
    return Said(zh, en, change.score, "1")


def _locate(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    fall, count, place, metres = told.figures if told else (math.nan,) * 4
    size = quantity(fall, category.unit, category.resolution)
    if not math.isfinite(place):
        return Said("各测点压力恢复", "the pressures are back", fall, category.unit)
    name, away = facts.places[int(place)], max(math.ceil(metres / 10) * 10, 10)
    there = Place(
        text_zh=f"疑似爆管位置 {name}，误差 {away} 米以内",
        text_en=f"probably {name}, within {away} m",
        lon=round(float(facts.lon[int(place)]), 6),
        lat=round(float(facts.lat[int(place)]), 6),
        within_m=float(away),
    )
    if change.change == "clear":
        zh, en = f"各测点压力恢复；{there.text_zh}", f"the pressures are back; {there.text_en}"
    else:
        zh = f"{count:.0f} 个测点压力同时下降，最大 {size}；{there.text_zh}"
        en = f"{count:.0f} gauges fell together, at most by {size}; {there.text_en}"
    return Said(zh, en, fall, category.unit, place=there)


def _front(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    count, place, metres, odd = told.figures if told else (math.nan,) * 4
    size = quantity(change.score, category.unit, category.resolution)
    there = _along(facts, int(place), metres) if math.isfinite(place) else None
    if change.change == "clear":
        zh, en = (f"；{there.text_zh}", f"; {there.text_en}") if there else ("", "")
        said = f"压力波前已过{zh}", f"the pressure front has passed{en}"
        return Said(*said, change.score, category.unit, place=there)
    zh = f"同一压力波前到达 {count:.0f} 个测点，最大 {size}"
    en = f"one pressure front reached {count:.0f} loggers, at most {size}"
    if there:
        zh, en = f"{zh}；{there.text_zh}", f"{en}; {there.text_en}"
    elif told is not None:
        delays = np.where(np.arange(len(names)) < facts.sizes, np.nan, told.shown)
        order = [i for i in np.argsort(delays, kind="stable").tolist() if math.isfinite(delays[i])]
        first = [f"{names[i]} +{delays[i]:.3f} s" for i in order[:MOST_NAMED]]
        zh, en = f"{zh}，先后为 {'、'.join(first)}", f"{en}, in this order: {', '.join(first)}"
        if facts.network:
            zh = f"{zh}；到达时刻与任何一处都不符，可能是时钟错误或两次事件"
            en = f"{en}; no one place explains the times: a clock, or two events"
    if math.isfinite(odd):
        name = names[int(odd)]
        zh, en = f"{zh}；{name} 时刻不符，疑时钟错误", f"{en}; {name} fits nowhere, its clock may be off"
    return Said(zh, en, change.score, category.unit, place=there)


def _along(facts: Any, place: int, metres: float) -> Place:
    network, away = facts.network, max(math.ceil(metres / 10) * 10, 10)
    pipe = int(network.pipe[place])
    name, begin, end = facts.places[3 * pipe : 3 * pipe + 3]
    along, length = round(float(network.along[place])), round(float(network.length[pipe]))
    zh = f"疑似起于管段 {name}，距节点 {begin} {along} 米（至 {end} 共 {length} 米）"
    en = f"probably began in pipe {name}, {along} m from node {begin} ({length} m to {end})"
    return Place(
        text_zh=f"{zh}，误差 {away} 米以内",
        text_en=f"{en}, within {away} m",
        lon=round(float(network.lon[place]), 6),
        lat=round(float(network.lat[place]), 6),
        within_m=float(away),
    )


def _night_flow(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    least, usual, off, nights = told.figures if told else (math.nan,) * 4
    now, was, size = (quantity(x, category.unit, category.resolution) for x in (least, usual, off))
    share = facts.limits.measure == "dev"
    part = off / usual if usual else math.nan
    rate = f" ({part:.0%})" if math.isfinite(part) else ""
    zh = f"分区夜间最小流量 {now}，前 {nights:.0f} 夜常态 {was}，多 {size}{rate}"
    en = f"least flow of the night {now}: {size}{rate} more than the {was} of the nights before"
    if change.change == "clear":
        zh, en = f"分区夜间最小流量恢复常态：{now}", f"least flow of the night as usual again: {now}"
    return Said(zh, en, 100 * part, "%", 100.0) if share else Said(zh, en, off, category.unit)


def _modal(
    category: Category, facts: Any, told: Explained | None, names: Sequence[str], change: Change
) -> Said:
    value, lost, warm, _ = told.figures if told else (math.nan,) * 4
    now, kind_zh, kind_en = (
        quantity(value, category.unit, category.resolution),
        category.name_zh,
        category.quantity,
    )
    if change.change == "clear":
        zh = f"{kind_zh} {now}，扣除温度影响后恢复常态"
        en = f"{kind_en} {now}: as usual again for its temperature"
    else:
        zh = f"{kind_zh} {now}，气温 {warm:.1f} °C，扣除温度影响后仍下降 {lost:.1%}，疑似刚度损失"
        en = f"{kind_en} {now} at {warm:.1f} °C: {lost:.1%} lower, more than its temperature explains"
    return Said(zh, en, 100 * lost, "%", 100.0)


SAYINGS: dict[str, Callable[[Category, Any, Explained | None, Sequence[str], Change], Said]] = {
    "balance": _balance,
    "neighbours": _neighbours,
    "fitted": _fitted,
    "locate": _locate,
    "night-flow": _night_flow,
    "modal": _modal,
    "front": _front,
}
