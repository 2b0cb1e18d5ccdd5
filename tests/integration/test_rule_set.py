"""The live set of rules on a real topic: published, promoted, taken back, and read at an offset by detect."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from cityvigil import compacted, rule_set, rule_shadow
from cityvigil.errors import CannotRun
from schemas import alert, topics
from schemas.clock import CityClock, to_us
from schemas.rule import Rule
from streams.publish import AlertWriter
from streams.rules import VersionError, Versions
from tests.case_builders import NOON, an_alert
from tests.integration.detect_log import a_kafka, make_topics_anew

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    with a_kafka() as address:
        yield address


def a_rule(name: str, cell: str = "v>=1") -> Rule:
    return Rule(
        name=name,
        title_zh=name,
        title_en=name,
        detector="threshold",
        network="gas",
        mode="live",
        levels={3: cell},
    )


async def change(kafka: str, *rules: Rule) -> tuple[list[Rule], int]:
    return await rule_set.publish(kafka, await rule_set.read(kafka), rules, by="mei")


async def test_a_change_makes_a_version_and_none_makes_none(kafka: str) -> None:
    await make_topics_anew(kafka)
    first, second = a_rule("first"), a_rule("second")
    assert await change(kafka, first, second) == ([first, second], 1)
    assert await change(kafka, second) == ([], 1)
    assert await change(kafka, first, a_rule("second", "v>=2")) == ([a_rule("second", "v>=2")], 2)
    known = await rule_set.read(kafka)
    assert (known.version, known.by["second"]) == (2, "mei")


async def test_a_rule_goes_back_to_what_it_was_before(kafka: str) -> None:
    await make_topics_anew(kafka)
    old, new = a_rule("one"), a_rule("one", "v>=9")
    await change(kafka, old)
    await change(kafka, new)
    assert (await rule_set.read(kafka)).before("one") == old
    await change(kafka, old)
    assert (await rule_set.read(kafka)).rules["one"] == old
    with pytest.raises(CannotRun, match="no rule is named two"):
        (await rule_set.read(kafka)).before("two")
    await change(kafka, a_rule("fresh"))
    with pytest.raises(CannotRun, match="no earlier content"):
        (await rule_set.read(kafka)).before("fresh")


async def test_detect_reads_the_rules_of_any_offset_and_leaves_drafts_out(kafka: str) -> None:
    await make_topics_anew(kafka)
    await change(kafka, a_rule("a"), a_rule("b"))
    after_first = await compacted.end_of(kafka, topics.RULES)
    await change(kafka, rule_set.in_mode(a_rule("a"), "draft"), a_rule("b", "v>=5"), a_rule("c"))
    after_second = await compacted.end_of(kafka, topics.RULES)
    await compacted.append(kafka, topics.RULES, [(b"d", b"no JSON"), (b"b", msgspec.json.encode({}))])
    async with Versions(kafka) as versions:
        assert await versions.rules_at(after_second) == [a_rule("b", "v>=5"), a_rule("c")]
        assert await versions.rules_at(after_first) == [a_rule("a"), a_rule("b")]
        assert await versions.rules_at(0) == []
        assert await versions.rules_at(after_second + 2) == [a_rule("b", "v>=5"), a_rule("c")]
        with pytest.raises(VersionError, match="names offset 100000 of topic rules"):
            await versions.rules_at(100_000)


async def test_what_a_rule_raised_in_shadow_and_live_is_counted_from_the_topics(kafka: str) -> None:
    await make_topics_anew(kafka)
    rule = rule_set.in_mode(a_rule("one"), "shadow")
    await change(kafka, rule)
    facts = {"rule": rule.name, "rule_version": rule.version}
    async with AlertWriter(kafka, lambda: 0) as writer:
        first, second = (
            an_alert(mode="shadow", **facts),
            an_alert(mode="shadow", subject="sensor/a/b", **facts),
        )
        for sent in await writer.send([first, second, an_alert(mode="live", **facts), second]):
            await sent
    day = dt.timedelta(days=1)
    (row,) = await rule_shadow.read(kafka, NOON - day, NOON + day, CityClock())
    assert (row.rule, row.version, row.in_shadow) == ("one", rule.version, True)
    assert row.live is not None
    assert (row.shadow.alerts, row.shadow.subjects, row.live.alerts) == (2, 2, 1)


async def test_alerts_that_were_written_before_the_window_are_not_read(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_topics_anew(kafka)
    rule = rule_set.in_mode(a_rule("one"), "shadow")
    await change(kafka, rule)
    now = dt.datetime.now(dt.UTC)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for days in (20, 3):
        at = now - dt.timedelta(days=days)
        message = an_alert(
            mode="shadow", rule=rule.name, rule_version=rule.version, since=at, subject=f"sensor/gw/{days}"
        )
        await producer.send_and_wait(
            topics.ALERTS_SHADOW.name, alert.encode(message), partition=0, timestamp_ms=to_us(at) // 1_000
        )
    await producer.stop()
    read = list[str]()
    add = rule_shadow.add

    def noted(found: dict[str, rule_shadow.Episode], message: rule_shadow.Said) -> None:
        read.append(message.subject)
        add(found, message)

    monkeypatch.setattr(rule_shadow, "add", noted)
    (week,) = await rule_shadow.read(kafka, now - dt.timedelta(days=7), now, CityClock())
    assert (week.shadow.alerts, read) == (1, ["sensor/gw/3"])
    (month,) = await rule_shadow.read(kafka, now - dt.timedelta(days=30), now, CityClock())
    assert month.shadow.alerts == 2
    (hour,) = await rule_shadow.read(kafka, now - dt.timedelta(hours=1), now, CityClock())
    assert hour.shadow.alerts == 0
