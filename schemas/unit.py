"""Handling units 处置单位, and who handles what: `units.csv` and `handlers.csv`.

`handlers.csv` is the reviewed reading of each `handler` text of the catalogue: its first party leads
主办, the others co-handle 协办. A unit that is `outside` (119, 110, ...) is told only what a person
confirmed. Both files are facts, so a malformed one is a bug of ours and raises ValueError.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

import msgspec


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Empty `networks` or `zones` mean all. `roster` is who answers, in words."""

    unit: str
    name_zh: str
    name_en: str
    networks: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    phone: str = ""
    roster: str = ""
    outside: bool = False

    def serves(self, network: str, zone: str | None) -> bool:
        return (not self.networks or network in self.networks) and (not self.zones or zone in self.zones)


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads and who co-handles what the catalogue's `handler` text says."""

    handler: str
    lead: str
    co_units: tuple[str, ...] = ()


DUTY_DESK = "duty-desk"
DEVICE_UNIT = "device-maintenance"


@functools.cache
def units() -> dict[str, Unit]:
    """id -> Unit, in the file's order."""
    return {
        row["unit"]: Unit(
            unit=row["unit"],
            name_zh=row["name_zh"],
            name_en=row["name_en"],
            networks=tuple(row["networks"].split()),
            zones=tuple(row["zones"].split()),
            phone=row["phone"],
            roster=row["roster"],
            outside=row["outside"] == "yes",
        )
        for row in _rows("units.csv")
    }


@functools.cache
def handlers() -> dict[str, Handler]:
    """The catalogue's handler text -> Handler."""
    table = {
        row["handler"]: Handler(
            handler=row["handler"], lead=row["lead"], co_units=tuple(row["co_units"].split())
        )
        for row in _rows("handlers.csv")
    }
    for handler in table.values():
        for unit in (handler.lead, *handler.co_units):
            if unit not in units():
                raise ValueError(f"handlers.csv, {handler.handler!r}: no unit {unit!r} in units.csv")
    return table


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("schemas").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
