"""Units of measure: a gateway's unit to the sensor's registered UCUM unit, as a straight line.

SenML's names (RFC 8428, RFC 8798) that UCUM writes otherwise stand in a table; everything else is taken for
UCUM. Each pair is worked out once. Logarithmic units (dB, dB[SPL], pH) convert only to themselves.
ucumvert, with pint behind it, takes most of a second to load and is loaded when first needed.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

UCUM_OF_SENML = {
    "/": "1",
    "%RH": "%{RH}",
    "%EL": "%{EL}",
    "EL": "s",
    "count": "{count}",
    "1/s": "/s",
    "1/min": "/min",
    "beat/min": "/min",
    "beats": "{beats}",
    "lat": "deg",
    "lon": "deg",
    "pH": "[pH]",
    "NTU": "[NTU]",
    "Bspl": "B[SPL]",
    "dBW": "dB[W]",
    "dBm": "dB[mW]",
    "B": "By",
    "KiB": "KiBy",
    "GB": "GBy",
    "B/s": "By/s",
    "MB/s": "MBy/s",
    "VA": "V.A",
    "kVA": "kV.A",
    "VAs": "V.A.s",
    "VAh": "V.A.h",
    "var": "V.A{reactive}",
    "kvar": "kV.A{reactive}",
    "vars": "V.A.s{reactive}",
    "varh": "V.A.h{reactive}",
    "kvarh": "kV.A.h{reactive}",
    "kVAh": "kV.A.h",
    "Ah": "A.h",
    "Wh": "W.h",
    "kWh": "kW.h",
    "Wh/km": "W.h/km",
    "ppm": "[ppm]",
    "ppb": "[ppb]",
    "ppt": "[pptr]",
    "/100": "%",
    "/1000": "[ppth]",
    "Ohm": "Ohm",
    "m³": "m3",
    "m³/h": "m3/h",
    "°C": "Cel",
    "℃": "Cel",
}
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_LONGEST = 40


class Conversion(NamedTuple):
    """registered value = given value x factor / divisor + offset. Two numbers, because 350 kPa are to be
    0.35 MPa and not 0.35000000000000003: a thousandth is not a float64, a thousand is."""

    factor: float = 1.0
    divisor: float = 1.0
    offset: float = 0.0


SAME = Conversion()


def ucum(unit: str) -> str:
    """The UCUM name of a unit as a gateway writes it."""
    return UCUM_OF_SENML.get(unit, unit)


@functools.lru_cache(maxsize=4_096)
def conversion(given: str | None, registered: str | None) -> Conversion | None:
    """None if `given` does not convert. An absent unit is the registered one.

    >>> conversion("kPa", "MPa"), conversion("%RH", "%{RH}") == SAME, conversion("Cel", "m")
    (Conversion(factor=1.0, divisor=1000.0, offset=0.0), True, None)
    """
    if not given or not registered:
        return SAME
    source, target = _plain(ucum(given)), _plain(ucum(registered))
    if source == target:
        return SAME
    if max(len(source), len(target)) > _LONGEST or _is_logarithmic(source) or _is_logarithmic(target):
        return None
    convert = _converter(source, target)
    return None if convert is None else _line(convert)


def _plain(unit: str) -> str:
    """Without annotations, which carry no meaning in UCUM: %{RH} is %, {count} is 1."""
    bare = _ANNOTATION.sub("", unit).strip()
    return bare or "1"


def _is_logarithmic(unit: str) -> bool:
    return unit == "[pH]" or unit.startswith(("dB", "B[", "Np")) or unit == "B"


def _converter(source: str, target: str) -> Callable[[float], float] | None:
    from lark.exceptions import LarkError
    from pint.errors import PintError
    from ucumvert.parser import InvalidUcumError

    units = _registry()
    try:
        one, other = units.from_ucum(source), units.from_ucum(target)
        unit, scale = other.units, float(other.magnitude)
        here, step = one.units, float(one.magnitude)

        def convert(value: float) -> float:
            return float(units.Quantity(value * step, here).to(unit).magnitude) / scale

        convert(1.0)
    except (LarkError, InvalidUcumError, PintError, AttributeError, ArithmeticError, ValueError, TypeError):
        return None  # one of the two is no unit that ucumvert knows, or they measure different things
    return convert


def _line(convert: Callable[[float], float]) -> Conversion | None:
    """The straight line through a conversion; None if it is none."""
    offset = convert(0.0)
    factor = _shortened(convert(1.0) - offset)
    if not (math.isfinite(factor) and factor > 0 and math.isfinite(offset)):
        return None
    if not math.isclose(convert(1_000.0), offset + 1_000.0 * factor, rel_tol=1e-9, abs_tol=1e-9):
        return None
    inverse = _shortened(1.0 / factor)
    if inverse.is_integer():
        return Conversion(1.0, inverse, _shortened(offset))
    return Conversion(factor, 1.0, _shortened(offset))


def _shortened(number: float) -> float:
    """999999.9999999999 is a million: what pint's chains of factors leave behind is cut off."""
    short = float(f"{number:.12g}")
    return short if math.isclose(short, number, rel_tol=4e-15) else number


@functools.cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()
