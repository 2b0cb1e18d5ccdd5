"""What a request says, checked: JSON bodies against a struct, query parameters against their kinds.

Whatever does not fit is a Problem that names the field, what was expected and what came.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from dispatch.console.problems import Problem, wrong_field
from schemas.clock import to_us

Body = TypeVar("Body", bound=msgspec.Struct)
LARGEST = 64 * 1024

_AT = re.compile(r" - at `\$\.?(.*?)`$")
_KIND = re.compile(r"^Expected `(.+?)`(?: .*?)?, got `(.+?)`$")
_MISSING = re.compile(r"^Object missing required field `(.+?)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.+?)`$")


async def read_json(request: Request, kind: type[Body]) -> Body:
    """The request's JSON body as `kind`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Problem(415, f"Content-Type: expected application/json, got {media or 'none'}")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST:
            raise Problem(413, f"body: expected at most {LARGEST} bytes")
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(
            400,
            f"body: expected JSON: {error}",
            errors=[{"field": "body", "expected": "JSON", "came": bytes(data[:80]).decode(errors="replace")}],
        ) from None
    return fitted(content, kind)


def fitted(content: Any, kind: type[Body]) -> Body:
    """`content` as `kind`, or a 422 that says what was wrong where."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), content) from None


def _explained(message: str, content: Any) -> Problem:
    found = _AT.search(message)
    path, text = (found[1], message[: found.start()]) if found else ("", message)
    if missing := _MISSING.match(text):
        return wrong_field(_joined(path, missing[1]), "a value", "nothing")
    if unknown := _UNKNOWN.match(text):
        return wrong_field(
            _joined(path, unknown[1]), "no such field", _came(content, _joined(path, unknown[1]))
        )
    kind = _KIND.match(text)
    expected = kind[1].replace("str", "text") if kind else text.removeprefix("Expected ")
    return wrong_field(path or "body", expected, _came(content, path) if path else kind[2] if kind else "")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _came(content: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(content, dict) or name not in content:
            return "nothing"
        content = content[name]
    return content


def query_text(request: Request, name: str) -> str | None:
    return request.query_params.get(name) or None


def query_int(request: Request, name: str, *, low: int, high: int, default: int | None = None) -> int | None:
    text = query_text(request, name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
        raise wrong_field(name, f"a whole number from {low} to {high}", text)
    return int(text)


def query_one_of(request: Request, name: str, allowed: tuple[str, ...]) -> str | None:
    text = query_text(request, name)
    if text is not None and text not in allowed:
        raise wrong_field(name, f"one of {', '.join(allowed)}", text)
    return text


def query_time(request: Request, name: str) -> int | None:
    """Microseconds of an RFC 3339 time. A "+" that came unescaped is a space by now."""
    text = query_text(request, name)
    return None if text is None else parse_time(name, text.replace(" ", "+"))


def parse_time(field: str, text: str) -> int:
    try:
        return to_us(dt.datetime.fromisoformat(text))
    except ValueError:
        raise wrong_field(field, "a time as RFC 3339 with an offset", text) from None
