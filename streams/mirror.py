"""The registry in PostgreSQL: entries of the `sensors` topic, applied to the tables that reports join with.

Waiting points are mirrored too, without a category. Every statement is an upsert of whole entries, so
applying an entry again changes nothing; the caller keeps the topic's offset in the same transaction.
Nothing is deleted: a retired sensor has a state.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import psycopg

from schemas import registry
from schemas.registry import Entry, Gateway, Sensor, Version, Zone

_ZONES = """
insert into zones (zone, district, name_zh, name_en, partition, lon, lat)
select zone, district, name_zh, name_en, partition, lon, lat from json_to_recordset(%s::json) as t
    (zone text, district text, name_zh text, name_en text, partition int, lon float8, lat float8)
on conflict (zone) do update set (district, name_zh, name_en, partition, lon, lat)
    = (excluded.district, excluded.name_zh, excluded.name_en, excluded.partition, excluded.lon, excluded.lat)
"""

_DISTRICTS = """
update sensors s set district = z.district from zones z
where z.zone = s.zone and s.zone = any(%s) and s.district is distinct from z.district
"""

_GATEWAYS = """
insert into gateways (gateway, zone, interval_s, silent_after_s)
select gateway, zone, interval_s, silent_after_s from json_to_recordset(%s::json) as t
    (gateway text, zone text, interval_s float8, silent_after_s float8)
on conflict (gateway) do update set (zone, interval_s, silent_after_s)
    = (excluded.zone, excluded.interval_s, excluded.silent_after_s)
"""

_SENSORS = """
insert into sensors
    (sensor, gateway, point, category, unit, zone, asset, lon, lat, state, params, district,
     maintenance_from, maintenance_to)
select t.sensor, t.gateway, t.point, t.category, t.unit, t.zone, t.asset, t.lon, t.lat, t.state, t.params,
    z.district, 'epoch'::timestamptz + t.maintenance_from * interval '1 microsecond',
    'epoch'::timestamptz + t.maintenance_to * interval '1 microsecond'
from json_to_recordset(%s::json) as t
    (sensor int, gateway text, point text, category text, unit text, zone text, asset text,
     lon float8, lat float8, state text, params jsonb, maintenance_from bigint, maintenance_to bigint)
left join zones z on z.zone = t.zone
on conflict (sensor) do update set
    (gateway, point, category, unit, zone, asset, lon, lat, state, params, district,
     maintenance_from, maintenance_to)
    = (excluded.gateway, excluded.point, excluded.category, excluded.unit, excluded.zone, excluded.asset,
       excluded.lon, excluded.lat, excluded.state, excluded.params, excluded.district,
       excluded.maintenance_from, excluded.maintenance_to)
"""

_VERSION = """
insert into registry_version (version, by) values (%s, %s)
on conflict (only_row) do update set (version, by) = (excluded.version, excluded.by)
"""


async def apply(connection: psycopg.AsyncConnection, messages: Iterable[bytes]) -> list[str]:
    """Applies messages in their order; what could not be read is skipped and said."""
    zones: dict[str, Zone] = {}
    gateways: dict[str, Gateway] = {}
    sensors: dict[int, Sensor] = {}
    version: Version | None = None
    bad: list[str] = []
    for message in messages:
        try:
            entry = registry.decode(message)
        except msgspec.DecodeError as error:
            bad.append(str(error))
            continue
        match entry:
            case Zone():
                zones[entry.zone] = entry
            case Gateway():
                gateways[entry.gateway] = entry
            case Sensor():
                sensors[entry.sensor] = entry
            case Version():
                version = entry
    if zones:
        await connection.execute(_ZONES, [_json(zones.values())])
        await connection.execute(_DISTRICTS, [list(zones)])
    if gateways:
        await connection.execute(_GATEWAYS, [_json(gateways.values())])
    if sensors:
        await connection.execute(_SENSORS, [_json(sensors.values())])
    if version:
        await connection.execute(_VERSION, [version.version, version.by])
    return bad


def _json(entries: Iterable[Entry]) -> str:
    """PostgreSQL's text has no NUL, and a gateway may name a point as it likes."""
    return msgspec.json.encode(list(entries)).replace(rb"\u0000", rb"\ufffd").decode()
