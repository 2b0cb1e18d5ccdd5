"""What the API answers and is asked, as structs: the OpenAPI document is made from them.

Lists and details of alerts and cases are dicts made by dispatch/views.py; the structs here describe
them, and a test reads the real answers with them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from dispatch.console.desk import Trust
from schemas.alert import Alert, Place
from schemas.case import Case, Transition
from schemas.rule import Rule
from schemas.unit import Unit


class LogIn(msgspec.Struct, forbid_unknown_fields=True):
    """`code` is the second factor of an account that has one."""

    user: str
    password: str
    code: str | None = None


class Me(msgspec.Struct):
    user: str
    roles: list[str]
    unit: str | None
    districts: list[str]
    expires_at: dt.datetime | None = None


class AlertItem(Alert, frozen=True, kw_only=True):
    """An alert, what people did to it, and its case. `condition` repeats `state`."""

    condition: str
    raised_at: dt.datetime
    updated_at: dt.datetime
    acknowledged_by: str | None
    acknowledged_at: dt.datetime | None
    silenced_until: dt.datetime | None
    shelved_by: str | None
    shelved_until: dt.datetime | None
    shelved_reason: str | None
    case_id: str | None
    already: bool | None = None  # answer of acknowledge: somebody had done so before


class AlertPage(msgspec.Struct):
    items: list[AlertItem]
    next: str | None


class CaseItem(Case, frozen=True, kw_only=True):
    """A case in a list: `due_at` is the next clock's end, `overdue` names clocks that ran out."""

    alerts_n: int
    due_at: dt.datetime | None
    overdue: list[str]


class CasePage(msgspec.Struct):
    items: list[CaseItem]
    next: str | None


class NamedAlert(msgspec.Struct):
    """An alert by what it is and where."""

    alert_id: str
    subject: str
    category: str | None
    network: str
    asset: str | None


class Effect(NamedAlert):
    """`link` names why it may follow from the cause, in the words of both languages."""

    link: str
    text_zh: str
    text_en: str


class ProbableCause(NamedAlert):
    """The alert from which others of the case may follow; a person verifies."""

    effects: list[Effect]
    place: Place | None = None  # where it is, if a detector could tell


class CaseDetail(CaseItem, frozen=True, kw_only=True):
    """A case with its alerts, its history, and what the asker could do now."""

    alerts: list[AlertItem]  # type: ignore[assignment]  # a list holds their ids, the detail themselves
    probable_cause: ProbableCause | None
    transitions: list[Transition]
    actions: list[str]


class NewCase(msgspec.Struct, forbid_unknown_fields=True):
    """A case that begins with a person: a phone call, a hotline, a patrol."""

    category: str
    zone: str | None
    place: str | None
    text: str
    caller: str | None = None


class CaseAction(msgspec.Struct, forbid_unknown_fields=True):
    """`version` is that of the case as the actor saw it. verify needs `result`, merge `into`; both may
    stand in `evidence` as well."""

    action: str
    version: int
    unit: str | None = None
    reason: str | None = None
    evidence: dict[str, Any] | str | None = None
    result: str | None = None
    into: str | None = None


class Shelve(msgspec.Struct, forbid_unknown_fields=True):
    until: dt.datetime
    reason: str


class SensorItem(msgspec.Struct):
    sensor: int
    gateway: str
    point: str
    category: str | None
    unit: str | None
    zone: str | None
    asset: str | None
    lon: float | None
    lat: float | None
    state: str
    params: dict[str, float] = {}
    district: str | None = None


class SensorPage(msgspec.Struct):
    items: list[SensorItem]
    next: str | None


class ReadingItem(msgspec.Struct):
    """`quality` is a name of schemas.reading.Quality; a value that is no number is null."""

    time: dt.datetime
    value: float | None
    quality: str


class ReadingPage(msgspec.Struct):
    sensor: int
    items: list[ReadingItem]


class UnitPage(msgspec.Struct):
    items: list[Unit]
    next: str | None


class RuleItem(Rule, frozen=True, kw_only=True, omit_defaults=False, forbid_unknown_fields=False):
    version: str = ""  # computed by Rule, plain data in an answer


class RulePage(msgspec.Struct):
    items: list[RuleItem]
    next: str | None


class UserItem(msgspec.Struct):
    user: str
    roles: list[str]
    unit: str | None
    districts: list[str]
    second_factor: bool
    disabled: bool
    created_at: dt.datetime


class UserPage(msgspec.Struct):
    items: list[UserItem]
    next: str | None


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    user: str
    roles: list[str]
    unit: str | None = None
    districts: list[str] = []
    second_factor: bool = False


class UserAdded(msgspec.Struct):
    """Shown once: the one-time password, and the TOTP secret if the account has one."""

    user: str
    password: str
    second_factor: str | None = None


class Health(Trust, frozen=True, kw_only=True):
    """How far the city's picture can be believed. `now` is wall time, `city_time` the city's."""

    now: dt.datetime
    city_time: dt.datetime
    counts: dict[str, Any] | None = None
