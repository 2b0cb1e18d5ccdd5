"""Who handles it: category and zone -> lead unit and co-handling units. Pure.

A tree: our own equipment -> device maintenance; else the reviewed reading of the category's `handler`
(schemas/handlers.csv); else the network's usual unit; else the duty desk. A unit that does not serve
the zone hands down to the next branch, so every category in every zone has somebody.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.catalogue import catalogue
from schemas.unit import DEVICE_UNIT, DUTY_DESK, Unit, handlers, units

NETWORK_DEFAULT = {
    "gas": "gas-company",
    "water": "water-group",
    "drainage": "drainage-group",
    "heat": "heat-company",
    "bridge": "bridge-maintenance",
    "fire": "fire-control-room",
    "weather": "weather-bureau",
    "environment": "ecology-bureau",
    "homecare": "community",
}
"""For a category that the catalogue does not know; networks of many owners are the duty desk's."""


@dataclass(frozen=True, slots=True)
class Route:
    lead: str
    co_units: tuple[str, ...] = ()


def route(
    category: str | None, network: str, zone: str | None, table: dict[str, Unit] | None = None
) -> Route:
    """Who leads and who co-handles; `table` is for cities with units of their own.

    >>> route("drain_road_water_depth", "drainage", "shinan-01")
    Route(lead='drainage-group', co_units=('traffic-police', 'street-grid'))
    >>> route("gas_manhole_methane", "device", "shinan-01").lead  # its sensor is stuck
    'device-maintenance'
    """
    known = units() if table is None else table
    if network == "device":
        return Route(DEVICE_UNIT)
    row = catalogue().get(category or "")
    if row is not None:
        handler = handlers()[row.handler]
        lead = known.get(handler.lead)
        if lead is not None and lead.serves(network, zone):
            return Route(lead.unit, tuple(unit for unit in handler.co_units if unit in known))
    usual = known.get(NETWORK_DEFAULT.get(network, DUTY_DESK))
    return Route(usual.unit if usual is not None and usual.serves(network, zone) else DUTY_DESK)
