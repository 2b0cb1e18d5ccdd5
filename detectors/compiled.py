"""Code that goes through readings one by one, compiled to machine code before it runs (Numba).

A frame of mixed categories has a handful of readings under each of hundreds of conditions: as array
operations they cost a microsecond a call however short the arrays are, as plain loops next to nothing. What
is compiled is the innermost part only: scalars, arrays and named tuples of arrays.
Machine code is kept beside the source, made for any processor of this architecture, so that an image built on
one machine starts at once on another; `make setup` makes it (detectors/ready.py). With NUMBA_DISABLE_JIT=1
the same functions run as they stand, which is how to debug them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba.core.caching import InTreeCacheLocator

from schemas import days_off

F = TypeVar("F", bound=Callable[..., object])
LENDS_CONSTANTS = frozenset({"around.py", "contract.py", "limits.py"})


class Beside(InTreeCacheLocator):
    """Numba looks at the file of a function alone; its callees stand in other files, and are built in."""

    def get_source_stamp(self) -> str:
        return _stamp()

    def ensure_cache_path(self) -> None:
        """A folder that may not be written to is as good, if it is full."""
        if not any(Path(self.get_cache_path()).glob("*.nbi")):
            super().ensure_cache_path()


@cache
def _stamp() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if path.name in LENDS_CONSTANTS or b"@compiled" in source:
            digest.update(source)
    digest.update(days_off.text().encode())  # a constant of detectors/day_type.py
    return digest.hexdigest()


vars(numba.config).update(
    CPU_NAME="generic", CACHE_LOCATOR_CLASSES=f"{__name__}.{Beside.__name__},UserWideCacheLocator"
)


def compiled(function: F) -> F:
    """Division by zero gives inf or NaN, as in numpy; sums are added in the order that is written."""
    return cast(F, numba.njit(cache=True, error_model="numpy")(function))
