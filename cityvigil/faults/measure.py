"""One run of kills in a city: kill by plan, wait until all is through, compare.

The city is the caller's, without simulators of its own, and so is the load that plays in it. Kafka's log is
what both readers share; what it has to hold is known from the load itself. The result is data; `wrong` is
empty if everything was exact and everybody came back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx

from cityvigil import rule_set
from cityvigil.faults import compare, left, second_reader, undisturbed
from cityvigil.faults.delays import Listener
from cityvigil.faults.follower import Follower
from cityvigil.faults.hands import Hands, Overdue, caught_up, rows_of, until
from cityvigil.faults.load import Load
from cityvigil.faults.plan import Step
from cityvigil.flow import log as logs
from cityvigil.registry_topic import read_registry
from cityvigil.whole_city import WholeCity
from schemas.topics import ALERTS
from streams.replay import ends_of_the_log

REST_S = 1.0
PLAYING_WITHIN_S = 120.0
COMMITTED_WITHIN_S = 120.0
LAG = "cityvigil_detect_lag_messages{"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was taken, when, and how long alerts were late after it."""

    step: Step
    at_us: int
    back_s: float
    alert_s: float | None


@dataclass(slots=True)
class Run:
    done: list[Done] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    took_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took_s[what] = round(time.monotonic() - begun, 1)


async def measured(
    city: WholeCity, load: Load, steps: Sequence[Step], seconds: float, progress: Progress
) -> tuple[Run, dict[str, int]]:
    """Kills beside a load that was started, waits, compares. The load has finished afterwards and the city's
    services have ended, its brokers not."""
    run = Run()
    follower = await Follower.begun(city.settings.kafka)
    try:
        with run.timed("steps"):
            await playing(load)
            await disturbed(run, city, load, steps, seconds, progress)
        progress("waiting until every frame is answered")
        with run.timed("answers"):
            await load.finish()
        progress("waiting until all is through")
        with run.timed("through"):
            ends = await through(city)
        progress("comparing")
        with run.timed("comparing"):
            counts, wrong = await compared(city, load, ends, follower)
        run.wrong += wrong
        return run, counts
    except Overdue as error:
        run.wrong.append(str(error))
        return run, {}
    finally:
        await follower.end()


async def disturbed(
    run: Run, city: WholeCity, load: Load, steps: Sequence[Step], seconds: float, progress: Progress
) -> None:
    """Takes the steps beside a load that plays already; no new one is begun after `seconds`."""
    hands = Hands(city)
    begun = time.monotonic()
    async with _listening(city, load) as listener:
        for number, step in enumerate(steps):
            if time.monotonic() - begun > seconds:
                break
            progress(f"step {number + 1} of {len(steps)}: {step.name}")
            try:
                taken = time.monotonic()
                await hands.do(step)
                back_s = time.monotonic() - taken
                alert_s = await listener.heard_again(hands.killed_us)
                run.done.append(Done(step, hands.killed_us, back_s, alert_s))
                if alert_s is None:
                    raise Overdue("waited for alerts of readings sent after it")
                await hands.restore(step)
            except Overdue as error:
                run.wrong.append(f"after {step.name}: {error}")
                break
            await asyncio.sleep(REST_S)


async def playing(load: Load) -> None:
    """Returns once the load is on its way. Raises Overdue."""

    async def plays() -> bool:
        return load.not_ready() is None and bool(load.sent)

    await until(plays, "the gateways to send", PLAYING_WITHIN_S)


async def through(city: WholeCity) -> dict[int, int]:
    """Ends ingest, and the others as they have passed the ends of their logs, which it returns.
    Raises Overdue."""
    await city.supervisor.end("ingest")
    kafka, dsn = city.settings.kafka, city.settings.postgres
    ends = await ends_of_the_log(kafka)
    await caught_up(lambda: left.unrecorded(dsn, ends), "the historian to reach the end of the log")
    await caught_up(lambda: _undetected(city, ends), "detect to reach the end of the log")
    await city.supervisor.end(*(row["name"] for row in rows_of(city) if row["name"].startswith("detect")))
    alerts = await logs.ends_of(kafka, ALERTS)
    await caught_up(lambda: left.undispatched(dsn, alerts), "dispatch to take every alert")
    await city.supervisor.end("record", "dispatch")
    async with asyncio.timeout(COMMITTED_WITHIN_S):
        await logs.judged(kafka, ends)
    return ends


async def _undetected(city: WholeCity, ends: dict[int, int]) -> float:
    """By the workers' own word: they commit with their next snapshot, or when they end."""
    behind: list[float] = []
    async with httpx.AsyncClient(timeout=5) as client:
        for row in rows_of(city):
            if row["name"].startswith("detect"):
                try:
                    answer = await client.get(f"http://127.0.0.1:{row['port']}/metrics")
                except httpx.HTTPError:
                    return float("inf")
                behind += [
                    float(line.split()[1]) for line in answer.text.splitlines() if line.startswith(LAG)
                ]
    return sum(behind) if len(behind) == len(ends) else float("inf")


async def compared(
    city: WholeCity, load: Load, ends: dict[int, int], follower: Follower
) -> tuple[dict[str, int], list[str]]:
    """Counts of what was compared, and what is wrong. The services must have ended, PostgreSQL not."""
    kafka, dsn = city.settings.kafka, city.settings.postgres
    registry = await read_registry(kafka)
    rules = [rule for rule in (await rule_set.read(kafka)).rules.values() if rule.mode != "draft"]
    stored, logged = await left.rows(dsn), await second_reader.rows(kafka, ends)
    sent = compare.sent_rows(load.sent, registry)
    said, cases = await left.published(kafka), await left.cases(dsn)
    expected = await follower.alerts(ends)
    # One after the other: both want the interpreter, and each answer of the database would wait for it.
    raised = await asyncio.to_thread(undisturbed.raised, load.sent, registry, rules)
    others = await second_reader.cases(city)
    pulsing = {one.subject for one in raised if one.subject.split("/")[1] in load.beating}
    felt = pulsing.union(*load.faults())
    wrong = [
        *compare.rows(stored, logged, "the log"),
        *compare.rows(stored, sent, "what was sent"),
        *compare.alerts(said, expected),
        *compare.cases(cases, others),
        *compare.episodes(said.bodies.values(), raised, felt),
        *compare.ledger(await left.ledger(dsn), load.sent, load.unanswered),
    ]
    counts = {
        "readings": len(sent),
        "stored": len(stored),
        "alert_messages": len(expected),
        "alert_messages_repeated": said.repeats,
        "updates": sum(1 for _, seq in expected if seq > 1),
        "faults": sum(any(one.subject in fault for one in raised) for fault in load.faults()),
        "episodes": len([one for one in raised if one.subject in felt]),
        "cases": len(cases.cases),
        "gateways": len({one.gateway for one in load.sent}),
    }
    return counts, wrong


@asynccontextmanager
async def _listening(city: WholeCity, load: Load) -> AsyncIterator[Listener]:
    listener = Listener(city.settings.kafka, load.beating)
    first = await logs.ends_of(city.settings.kafka, ALERTS)
    running = asyncio.create_task(listener.run(first))
    try:
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
