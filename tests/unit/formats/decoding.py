"""The command run on bytes, and its lines held against what was expected."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import math
import sys
from typing import Any
from unittest import mock

from cityvigil import cli

Line = dict[str, Any]


def decoded(form: str, data: bytes | list[bytes], *options: str) -> tuple[int, list[Line]]:
    """Exit code and lines of `cityvigil decode`; a list of bytes goes in as lines of hexadecimal."""
    more: tuple[str, ...] = ()
    if isinstance(data, list):
        data, more = "\n".join(one.hex() for one in data).encode(), ("--hex",)
    out = io.StringIO()
    with (
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(data))),
        contextlib.redirect_stdout(out),
    ):
        code = cli.main(["decode", form, *more, *options])
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def agrees(want: Line, got: Line, form: str, lenient: list[str]) -> bool:
    """Every expected key is there with the same value; numbers and times by what they say, not how."""
    return all(
        (value is None or key in got) and _same(value, got.get(key), form)
        for key, value in want.items()
        if key not in lenient
    )


def all_agree(wants: list[Line], gots: list[Line], form: str, lenient: list[str]) -> bool:
    return len(wants) == len(gots) and all(
        agrees(want, got, form, lenient) for want, got in zip(wants, gots, strict=True)
    )


def _same(want: object, got: object, form: str) -> bool:
    if isinstance(want, str) and len(want) > 18 and want[10:11] == "T":
        return isinstance(got, str) and dt.datetime.fromisoformat(want) == dt.datetime.fromisoformat(got)
    if isinstance(want, int | float) and isinstance(got, int | float):
        return math.isclose(want, got, rel_tol=1e-6 if form == "sparkplug" else 1e-9, abs_tol=1e-12)
    return want == got
