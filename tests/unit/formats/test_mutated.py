"""Damaged input of every format: results or rejections, never an exception, every place inside the input."""

from __future__ import annotations

import json
import os
import random

import pytest

from cityvigil.verbs.decode import Context, Line, Receipt, lines_of
from ingest.formats.by_name import STREAMS
from ingest.formats.result import Bad, Item, Reading, Reply, Seen
from ingest.formats.sparkplug import EdgeNodes
from ingest.formats.stream import Stream, decode_all
from schemas.reading import Quality
from tests.unit.formats.mutations import SEEDS, mutated

RECEIPT = Receipt(None, 1_790_000_000_000_000, False, False)
MUTATIONS = int(os.environ.get("MUTATIONS", "20000"))
SEED = int(os.environ.get("MUTATION_SEED", "651"))
REASONS = {"length", "truncated", "checksum", "syntax", "range", "unsupported"}


def lines(form: str, data: bytes) -> list[Line]:
    return list(lines_of(form, data, False, True, Context(inner="cjt188"), RECEIPT))


def is_in_order(line: Line, size: int) -> bool:
    if "rejected" in line:
        at = line["at"]
        return line["rejected"] in REASONS and isinstance(at, int) and 0 <= at < max(size, 1)
    if "point" in line:
        return isinstance(line["point"], str) and line["quality"] in Quality.__members__
    return "frame" in line or "reply_hex" in line


def test_damaged_frames_are_decoded_or_rejected_with_a_place() -> None:
    reasons: dict[str, set[object]] = {form: set() for form in SEEDS}
    for form, data in mutated(random.Random(SEED), MUTATIONS):
        for line in lines(form, data):
            assert is_in_order(line, len(data)), (form, data.hex(), line)
            json.dumps(line, allow_nan=False)
            reasons[form].add(line.get("rejected"))
    # The damage reaches behind the checks: every format both rejects and still reads.
    assert all(None in found and len(found) >= 3 for found in reasons.values()), reasons


def test_damaged_births_and_data_of_one_node_leave_it_readable() -> None:
    rng = random.Random(30)
    damaged = [data for form, data in mutated(rng, 12_000) if form == "sparkplug"]
    born, said = SEEDS["sparkplug"][-2:]
    nodes = EdgeNodes()
    for at, data in enumerate(damaged):
        kind = rng.choice(("NBIRTH", "NDATA", "NDATA", "DBIRTH/pump", "DDATA/pump"))
        kind, _, device = kind.partition("/")
        topic = f"spBv1.0/g/{kind}/edge" + (f"/{device}" if device else "")
        for item in nodes.decode(data, topic, at):
            assert isinstance(item, Reading | Bad | Seen | Reply), data.hex()
    nodes.decode(born, "spBv1.0/g/NBIRTH/edge", 0)
    items = nodes.decode(said, "spBv1.0/g/NDATA/edge", 0)
    assert [(one.point, one.value) for one in items if isinstance(one, Reading)] == [
        ("pump/speed", 2.0),
        ("pump/motor/amps", 8.0),
    ]


@pytest.mark.parametrize("form", sorted(STREAMS))
def test_where_a_damaged_stream_is_cut_changes_nothing(form: str) -> None:
    rng = random.Random(26875)
    for _, data in [one for one in mutated(rng, 3_000) if one[0] == form]:
        stream = Stream(STREAMS[form])
        found: list[Item] = []
        at = 0
        while at < len(data):
            size = rng.randint(1, 40)
            found += stream.feed(data[at : at + size], 0)
            at += size
        found += stream.finish(0)
        assert found == decode_all(STREAMS[form], data), data.hex()


@pytest.mark.parametrize("form", sorted(SEEDS))
@pytest.mark.parametrize(
    "unit", [b"@", b"#", b"~", b"\x68", b"{", b"[{", b'"', b'\\"', b"\xfe", b"\0", b"\n{", b"##0001"]
)
def test_a_long_run_of_starts_comes_to_an_end(form: str, unit: bytes) -> None:
    for data in (unit * (50_000 // len(unit)), b"[{" + unit * (50_000 // len(unit))):
        assert all(is_in_order(line, len(data)) for line in lines(form, data))
