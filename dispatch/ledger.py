"""One transaction over alerts and cases: read under lock, write the change and all that hangs on it.

A case's change writes its row, its sealed transition, where its alerts stand, the notices to send and
a live event, or none of them. Decides nothing: lifecycle, grouping and notices did. `finish` must be
the last call before the commit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Json

from dispatch import audit, clocks, notices, views
from schemas.alert import Alert
from schemas.case import ENDED, Case, Transition

LIVE = "cityvigil_live"
OUTBOX = "cityvigil_outbox"
"""Names of NOTIFY: the console's stream and the sender listen, nobody polls."""

_LIVE_LOCK = 0x63697479
_CASE = Case.__struct_fields__
_JSON_COLUMNS = frozenset({"clocks", "evidence"})


def case_of(row: dict[str, Any]) -> Case:
    return msgspec.convert(row, Case)


def alert_of(row: dict[str, Any]) -> Alert:
    return msgspec.convert(row, Alert)


def transition_of(row: dict[str, Any]) -> Transition:
    return msgspec.convert({**row, "at": row["at"].astimezone(dt.UTC)}, Transition)


class Ledger:
    """For one open transaction of `connection`."""

    def __init__(self, connection: AsyncConnection[Any], now: dt.datetime) -> None:
        self._connection = connection
        self._now = now
        self._live: list[tuple[str, dict[str, Any]]] = []
        self._told = False

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query.encode(), values)
            return await cursor.fetchall()

    async def write(self, query: str, values: Sequence[Any] = ()) -> None:
        """As `rows`, for what gives none: in a pipeline it does not wait for the answer."""
        await self._connection.execute(query.encode(), values)

    async def case(self, case_id: str) -> Case | None:
        """Locked until the transaction ends."""
        found = await self.rows("select * from cases where case_id = %s for update", (case_id,))
        return case_of(found[0]) if found else None

    async def alert(self, alert_id: str) -> dict[str, Any] | None:
        """The row, locked until the transaction ends."""
        found = await self.rows("select * from alerts where alert_id = %s for update", (alert_id,))
        return found[0] if found else None

    async def record(
        self,
        before: Case | None,
        after: Case,
        transition: Transition,
        *,
        alert: Alert | None = None,
        kafka_at: dt.datetime | None = None,
    ) -> None:
        """A case changed by `transition`. `alert` caused it, if one did, at Kafka's time `kafka_at`."""
        await self._write(before, after)
        await self._seal(after, transition)
        await self._stand(before, after)
        for notice in notices.of(before, after, transition, alert):
            await self._tell(notice, notices.caused_at(transition, kafka_at))
        self.show_case(after)

    async def touch(self, before: Case, after: Case) -> None:
        """What is no transition: an acknowledgement, or the alerts' condition. The version stays."""
        await self._write(before, after)
        self.show_case(after)

    def show_alert(self, row: dict[str, Any]) -> None:
        self._live.append(("alert", views.alert_item(row)))

    def show_case(self, case: Case) -> None:
        self._live.append(("case", views.case_item(case, self._now)))

    def show_health(self, payload: dict[str, Any]) -> None:
        self._live.append(("health", payload))

    async def finish(self) -> None:
        """Live events get their ids under a lock held to the commit: a reader that has seen an id has
        seen every lower one."""
        if self._live:
            await self.write("select pg_advisory_xact_lock(%s)", (_LIVE_LOCK,))
            async with self._connection.cursor() as cursor:
                await cursor.executemany(
                    "insert into live_events (kind, payload) values (%s, %s)",
                    [(kind, Json(payload)) for kind, payload in self._live],
                )
            await self.write("select pg_notify(%s, '')", (LIVE,))
            self._live.clear()
        if self._told:
            await self.write("select pg_notify(%s, '')", (OUTBOX,))

    async def _write(self, before: Case | None, after: Case) -> None:
        row = {
            **_columns(after),
            "due_at": clocks.due_at(after),
            "next_clock_at": clocks.next_clock_at(after),
        }
        if before is None:
            names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
            await self.write(f"insert into cases ({names}) values ({marks})", list(row.values()))
        else:
            sets = ", ".join(f"{name} = %s" for name in row)
            await self.write(f"update cases set {sets} where case_id = %s", [*row.values(), after.case_id])

    async def _seal(self, after: Case, transition: Transition) -> None:
        last = await self.rows(
            "select hash from case_transitions where case_id = %s order by seq desc limit 1",
            (after.case_id,),
        )
        sealed = audit.seal(transition, last[0]["hash"] if last else "")
        row = {name: _value(name, getattr(sealed, name)) for name in Transition.__struct_fields__}
        row["snapshot"] = Json(_snapshot(after))
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        await self.write(f"insert into case_transitions ({names}) values ({marks})", list(row.values()))
        self._told = True

    async def _stand(self, before: Case | None, after: Case) -> None:
        """Which alerts stand in which open case."""
        was_open = before is not None and before.state not in ENDED
        is_open = after.state not in ENDED
        known = set(before.alerts) if before else set()
        new = [alert for alert in after.alerts if alert not in known]
        if was_open != is_open and known:
            await self.write("update case_alerts set open = %s where case_id = %s", (is_open, after.case_id))
        if before is not None and is_open and not was_open:  # reopened: its alerts are its own again
            await self.write(
                "update alerts set case_id = %s where alert_id = any(%s)",
                (after.case_id, list(before.alerts)),
            )
        for alert_id in new:
            await self.write(
                "insert into case_alerts values (%s, %s, %s)"
                " on conflict (case_id, alert_id) do update set open = excluded.open",
                (after.case_id, alert_id, is_open),
            )
            await self.write("update alerts set case_id = %s where alert_id = %s", (after.case_id, alert_id))

    async def _tell(self, notice: notices.Notice, caused_at: dt.datetime) -> None:
        await self.write(
            "insert into outbox"
            " (key, alert_id, case_id, level, step, recipient, channel, payload, caused_at,"
            " created_at, next_attempt_at)"
            " select %s || '/' || name, %s, %s, %s, %s, %s, name, %s, %s, %s, %s from channels"
            " on conflict (key) do nothing",
            (
                notice.key,
                notice.alert_id,
                notice.case_id,
                notice.level,
                notice.step,
                notice.recipient,
                Json(notice.payload),
                caused_at,
                self._now,
                self._now,
            ),
        )


def _columns(case: Case) -> dict[str, Any]:
    return {name: _value(name, getattr(case, name)) for name in _CASE}


def _value(name: str, value: Any) -> Any:
    if name in _JSON_COLUMNS:
        return Json(views.plain(value))
    if isinstance(value, tuple):
        return list(value)
    return getattr(value, "value", value)


def _snapshot(case: Case) -> dict[str, Any]:
    """The case without its list of alerts, which in a flood would be written once per alert."""
    item: dict[str, Any] = views.plain(msgspec.structs.asdict(case))
    del item["alerts"]
    return item


def in_order(case_ids: Iterable[str]) -> list[str]:
    """The order in which several cases are locked, so that two transactions never wait for each other."""
    return sorted(set(case_ids))
