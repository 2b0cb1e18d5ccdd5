"""Readings of any protocol become the columns that SenML's decoder makes of the same readings."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoded import Decoded
from ingest.formats import senml
from ingest.formats.columns import columns
from ingest.formats.result import Bad, Item, Reading, Seen
from schemas.reading import Flag, Quality, Reason

NOW_US = 1_793_493_000_000_000
DAY_S = 86_400
TIMES = st.integers(NOW_US // 1_000_000 - 10 * DAY_S, NOW_US // 1_000_000 + 2 * DAY_S) | st.integers(
    300_000_000, 1_000_000_000
)
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(max_size=5)


def spoken(decoded: Decoded) -> list[float | str]:
    return [
        decoded.texts[int(value)] if flag == Flag.text else float(value)
        for value, flag in zip(decoded.value, decoded.flags, strict=True)
    ]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c\t", "点"]), TIMES, VALUES), min_size=1, max_size=12))
def test_columns_are_judged_as_senml_judges(said: list[tuple[str, int, float | str]]) -> None:
    keys = {bool: "vb", str: "vs", float: "v"}
    frame = [{"n": name, "u": "Cel", "t": time, keys[type(value)]: value} for name, time, value in said]
    theirs = senml.decode(json.dumps(frame).encode(), NOW_US)
    ours = columns((Reading("g", name, time * 1_000_000, value, "Cel") for name, time, value in said), NOW_US)
    assert isinstance(theirs, Decoded)
    mine = ours["g"]
    assert (mine.points, list(mine.units)) == (theirs.points, list(theirs.units))
    assert spoken(mine) == spoken(theirs)
    for name in ("time", "quality", "flags", "index", "relative"):
        one, other = getattr(mine, name), getattr(theirs, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other), name
    assert [(one.index, one.reason) for one in mine.refused] == [
        (one.index, one.reason) for one in theirs.refused
    ]


def test_each_gateway_has_its_table_and_what_is_no_reading_is_in_none() -> None:
    items: list[Item] = [Reading("a", "x", None, 1.0), Seen("c", "ack"), Reading("b", "x", None, 2.0)]
    items += [Bad(Reason.syntax, ""), Reading("a", "y", NOW_US, 3.0, quality=Quality.fault)]
    found = columns(items, NOW_US)
    assert sorted(str(gateway) for gateway in found) == ["a", "b"]
    assert list(found["a"].quality) == [Quality.good, Quality.fault]
    assert list(found["a"].relative) == [True, False]
    assert list(found["a"].time) == [NOW_US, NOW_US]


def test_a_value_that_the_device_does_not_have_is_refused_and_named() -> None:
    found = columns(
        [Reading("a", "x", None, None, "m", Quality.fault), Reading("a", "y", None, "z\0")], NOW_US
    )
    assert [(one.point, one.reason) for one in found["a"].refused] == [
        ("x", Reason.range),
        ("y", Reason.syntax),
    ]
    assert found["a"].points == []
