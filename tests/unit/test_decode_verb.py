"""`cityvigil decode senml`: a line a result, wherever the bytes begin, end, or make no sense."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityvigil import cli
from cityvigil.verbs.decode import Receipt, results

GOOD = b'[{"n":"a","u":"%RH","v":1.5,"t":1700000000}]'


def decoded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: bytes, *options: str
) -> tuple[int, list[dict[str, Any]]]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code = cli.main(["decode", "senml", *options])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_reading_is_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoded(capsys, monkeypatch, GOOD) == (
        0,
        [
            {
                "gateway": None,
                "point": "a",
                "time": "2023-11-14T22:13:20Z",
                "value": 1.5,
                "unit": "%{RH}",
                "quality": "good",
                "historical": False,
            }
        ],
    )


def test_states_and_texts_keep_their_kind_and_a_time_that_counts_from_receipt_is_null(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = '[{"n":"a","vb":true},{"n":"b","vs":"停"},{"n":"c","v":3,"t":-5}]'.encode()
    code, lines = decoded(capsys, monkeypatch, data)
    assert (code, [line["value"] for line in lines]) == (0, [True, "停", 3])
    assert {line["time"] for line in lines} == {None}


def test_the_context_says_what_the_bytes_do_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"gateway":"gw-1","received_at":"2026-11-01T08:00:00+08:00","backfill":true}')
    code, (line,) = decoded(capsys, monkeypatch, b'[{"n":"a","v":1,"t":-60}]', "--context", str(context))
    assert (code, line["gateway"], line["time"]) == (0, "gw-1", "2026-10-31T23:59:00Z")
    assert (line["quality"], line["historical"]) == ("historical", True)


def test_after_a_bad_frame_it_goes_on_at_the_next_plausible_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, nan = b'[{"n":"b","v":2', b'[{"n":"c","v":NaN}]'
    data = b" \n".join([GOOD, cut, GOOD, b"xx", nan, GOOD + b"[{"])
    code, lines = decoded(capsys, monkeypatch, data)
    assert code == 1
    found = [line.get("rejected") or line["point"] for line in lines]
    assert found == ["a", "truncated", "a", "syntax", "syntax", "a", "truncated"]
    ats = [data.index(cut), data.index(b"xx"), data.index(nan), len(data) - 2]
    assert [line["at"] for line in lines if "at" in line] == ats


def test_a_bad_record_stands_among_the_readings_of_its_frame(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b'  [{"n":"a","v":1},{"n":"b"},{"n":"c","v":1,"t":5e9},{"n":"d","v":1}]'
    code, lines = decoded(capsys, monkeypatch, data)
    assert code == 1
    assert [(line.get("rejected"), line.get("at"), line.get("point")) for line in lines] == [
        (None, None, "a"),
        ("syntax", 2, None),
        ("range", 2, None),
        (None, None, "d"),
    ]


def test_with_hex_each_line_is_a_piece_of_the_stream(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [GOOD[:20].hex(), GOOD[20:].hex().upper(), "no hex", GOOD.hex()]
    code, found = decoded(capsys, monkeypatch, "\n".join(lines).encode(), "--hex")
    assert code == 1
    assert [line.get("rejected") or line["point"] for line in found] == ["a", "syntax", "a"]
    assert found[1]["at"] == len(GOOD)


def test_a_missing_file_cannot_be_decoded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["decode", "senml", str(tmp_path / "missing")]) == 2
    assert "missing" in capsys.readouterr().err


@given(
    st.lists(st.sampled_from([GOOD, b"[", b"]", b"{", b'"', b"\\", b"\xff", b" ", b'[{"n":"b"}]', b"[[]]"]))
)
@settings(max_examples=300)
def test_any_bytes_give_lines_with_places_inside_the_input(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for line in results(data, Receipt(None, 1_790_000_000_000_000, False, False)):
        at = line.get("at", 0)
        assert isinstance(at, int)
        assert 0 <= at < len(data)
        json.dumps(line)


def test_a_frame_of_cbor_is_told_from_json_by_its_first_byte(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = bytes.fromhex("81a3006161 02fb4035800000000000 061a6553f100")
    code, (line,) = decoded(capsys, monkeypatch, frame)
    assert (code, line["point"], line["value"], line["time"]) == (0, "a", 21.5, "2023-11-14T22:13:20Z")
    assert decoded(capsys, monkeypatch, frame[:-2])[1][0]["rejected"] == "truncated"
