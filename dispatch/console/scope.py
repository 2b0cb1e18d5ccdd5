"""What a person may see: districts limit everyone, and who only acts for a unit sees that unit's cases.

Pure. Seeing is decided here, acting in dispatch/lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.people import User
from schemas.case import Role


@dataclass(frozen=True, slots=True)
class Scope:
    """`districts` empty: all; `unit` None: of every unit."""

    districts: frozenset[str]
    unit: str | None

    def sees_case(self, case: Mapping[str, Any]) -> bool:
        if self.districts and case.get("district") not in self.districts:
            return False
        return self.unit is None or self.unit == case.get("unit") or self.unit in (case.get("co_units") or ())

    def sees_alert(self, alert: Mapping[str, Any]) -> bool:
        """An alert outside any case is nobody's work yet: a unit does not see it."""
        return not self.districts or alert.get("district") in self.districts


def scope_of(user: User) -> Scope:
    only_unit = user.roles == {Role.unit}
    return Scope(user.districts, user.unit if only_unit else None)
