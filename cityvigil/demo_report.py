"""What a timed demo has shown: each injected fault held against the alerts and cases it led to.

Pure: it is given the truth, the alerts' messages and the cases, and judges by these definitions. A fault
is missed if no alert of a sensor that could know rose in onset..end + 10 min of city time, or if none
became a case; misrouted if its case has another unit or worst level than the scenario expects; alerted
twice if two cases stand for it or one (alert, seq) was applied twice. A case is false if no fault
explains any of its alerts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.alert import Alert

GRACE = dt.timedelta(minutes=10)
FALSE_CASES_ALLOWED = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault, as the simulator's truth file says it."""

    kind: str
    network: str
    zone: str
    subjects: frozenset[str]
    onset: dt.datetime
    end: dt.datetime
    expected_level: int | None  # None: it must be absorbed, without an alert
    expected_unit: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """An alert's message and when Kafka took it."""

    alert: Alert
    kafka_at: dt.datetime

    @property
    def delay_ms(self) -> float | None:
        if self.alert.published_at is None:
            return None
        return (self.kafka_at - self.alert.published_at) / dt.timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """What a case came to by the end; `notified` is its first outbox attempt."""

    case_id: str
    state: str
    level: int
    unit: str | None
    alerts: tuple[str, ...]
    notified: dt.datetime | None = None


@dataclass(slots=True)
class Judgement:
    """The report's rows and what is wrong with them, in words."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    false_cases: list[str] = field(default_factory=list)
    delays_ms: list[float] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.wrong


def judge(
    faults: Sequence[Fault],
    messages: Sequence[Message],
    cases: Sequence[CaseRow],
    applied_twice: Sequence[tuple[str, int]] = (),
) -> Judgement:
    """Holds what was injected against what came of it."""
    result = Judgement(delays_ms=_delays(messages))
    raised = _first_messages(messages)
    explained: set[str] = set()
    for fault in faults:
        mine = [m for m in raised.values() if _explains(fault, m.alert)]
        mine.sort(key=lambda m: m.kafka_at)
        explained.update(m.alert.alert_id for m in mine)
        ids = {m.alert.alert_id for m in mine}
        its_cases = [case for case in cases if ids.intersection(case.alerts)]
        result.faults.append(_row(fault, mine, its_cases))
        result.wrong.extend(_complaints(fault, mine, its_cases))
    result.wrong.extend(f"alert {alert_id} seq {seq} was applied twice" for alert_id, seq in applied_twice)
    result.false_cases = [case.case_id for case in cases if not explained.intersection(case.alerts)]
    if len(result.false_cases) > FALSE_CASES_ALLOWED:
        allowed = FALSE_CASES_ALLOWED
        result.wrong.append(f"{len(result.false_cases)} cases are false, {allowed} are allowed")
    return result


def percentiles(delays_ms: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and max in milliseconds; null without a delay."""
    if not delays_ms:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    values = np.asarray(delays_ms, dtype=float)
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {name: round(float(value), 1) for name, value in
            (("p50", p50), ("p95", p95), ("p99", p99), ("max", values.max()))}  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report's faults as a table for a terminal."""
    columns = ("network", "kind", "zone", "level", "unit", "case", "state", "sense_to_alert_ms", "alerts")
    cells = [[_cell(column, row) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = [list(columns), *cells]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(column: str, row: Mapping[str, Any]) -> str:
    value = row[column]
    if column in ("level", "unit") and value != row[f"expected_{column}"]:
        return f"{value} (expected {row[f'expected_{column}']})"
    return "-" if value is None else str(value)


def _first_messages(messages: Sequence[Message]) -> dict[str, Message]:
    first: dict[str, Message] = {}
    for message in sorted(messages, key=lambda m: (m.alert.alert_id, m.alert.seq, m.kafka_at)):
        first.setdefault(message.alert.alert_id, message)
    return first


def _delays(messages: Sequence[Message]) -> list[float]:
    """One delay per (alert, seq): a message that a restarted worker repeats counts once, by its first."""
    first: dict[tuple[str, int], float] = {}
    for message in sorted(messages, key=lambda m: m.kafka_at):
        delay = message.delay_ms
        if delay is not None:
            first.setdefault((message.alert.alert_id, message.alert.seq), delay)
    return list(first.values())


def _explains(fault: Fault, alert: Alert) -> bool:
    return alert.subject in fault.subjects and fault.onset <= alert.observed_at <= fault.end + GRACE


def _row(fault: Fault, mine: Sequence[Message], cases: Sequence[CaseRow]) -> dict[str, Any]:
    first = mine[0] if mine else None
    case = cases[0] if cases else None
    delay = first.delay_ms if first else None
    return {
        "network": fault.network,
        "kind": fault.kind,
        "zone": fault.zone,
        "onset": fault.onset.isoformat(),
        "alert_id": first.alert.alert_id if first else None,
        "sense_to_alert_ms": round(delay, 1) if delay is not None else None,
        "level": case.level if case else None,
        "expected_level": fault.expected_level,
        "case": case.case_id if case else None,
        "unit": case.unit if case else None,
        "expected_unit": fault.expected_unit,
        "notified": case.notified.isoformat() if case and case.notified else None,
        "state": case.state if case else None,
        "alerts": len(mine),
    }


def _complaints(fault: Fault, mine: Sequence[Message], cases: Sequence[CaseRow]) -> list[str]:
    name = f"{fault.kind} in {fault.zone}"
    if fault.expected_level is None:
        return [f"{name} raised an alert: {mine[0].alert.rule}"] if mine else []
    if not mine:
        return [f"{name} was missed: no alert rose"]
    if not cases:
        return [f"{name} was missed: its alert became no case"]
    wrong = []
    if len(cases) > 1:
        wrong.append(f"{name} was alerted twice: cases {', '.join(case.case_id for case in cases)}")
    for case in cases:
        if case.level != fault.expected_level:
            wrong.append(f"{name}: case {case.case_id} has level {case.level}, not {fault.expected_level}")
        if case.unit != fault.expected_unit:
            wrong.append(f"{name}: case {case.case_id} went to {case.unit}, not {fault.expected_unit}")
    return wrong
