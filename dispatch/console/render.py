"""Pages and parts of pages: Jinja with autoescape, and what every page is given."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dispatch.console.desk import Desk, desk_of
from dispatch.console.words import Words, language_of, theme_of, words
from dispatch.people import User
from schemas.clock import to_datetime
from schemas.unit import units

CITY_OFFSET = dt.timezone(dt.timedelta(hours=8))
HERE = Path(str(resources.files("dispatch.console")))


def _fingerprint(folder: Path) -> str:
    """Of all static files: their addresses change with their content, so browsers may keep them for ever."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


class Renderer:
    """Made once by build_console."""

    def __init__(self) -> None:
        self.static_version = _fingerprint(HERE / "static")
        self._jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.policies["json.dumps_kwargs"] = {"ensure_ascii": False}

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        desk = desk_of(request)
        said = words(language_of(request))
        now = desk.now()
        given = {
            "t": said,
            "theme": theme_of(request),
            "static": self.static,
            "here": request.url.path,
            "clock": desk.clock,
            "units": unit_names(said.language),
            "clock_of": lambda text: shown_time(text, now),
            "city_clock_of": shown_city_time,
            "number": shown_number,
            "unit_sign": unit_sign,
            "sound": False,
            "page": "",
            **values,
        }
        text = self._jinja.get_template(template).render(given)
        return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"} | (headers or {}))

    def static(self, path: str) -> str:
        return f"/static/{self.static_version}/{path}"


def renderer_of(request: Request) -> Renderer:
    renderer: Renderer = request.app.state.renderer
    return renderer


def shown_time(text: str | dt.datetime | None, now_us: int) -> str:
    """A moment as people of the city read it: the time of day, with the date if it is not today's."""
    if not text:
        return "–"
    moment = dt.datetime.fromisoformat(text) if isinstance(text, str) else text
    local = moment.astimezone(CITY_OFFSET)
    today = to_datetime(now_us).astimezone(CITY_OFFSET).date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%m-%d %H:%M:%S")


def shown_city_time(moment: dt.datetime | None, city_now: dt.datetime) -> str:
    """A moment of city time, likewise."""
    if moment is None:
        return "–"
    local, today = moment.astimezone(CITY_OFFSET), city_now.astimezone(CITY_OFFSET).date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%m-%d %H:%M")


def shown_number(value: float | None) -> str:
    """As many digits as a person can use.

    >>> shown_number(2.6123456), shown_number(12345.6), shown_number(0.25), shown_number(None)
    ('2.612', '12346', '0.25', '–')
    """
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


_SIGNS = {"1": "", "Cel": "°C", "deg": "°", "m3/h": "m³/h", "m/s2": "m/s²", "um/m": "µε"}


def unit_sign(ucum: str | None) -> str:
    """A UCUM unit as people write it: annotations lose their braces.

    >>> unit_sign("%{vol}"), unit_sign("Cel"), unit_sign("1"), unit_sign(None), unit_sign("MPa")
    ('%vol', '°C', '', '', 'MPa')
    """
    text = ucum or ""
    return _SIGNS.get(text, text.replace("{", "").replace("}", ""))


def unit_names(language: str) -> dict[str, str]:
    return {unit.unit: unit.name_zh if language == "zh-CN" else unit.name_en for unit in units().values()}


def own_units() -> list[str]:
    """Those that a case can be dispatched to: who is outside (119, 110) is told, not dispatched."""
    return [unit.unit for unit in units().values() if not unit.outside]


async def zone_names(desk: Desk, language: str) -> dict[str, str]:
    name = "name_zh" if language == "zh-CN" else "name_en"
    return {row["zone"]: row[name] for row in await desk.history.zones()}


def boot(request: Request, user: User, said: Words, zones: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """What the scripts of a page are given."""
    desk = desk_of(request)
    clock = desk.clock
    return {
        "me": {"user": user.name, "roles": sorted(user.roles), "unit": user.unit},
        "now_ms": desk.now() / 1000,
        "clock": {"base_ms": clock.base_us / 1000, "wall0_ms": clock.wall0_us / 1000, "scale": clock.scale},
        "zones": dict(zones),
        "units": unit_names(said.language),
        "words": {
            "categories": said.categories(),
            **{
                part: said.part(f"{part}.")
                for part in ("level", "state", "condition", "clock", "age", "queue", "map", "network")
            },
            **said.part("script."),
            "trust": said.part("trust."),
        },
        **more,
    }
