"""SenML: what RFC 8428 says, what is refused alone, what rejects a frame; no bytes do anything else."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoded import Decoded, Rejected
from ingest.formats import senml
from schemas.reading import EARLIEST_US, Flag, Quality, Reason

RECEIVED_US = 1_790_000_000_000_000
RECEIVED_S = RECEIVED_US / 1e6
MINUTE_S = 60.0
DAY_S = 86_400.0


def usable(payload: object) -> Decoded:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = senml.decode(data, RECEIVED_US)
    assert isinstance(found, Decoded), found
    return found


def rejected(payload: object) -> Rejected:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = senml.decode(data, RECEIVED_US)
    assert isinstance(found, Rejected), found
    return found


def test_base_fields_hold_until_they_are_set_again() -> None:
    found = usable(
        [
            {"bn": "gas:", "bt": 1.7e9, "bu": "kPa", "bv": 10, "n": "a", "v": 1},
            {"n": "b", "t": 5, "v": 2, "u": "MPa"},
            {"bn": "water:", "bt": 1.6e9, "bv": 0, "n": "c", "v": 3},
        ]
    )
    assert found.points == ["gas:a", "gas:b", "water:c"]
    assert list(found.units) == ["kPa", "MPa", "kPa"]
    assert found.value.tolist() == [11.0, 12.0, 3.0]
    assert found.time.tolist() == [1_700_000_000_000_000, 1_700_000_005_000_000, 1_600_000_000_000_000]
    assert not found.relative.any()


def test_a_record_may_set_base_fields_and_nothing_else() -> None:
    found = usable([{"bn": "a:", "bt": 1.7e9}, {"n": "x", "v": 1}])
    assert (found.points, found.time.tolist(), found.refused) == (["a:x"], [1_700_000_000_000_000], [])


def test_the_base_name_alone_may_be_the_name() -> None:
    assert usable([{"bn": "only", "v": 1}, {"v": 2}]).points == ["only", "only"]


def test_time_is_absolute_from_2_to_the_28_up_else_relative_to_receipt_and_absent_is_receipt() -> None:
    found = usable([{"n": "a", "v": 1}, {"n": "a", "t": -5, "v": 1}, {"n": "a", "t": 1.7e9, "v": 1}])
    assert found.time.tolist() == [RECEIVED_US, RECEIVED_US - 5_000_000, 1_700_000_000_000_000]
    assert found.relative.tolist() == [True, True, False]


def test_microseconds_survive() -> None:
    assert usable(b'[{"n":"a","t":1700000000.123457,"v":1}]').time.tolist() == [1_700_000_000_123_457]


def test_booleans_are_states_and_texts_are_kept() -> None:
    found = usable(
        [
            {"n": "door", "vb": True},
            {"n": "mode", "vs": "run"},
            {"n": "pump", "vb": False},
            {"n": "mode", "vs": "停"},
            {"n": "mode", "vs": "run"},
        ]
    )
    assert found.flags.tolist() == [Flag.boolean, Flag.text, Flag.boolean, Flag.text, Flag.text]
    assert found.texts == ["run", "停"]
    assert found.value.tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("ahead_s", "quality"),
    [(5 * MINUTE_S, Quality.good), (5 * MINUTE_S + 1, Quality.suspect), (DAY_S, Quality.suspect)],
)
def test_a_clock_that_runs_ahead_is_suspect(ahead_s: float, quality: Quality) -> None:
    assert usable([{"n": "a", "t": RECEIVED_S + ahead_s, "v": 1}]).quality.tolist() == [quality]


@pytest.mark.parametrize(
    "seconds", [RECEIVED_S + DAY_S + 1, RECEIVED_S + 3650 * DAY_S, 946_684_799.0, -1.7e9, 1e300, -1e300]
)
def test_a_time_a_day_ahead_or_before_2000_refuses_its_record_alone(seconds: float) -> None:
    found = usable([{"n": "a", "v": 1}, {"n": "b", "t": seconds, "v": 2}, {"n": "c", "v": 3}])
    assert found.points == ["a", "c"]
    assert [(one.index, one.reason, one.point) for one in found.refused] == [(1, Reason.range, "b")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"n":"b"}', Reason.syntax),
        ('{"v":1}', Reason.syntax),
        ("{}", Reason.syntax),
        ("5", Reason.syntax),
        ("null", Reason.syntax),
        ('{"n":"b","v":"1"}', Reason.syntax),
        ('{"n":"b","v":1,"vs":"x"}', Reason.syntax),
        ('{"n":5,"v":1}', Reason.syntax),
        ('{"n":"a\\u0000b","v":1}', Reason.syntax),
        ('{"n":"b","vs":"a\\u0000b"}', Reason.syntax),
        ('{"n":"b","v":null}', Reason.syntax),
        ('{"n":"b","v":1e999}', Reason.range),
        ('{"n":"b","vd":"aGk"}', Reason.unsupported),
        ('{"n":"b","s":12}', Reason.unsupported),
        ('{"n":"b","v":1,"must_":1}', Reason.unsupported),
    ],
)
def test_one_bad_record_among_500_is_refused_alone(record: str, reason: Reason) -> None:
    records = [json.dumps({"n": f"p{i}", "v": i}) for i in range(500)]
    records[250] = record
    found = usable(f"[{','.join(records)}]".encode())
    assert [(one.index, one.reason) for one in found.refused] == [(250, reason)]
    assert len(found.points) == 499
    assert found.index.tolist() == [i for i in range(500) if i != 250]


def test_a_value_that_overflows_with_its_base_is_refused() -> None:
    found = usable([{"n": "a", "bv": 1.7e308, "v": 1.7e308}, {"n": "b", "v": 1}])
    assert [(one.reason, one.point) for one in found.refused] == [(Reason.range, "a")]


@pytest.mark.parametrize(
    "data",
    [b'[{"n":"a","v":NaN}]', b'[{"n":"a","v":1},{"n":"b","v":Infinity}]', b'[{"n":"a","v":-Infinity}]'],
)
def test_nan_in_json_rejects_the_whole_frame_as_syntax(data: bytes) -> None:
    found = rejected(data)
    assert (found.reason, found.raw, found.records) == (Reason.syntax, data, data.count(b"{"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b'[{"n":"a","v":1',
        b'[{"n":"a","v":1}',
        b'[{"n":"a","v":1},',
        b'[{"n":"a',
        b'[{"n":"a","v":1.',
        b'[{"n":"\xe6\xb0',
    ],
)
def test_a_frame_that_ends_too_early_is_truncated(data: bytes) -> None:
    assert rejected(data).reason is Reason.truncated


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"n":"a","v":1}',
        b"null",
        b"\xff\xfe",
        b'[{"n":"\xff","v":1}]',
        b'[{"n":"a","v":1}] trailing',
        b'[{"n":"a","v":01}]',
        b'[{"bn":5,"n":"a","v":1},{"n":"b","v":1}]',
        b'[{"bt":"x","n":"a","v":1}]',
        b'[{"bn":"a"}]',
        b"[" * 100_000,
        b'[{"x":' + b"[" * 100_000,
    ],
)
def test_what_is_no_senml_is_rejected_whole(data: bytes) -> None:
    assert rejected(data).reason in (Reason.syntax, Reason.truncated)


def test_a_newer_version_of_senml_is_unsupported() -> None:
    assert rejected([{"bver": 11, "n": "a", "v": 1}]).reason is Reason.unsupported
    assert usable([{"bver": 10, "n": "a", "v": 1}]).points == ["a"]


def test_the_earliest_time_is_kept() -> None:
    assert usable([{"n": "a", "t": EARLIEST_US / 1e6, "v": 1}]).time.tolist() == [EARLIEST_US]


def test_an_excerpt_holds_the_records_bytes_and_reads_the_same() -> None:
    data = (
        b'[{"bn":"g:","bt":1700000000,"bu":"kPa","n":"a","v":1},{"n":"b","v":2.50},'
        b'{"bn":"h:","n":"c","v":3},{"n":"d","v":4,"u":"MPa"}]'
    )
    part = senml.excerpt(data, [1, 3])
    assert b'{"n":"b","v":2.50}' in part
    found = usable(part)
    whole = usable(data)
    assert found.points == ["g:b", "h:d"]
    assert found.value.tolist() == [2.5, 4.0]
    assert list(found.units) == [whole.units[1], whole.units[3]]
    assert found.time.tolist() == whole.time[[1, 3]].tolist()


_names = st.text("abcd-:.", min_size=0, max_size=4)
_numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-10, 10)
_times = st.sampled_from([0, -3, 2.5, 1.7e9, 1e8, 3e9, -2e9]) | st.floats(-1e12, 1e12)
_record = st.fixed_dictionaries(
    {},
    optional={
        "n": _names,
        "v": _numbers,
        "u": st.sampled_from(["kPa", "", "Cel"]),
        "t": _times,
        "ut": _times,
        "s": _numbers,
        "vb": st.booleans(),
        "vs": st.sampled_from(["run", "停", "a\0b"]),
        "bn": _names,
        "bt": _times,
        "bu": st.sampled_from(["kPa", ""]),
        "bv": _numbers,
    },
)
_plain = st.fixed_dictionaries({"n": _names, "v": _numbers})
_number = st.fixed_dictionaries(
    {"n": st.sampled_from("abc"), "v": _numbers},
    optional={
        "t": st.sampled_from([0, -3, 2.5]),
        "u": st.sampled_from(["kPa", "", "Cel"]),
        "bn": st.sampled_from(["x:", "", 'bt"}', "b" * 40]),
        "bu": st.sampled_from(["kPa", ""]),
        "bt": st.sampled_from([0, 1.7e9]),
        "bv": _numbers,
    },
)
_first = st.fixed_dictionaries(
    {}, optional={"bn": _names, "bt": _times, "bu": st.sampled_from(["kPa", ""]), "bv": _numbers}
)


@given(_first, st.lists(_record | _plain, min_size=1, max_size=5))
@settings(max_examples=500)
def test_both_ways_through_agree(first: dict[str, object], records: list[dict[str, object]]) -> None:
    assert_careful_agrees(json.dumps([{**first, **records[0]}, *records[1:]]).encode())


@given(_first, st.lists(_number, min_size=1, max_size=4))
@settings(max_examples=500)
def test_a_frame_of_numbers_is_what_it_is_whatever_frames_came_before_it(
    first: dict[str, object], records: list[dict[str, object]]
) -> None:
    assert_careful_agrees(json.dumps([{**first, **records[0]}, *records[1:]]).encode())


def test_frames_of_numbers_of_one_shape_share_their_names() -> None:
    frames: list[object] = [
        [{"bn": "g:", "bt": 1.7e9, "bu": "kPa", "n": "a", "v": n}, {"n": "b", "bu": "Cel", "t": n, "v": 2}]
        for n in range(3)
    ]
    first, second, third = (usable(frame) for frame in frames)
    assert first.points is second.points is third.points
    assert (first.units, third.value.tolist()) == (["kPa", "Cel"], [2.0, 2.0])
    assert third.time.tolist() == [1_700_000_000_000_000, 1_700_000_002_000_000]


def assert_careful_agrees(data: bytes) -> None:
    quick = senml.decode(data, RECEIVED_US)
    careful = senml._careful(data, RECEIVED_US)
    assert type(quick) is type(careful)
    if isinstance(quick, Decoded) and isinstance(careful, Decoded):
        assert quick.points == careful.points
        assert [unit or None for unit in quick.units] == [unit or None for unit in careful.units]
        assert (quick.refused, quick.texts) == (careful.refused, careful.texts)
        for column in ("time", "value", "quality", "flags", "index", "relative"):
            np.testing.assert_array_equal(getattr(quick, column), getattr(careful, column), column)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_decoded_or_rejected(data: bytes) -> None:
    assert isinstance(senml.decode(data, RECEIVED_US), Decoded | Rejected)


def test_twenty_thousand_mutations_of_good_frames_are_decoded_or_rejected() -> None:
    rng = random.Random(8428)
    good = [
        b'[{"bn":"g1:","bt":1700000000,"bu":"kPa","bver":10,"n":"a","v":1.5e2},{"n":"b","t":-5,"v":2}]',
        b'[{"n":"a","vb":true},{"n":"b","vs":"\xe6\xb0\xb4\\u6c34"},{"n":"c","vd":"aGk","s":1,"ut":3}]',
        b'[{"n":"a","u":"%RH","v":-0.0,"t":1790000000.25},{"n":"a_","v":1e-7,"x_":[{"y":null}]}]',
    ]
    pieces = [b"", b"{", b"}", b"[", b"]", b'"', b":", b",", b"NaN", b"1e999", b"-", b"\x00", b"\xff", b"\\u"]
    pieces += [b"null", b"true", b'"bn"', b'"v"', b'"bver":', b"99999999999999999999", b"\xe6", b'{"n":"q"}']
    kinds = set()
    for _ in range(20_000):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 1, 1, 2, 9))] = rng.choice(pieces)
        found = senml.decode(bytes(data), RECEIVED_US)
        kinds.add(type(found))
        if isinstance(found, Decoded):
            senml.excerpt(bytes(data), [one.index for one in found.refused])
            assert len(found.points) == len(found.value) == len(found.time) == len(found.units)
            assert np.isfinite(found.value).all()
    assert kinds == {Decoded, Rejected}
