"""What stations of HJ 212 send in the field, and what they are answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import hj212
from ingest.formats.digits import local_us
from ingest.formats.result import Bad, Reading, Seen
from schemas.reading import Quality, Reason

HEAD = "QN=20261101083000123;ST=22;CN=2011;PW=123456;MN=M1;Flag={flag};CP=&&{content}&&"


def frame(content: str, flag: int = 5) -> bytes:
    return hj212.framed(HEAD.format(flag=flag, content=content).encode())


def readings(content: str) -> list[tuple[str, object, Quality]]:
    return [
        (item.point, item.value, item.quality)
        for item in hj212.decode(frame(content))
        if isinstance(item, Reading)
    ]


def test_every_flag_of_the_standard_is_a_quality_and_any_other_is_suspect() -> None:
    flags = {"N": "good", "F": "stopped", "M": "maintenance", "S": "manual", "D": "fault"}
    flags |= {"C": "calibration", "T": "over_range", "B": "link_lost", "P": "suspect"}
    for flag, quality in flags.items():
        assert readings(f"a34004-Rtd=38,a34004-Flag={flag}") == [("a34004-Rtd", 38.0, Quality[quality])]


def test_a_number_of_samples_has_no_unit() -> None:
    found = hj212.decode(frame("a01006-Avg=101.85,a01006-ValidNum=10"))
    assert [item.unit for item in found if isinstance(item, Reading)] == ["kPa", None]


def test_a_flag_counts_for_its_code_wherever_it_stands() -> None:
    assert readings("a21-Rtd=1;a21-Flag=D;a22-Rtd=2") == [
        ("a21-Rtd", 1.0, Quality.fault),
        ("a22-Rtd", 2.0, Quality.good),
    ]


def test_a_code_without_its_letter_belongs_to_the_item_that_it_stands_in() -> None:
    assert readings("w01018-SampleTime=20261101080000,01018-Rtd=3,w01018-Flag=M") == [
        ("w01018-SampleTime", "20261101080000", Quality.maintenance),
        ("w01018-Rtd", 3.0, Quality.maintenance),
    ]


def test_a_value_that_is_not_there_is_none_and_not_good() -> None:
    assert readings("a34004-Rtd=,a34004-Flag=N;a34002-Rtd=--,a34002-Flag=D") == [
        ("a34004-Rtd", None, Quality.suspect),
        ("a34002-Rtd", None, Quality.fault),
    ]


def test_a_part_that_is_no_assignment_is_refused_alone() -> None:
    found = hj212.decode(frame("DataTime=20261101083000;nonsense;a34004-Rtd=38"))
    assert [type(item) for item in found] == [Bad, Reading]
    assert isinstance(found[0], Bad)
    assert found[0].reason is Reason.syntax


@pytest.mark.parametrize("content", ["", " ", ";", "DataTime=20261101083000;"])
def test_a_message_without_values_is_only_named(content: str) -> None:
    assert hj212.decode(frame(content)) == [Seen("M1", "command")]


def test_a_time_that_is_no_date_is_none() -> None:
    (found,) = hj212.decode(frame("DataTime=20261301083000;a34004-Rtd=38"))
    assert isinstance(found, Reading)
    assert found.time_us is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.syntax),
        (b"QN=1;CN=2011;MN=M1;CP=&&a-Rtd=1", Reason.syntax),
        (b"QN=1;MN=M1;CP=&&a-Rtd=1&&", Reason.syntax),
        (b"CN=2011;MN=M1;PNUM=2;PNO=3;CP=&&a-Rtd=1&&", Reason.range),
        (b"CN=2011;MN=\xff\xff;CP=&&a-Rtd=1&&", Reason.syntax),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    (found,) = hj212.decode(hj212.framed(data))
    assert isinstance(found, Bad)
    assert found.reason is reason


def test_chinese_text_is_read_in_either_encoding() -> None:
    for encoding in ("utf-8", "gb18030"):
        data = HEAD.format(flag=4, content="i11001-Info=停机检修").encode(encoding)
        (found,) = hj212.decode(hj212.framed(data))
        assert isinstance(found, Reading)
        assert found.value == "停机检修"


def test_an_upload_is_answered_when_it_asks_and_a_damaged_one_never() -> None:
    upload = "DataTime=20261101083000;a34004-Rtd=38"
    asked = hj212.answer(frame(upload, flag=5), 0)
    assert asked is not None
    assert hj212.decode(asked) == [Seen("M1", "data_ack")]
    assert hj212.answer(frame(upload, flag=4), 0) is None
    assert hj212.answer(frame("a34004-Rtd=38", flag=5), 0) == asked
    assert hj212.answer(frame("nonsense;a34004-Rtd=38", flag=5), 0) == asked
    assert hj212.answer(frame("RtdInterval=30", flag=5), 0) is None
    assert hj212.answer(hj212.framed(b"\xff\xff"), 0) is None


CODES = st.from_regex(r"[aw][0-9]{5}", fullmatch=True)
VALUES = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(10**9), 10**9)
MOMENTS = st.datetimes().filter(lambda moment: 1990 < moment.year < 2090)


@given(
    items=st.dictionaries(CODES, st.tuples(VALUES, st.sampled_from("NFMSDCTB")), min_size=1, max_size=12),
    moment=MOMENTS,
    is_lower=st.booleans(),
)
def test_what_a_station_writes_is_what_is_read(
    items: dict[str, tuple[float, str]], moment: object, is_lower: bool
) -> None:
    when = f"{moment:%Y%m%d%H%M%S}"
    content = ";".join(f"{code}-Rtd={value!r},{code}-Flag={flag}" for code, (value, flag) in items.items())
    data = frame(f"DataTime={when};{content}")
    if is_lower:
        data = data[:-6] + data[-6:].lower()
    found = hj212.decode(data)
    year, *rest = int(when[:4]), *(int(when[k : k + 2]) for k in range(4, 14, 2))
    assert [(item.point, item.value) for item in found if isinstance(item, Reading)] == [
        (f"{code}-Rtd", value) for code, (value, _) in items.items()
    ]
    assert {item.time_us for item in found if isinstance(item, Reading)} == {local_us(year, *rest)}
