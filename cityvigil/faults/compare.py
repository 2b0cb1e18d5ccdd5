"""What disturbed services left, held against what should be there. Pure: findings in words, none = exact.

Two questions. Is what stands in the stores what an undisturbed second reader makes of the same log? And is
it what the gateways sent: every reading once, every fault's episode there by rule, subject and start?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from cityvigil.faults.left import Account, Cases, Message, Published, Row
from cityvigil.faults.load import Sent
from cityvigil.faults.undisturbed import Episode
from schemas.alert import decode
from schemas.registry import Registry

SHOWN = 3


def rows(found: Sequence[Row], expected: Sequence[Row], whose: str) -> list[str]:
    """Rows as a whole, each as often as it should be there."""
    have, want = Counter(found), Counter(expected)
    return [
        *_some(f"rows of {whose} are missing", want - have),
        *_some(f"rows are there that are not of {whose}, or too often", have - want),
    ]


def sent_rows(sent: Iterable[Sent], registry: Registry) -> list[Row]:
    """The rows that these frames have to become."""
    return sorted(
        Row(one.time_us, registry.sensors[one.gateway, point].sensor, value)
        for one in sent
        for point, value in one.readings
    )


def alerts(found: Published, expected: Mapping[Message, bytes]) -> list[str]:
    """Ids, sequences and bodies, updates included."""
    changed = {key for key, body in expected.items() if found.bodies.get(key, body) != body}
    return [
        *_some("alert messages were repeated with another body", found.differing),
        *_some("alert messages were never published", expected.keys() - found.bodies.keys()),
        *_some("alert messages are not the second reader's", found.bodies.keys() - expected.keys()),
        *_some("alert messages have another body than the second reader's", changed),
    ]


def cases(found: Cases, expected: Cases) -> list[str]:
    expected, found = expected.without(found.acted_on), found.without(found.acted_on)
    differ = {case_id for case_id, row in found.cases.items() if expected.cases.get(case_id, row) != row}
    return [
        *_some("cases of the second reader are missing", expected.cases.keys() - found.cases.keys()),
        *_some(
            "cases are there that the second reader does not make", found.cases.keys() - expected.cases.keys()
        ),
        *_some("cases differ from the second reader's", differ),
        *_some("steps of cases differ", _difference(found.steps, expected.steps)),
        *_some("changes of alerts differ", _difference(found.changes, expected.changes)),
    ]


def episodes(bodies: Iterable[bytes], expected: Collection[Episode], of: Collection[str]) -> list[str]:
    """Of these subjects, by rule, subject and start; our own faults (network `device`) aside."""
    said = [decode(body) for body in bodies]
    have = {Episode.of(one) for one in said if one.change == "raise" and one.subject in of}
    ours = {one.rule for one in said if one.network == "device"}
    want = {one for one in expected if one.subject in of}
    return [
        *_some("episodes were missed", {one for one in want - have if one.rule not in ours}),
        *_some("episodes rose that an undisturbed city does not have",
               {one for one in have - want if one.rule not in ours}),
    ]  # fmt: skip


def ledger(found: Mapping[str, Account], sent: Iterable[Sent], unanswered: int) -> list[str]:
    """Each gateway's line: it adds up, nothing is given up or awaited, and it is what was handed to it."""
    frames: Counter[str] = Counter()
    readings: Counter[str] = Counter()
    for one in sent:
        frames[one.gateway] += 1
        readings[one.gateway] += len(one.readings)
    wrong = []
    for gateway, count in frames.items():
        want = Account(count, count, 0, 0, readings[gateway], 0, 1)
        have = found.get(gateway)
        if have != want:
            wrong.append(f"{gateway}: {have}, expected {want}")
    if unanswered:
        wrong.append(f"gateways still keep {unanswered} frames that were never answered")
    return wrong


def _difference(a: Sequence[tuple[Any, ...]], b: Sequence[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    return set(a) ^ set(b)


def _some(what: str, some: Collection[Any]) -> list[str]:
    """One line for all of them, with the first few."""
    if not some:
        return []
    shown = ", ".join(map(str, sorted(some, key=str)[:SHOWN]))
    return [f"{len(some)} {what}: {shown}{', ...' if len(some) > SHOWN else ''}"]
