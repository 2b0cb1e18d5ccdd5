"""Every frame of the collection means what the collection says, alone and in sequence."""

from __future__ import annotations

import pytest

from tests.unit.formats.book import Vector, raw, sequences, vectors
from tests.unit.formats.decoding import all_agree, decoded


@pytest.mark.parametrize(
    ("form", "vector"),
    [pytest.param(form, vector, id=f"{form}-{vector['name']}") for form, vector in vectors()],
)
def test_a_frame_means_what_the_collection_says(form: str, vector: Vector) -> None:
    code, lines = decoded(form, raw(vector))
    wanted = [vector["expect"], *vector.get("alternatives", [])]
    assert any(all_agree(want, lines, form, vector.get("lenient", [])) for want in wanted), lines
    assert code == (0 if vector["valid"] else 1)


@pytest.mark.parametrize(
    ("form", "frames", "sequence"),
    [pytest.param(*one, id="+".join(one[2]["vectors"])) for one in sequences()],
)
def test_frames_in_sequence_mean_what_the_collection_says(
    form: str, frames: list[bytes], sequence: Vector
) -> None:
    _, lines = decoded(form, frames if form == "sparkplug" else b"".join(frames))
    wanted = [sequence["expect"], *sequence.get("alternatives", [])]
    assert any(all_agree(want, lines, form, sequence.get("lenient", [])) for want in wanted), lines


@pytest.mark.parametrize(
    ("form", "vector"),
    [
        pytest.param(form, vector, id=f"{form}-{vector['name']}")
        for form, vector in vectors()
        if form != "sparkplug"
    ],
)
def test_a_frame_in_pieces_is_the_same_frame(form: str, vector: Vector) -> None:
    data = raw(vector)
    whole = decoded(form, data)
    for size in (1, 7, len(data) - 1):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert decoded(form, pieces) == whole


@pytest.mark.parametrize(
    ("form", "vector"),
    [
        pytest.param(form, vector, id=f"{form}-{vector['name']}")
        for form, vector in vectors()
        if form in ("hj212", "gb26875")
    ],
)
def test_a_frame_is_answered_as_its_standard_wants(form: str, vector: Vector) -> None:
    _, lines = decoded(form, raw(vector), "--reply")
    replies = [bytes.fromhex(line["reply_hex"]) for line in lines if "reply_hex" in line]
    fields = vector.get("reply_fields", {})
    if "reply" in vector:
        assert replies == [raw(vector["reply"])]
    elif fields.get("by") == "centre":
        (reply,) = replies
        said = {
            "command": reply[26],
            "serial": int.from_bytes(reply[2:4], "little"),
            "version": f"{reply[4]}.{reply[5]}",
            "source": reply[17:11:-1].hex(),
            "destination": reply[23:17:-1].hex(),
            "app_data_length": int.from_bytes(reply[24:26], "little"),
        }
        assert said == {key: fields[key] for key in said}
        assert decoded(form, reply)[1] == [{"gateway": said["source"], "frame": "ack"}]
    else:
        assert replies == []
