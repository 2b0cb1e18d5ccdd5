"""Edge nodes of Sparkplug: births name, gaps ask for a rebirth, deaths end, what was stored is marked."""

from __future__ import annotations

import gzip
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.protobuf_wire import Malformed, field, fields
from ingest.formats.result import Bad, Item, Reading, Reply, Seen
from ingest.formats.sparkplug import ASK_AGAIN_US, DEEPEST, REBIRTH, EdgeNodes
from schemas.reading import Quality, Reason
from tests.unit.formats.book import named
from tests.unit.formats.decoding import decoded

NOW_US = 1_793_493_000_000_000
BOOLEAN, STRING, DOUBLE, INT64 = 11, 12, 10, 4


def metric(
    name: str | None = None,
    *,
    alias: int | None = None,
    datatype: int | None = None,
    value: bytes = b"",
    time_ms: int | None = None,
    is_historical: bool = False,
) -> bytes:
    said = [(1, name), (2, alias), (3, time_ms), (4, datatype), (5, is_historical or None)]
    return b"".join(field(number, one) for number, one in said if one is not None) + value


def payload(*metrics: bytes, seq: int | None = None, time_ms: int = 1_000) -> bytes:
    body = field(1, time_ms) + b"".join(field(2, one) for one in metrics)
    return body if seq is None else body + field(3, seq)


def birth(seq: int = 0, session: int = 0) -> bytes:
    return payload(
        metric("bdSeq", datatype=INT64, value=field(11, session)),
        metric("level", alias=5, datatype=DOUBLE, value=field(13, 1.5)),
        seq=seq,
    )


def of(kind: str, device: str = "") -> str:
    return f"spBv1.0/g/{kind}/edge" + (f"/{device}" if device else "")


def replies(items: list[Item]) -> list[Reply]:
    return [item for item in items if isinstance(item, Reply)]


def values(items: list[Item]) -> list[tuple[str, object]]:
    return [(item.point, item.value) for item in items if isinstance(item, Reading)]


def data(seq: int, value: float = 2.5) -> bytes:
    return payload(metric(alias=5, value=field(13, value)), seq=seq)


def test_an_alias_has_the_name_that_its_birth_gave_and_the_node_is_the_gateway() -> None:
    nodes = EdgeNodes()
    assert values(nodes.decode(birth(), of("NBIRTH"), NOW_US)) == [("bdSeq", 0), ("level", 1.5)]
    (found,) = nodes.decode(data(1), of("NDATA"), NOW_US)
    assert found == Reading("edge", "level", 1_000_000, 2.5)


def test_a_devices_metrics_stand_behind_its_name_and_their_aliases_are_its_own() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(), of("NBIRTH"), NOW_US)
    born = payload(metric("state", alias=5, datatype=STRING, value=field(15, "on")), seq=1)
    assert values(nodes.decode(born, of("DBIRTH", "pump"), NOW_US)) == [("pump/state", "on")]
    said = payload(metric(alias=5, value=field(15, "off")), seq=2)
    assert values(nodes.decode(said, of("DDATA", "pump"), NOW_US)) == [("pump/state", "off")]
    assert values(nodes.decode(data(3), of("NDATA"), NOW_US)) == [("level", 2.5)]


def test_a_gap_in_the_sequence_asks_for_a_rebirth_once() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(), of("NBIRTH"), NOW_US)
    assert replies(nodes.decode(data(1), of("NDATA"), NOW_US)) == []
    (asked,) = replies(nodes.decode(data(3), of("NDATA"), NOW_US))
    assert asked.topic == "spBv1.0/g/NCMD/edge"
    assert values(EdgeNodes().decode(asked.data, None, NOW_US)) == [(REBIRTH, True)]
    assert replies(nodes.decode(data(9), of("NDATA"), NOW_US + 1)) == []
    assert len(replies(nodes.decode(data(20), of("NDATA"), NOW_US + ASK_AGAIN_US))) == 1


def test_the_sequence_goes_on_from_0_after_255() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(seq=254), of("NBIRTH"), NOW_US)
    for seq in (255, 0, 1):
        assert replies(nodes.decode(data(seq), of("NDATA"), NOW_US)) == []


def test_a_host_that_starts_late_keeps_the_alias_and_asks() -> None:
    nodes = EdgeNodes()
    items = nodes.decode(data(17), of("NDATA"), NOW_US)
    assert values(items) == [("alias:5", 2.5)]
    assert len(replies(items)) == 1
    nodes.decode(birth(), of("NBIRTH"), NOW_US)
    assert values(nodes.decode(data(1), of("NDATA"), NOW_US)) == [("level", 2.5)]


def test_a_death_ends_what_is_known_and_the_will_of_an_older_session_does_not() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(session=8), of("NBIRTH"), NOW_US)
    will = payload(metric("bdSeq", datatype=INT64, value=field(11, 7)))
    assert nodes.decode(will, of("NDEATH"), NOW_US) == [Seen("edge", "ndeath_of_older_session")]
    assert values(nodes.decode(data(1), of("NDATA"), NOW_US)) == [("level", 2.5)]
    will = payload(metric("bdSeq", datatype=INT64, value=field(11, 8)))
    assert nodes.decode(will, of("NDEATH"), NOW_US) == [Seen("edge", "ndeath")]
    assert values(nodes.decode(data(2), of("NDATA"), NOW_US)) == [("alias:5", 2.5)]


def test_a_devices_death_forgets_that_device_only() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(), of("NBIRTH"), NOW_US)
    born = payload(metric("state", alias=6, datatype=BOOLEAN, value=field(14, True)), seq=1)
    nodes.decode(born, of("DBIRTH", "pump"), NOW_US)
    assert nodes.decode(payload(seq=2), of("DDEATH", "pump"), NOW_US) == [Seen("edge", "ddeath")]
    said = payload(metric(alias=6, value=field(14, False)), seq=3)
    assert values(nodes.decode(said, of("DDATA", "pump"), NOW_US)) == [("pump/alias:6", False)]
    assert values(nodes.decode(data(4), of("NDATA"), NOW_US)) == [("level", 2.5)]


def test_a_devices_birth_forgets_what_its_last_one_named() -> None:
    nodes = EdgeNodes()
    nodes.decode(birth(), of("NBIRTH"), NOW_US)
    for seq, alias in ((1, 6), (2, 7)):
        born = payload(metric("state", alias=alias, datatype=BOOLEAN, value=field(14, True)), seq=seq)
        nodes.decode(born, of("DBIRTH", "pump"), NOW_US)
    said = payload(metric(alias=6, value=field(14, False)), seq=3)
    assert values(nodes.decode(said, of("DDATA", "pump"), NOW_US)) == [("pump/alias:6", False)]


def test_made_up_nodes_are_refused_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.formats.sparkplug.MOST_NODES", 2)
    nodes = EdgeNodes()
    for number in range(2):
        assert values(nodes.decode(birth(), f"spBv1.0/g/NBIRTH/e{number}", NOW_US))
    (found,) = nodes.decode(birth(), "spBv1.0/g/NBIRTH/e2", NOW_US)
    assert isinstance(found, Bad)
    assert found.reason is Reason.range
    assert values(nodes.decode(birth(), "spBv1.0/g/NBIRTH/e1", NOW_US))


def test_what_a_node_stored_is_historical() -> None:
    said = payload(metric("level", value=field(13, 1.0), time_ms=5, is_historical=True))
    assert EdgeNodes().decode(said, None, NOW_US) == [
        Reading(None, "level", 5_000, 1.0, None, Quality.historical, True)
    ]


def test_whole_numbers_keep_their_sign_by_their_type() -> None:
    for datatype, number, said, value in (
        (1, 10, 0xFF, -1),
        (2, 10, 0xFFFF_FFFB, -5),
        (3, 10, 0xFFFF_FFFB, -5),
        (4, 11, 2**64 - 5, -5),
        (5, 10, 200, 200),
        (7, 10, 2**32 - 1, 2**32 - 1),
        (8, 11, 2**64 - 1, 2**64 - 1),
    ):
        one = metric("n", datatype=datatype, value=field(number, said))
        assert values(EdgeNodes().decode(payload(one), None, NOW_US)) == [("n", value)]


def test_a_number_that_is_none_is_none_and_suspect() -> None:
    (found,) = EdgeNodes().decode(payload(metric("n", value=field(13, float("nan")))), None, NOW_US)
    assert found == Reading(None, "n", 1_000_000, None, None, Quality.suspect)


def test_values_that_are_no_scalar_are_unsupported_one_by_one() -> None:
    said = payload(metric("set", datatype=16, value=field(17, b"")), metric("n", value=field(13, 1.0)))
    found = EdgeNodes().decode(said, None, NOW_US)
    assert isinstance(found[0], Bad)
    assert found[0].reason is Reason.unsupported
    assert values(found) == [("n", 1.0)]


def a_template(*members: bytes, is_definition: bool = False) -> bytes:
    """A value: the members of an instance, or what instances have."""
    inside = b"".join(field(2, one) for one in members) + field(4, "Pump") + field(5, is_definition)
    return field(18, field(1, "1.0") + inside)


def test_members_of_a_template_are_points_behind_its_name_also_where_data_says_aliases() -> None:
    nodes = EdgeNodes()
    motor = metric(
        "motor", datatype=19, value=a_template(metric("amps", alias=9, datatype=DOUBLE, value=field(13, 7.5)))
    )
    speed = metric("speed", alias=8, datatype=DOUBLE, value=field(13, 1480.0))
    born = metric("pump", alias=7, datatype=19, value=a_template(speed, motor), time_ms=5)
    definition = metric("Pump", datatype=19, value=a_template(speed, is_definition=True))
    items = nodes.decode(payload(definition, born, seq=0), of("NBIRTH"), NOW_US)
    assert values(items) == [("pump/speed", 1480.0), ("pump/motor/amps", 7.5)]
    assert {item.time_us for item in items if isinstance(item, Reading)} == {5_000}
    said = metric(alias=7, value=a_template(metric("speed", value=field(13, 0.0))), is_historical=True)
    (found,) = nodes.decode(payload(said, metric(alias=9, value=field(13, 8.0)), seq=1), of("NDATA"), NOW_US)[
        :1
    ]
    assert found == Reading("edge", "pump/speed", 1_000_000, 0.0, None, Quality.historical, True)
    both = payload(metric(alias=7, value=a_template(metric(alias=8, value=field(13, 2.0)))),
                   metric(alias=9, value=field(13, 8.0)), seq=2)  # fmt: skip
    items = nodes.decode(both, of("NDATA"), NOW_US)
    assert values(items) == [("pump/speed", 2.0), ("pump/motor/amps", 8.0)]
    assert replies(items) == []


def test_an_instance_that_no_birth_named_asks_and_keeps_what_it_says() -> None:
    said = metric(
        alias=7,
        value=a_template(metric("speed", value=field(13, 1.0)), metric(alias=3, value=field(13, 2.0))),
    )
    items = EdgeNodes().decode(payload(said, seq=3), of("NDATA"), NOW_US)
    assert values(items) == [("alias:7/speed", 1.0), ("alias:3", 2.0)]
    assert len(replies(items)) == 1


def test_a_template_that_is_broken_or_too_deep_is_refused_and_its_neighbours_are_kept() -> None:
    deep = metric("n", value=field(13, 1.0))
    for _ in range(DEEPEST + 1):
        deep = metric("t", datatype=19, value=a_template(deep))
    said = payload(metric("cut", value=field(18, b"\x12\x7f")), deep, metric("n", value=field(13, 1.0)))
    broken, too_deep, kept = EdgeNodes().decode(said, None, NOW_US)
    assert isinstance(broken, Bad)
    assert isinstance(too_deep, Bad)
    assert (broken.reason, too_deep.reason) == (Reason.syntax, Reason.unsupported)
    assert values([kept]) == [("n", 1.0)]


def test_a_data_set_is_refused_with_what_to_do_instead() -> None:
    (found,) = EdgeNodes().decode(payload(metric("set", datatype=16, value=field(17, b""))), None, NOW_US)
    assert isinstance(found, Bad)
    assert "send its columns as metrics" in found.detail


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_payload_that_tahu_packed_is_unpacked(pack: object) -> None:
    assert callable(pack)
    packed = field(4, "SPBV1.0_COMPRESSED") + field(5, pack(birth()))
    assert values(EdgeNodes().decode(packed, None, NOW_US)) == [("bdSeq", 0), ("level", 1.5)]


def test_a_payload_that_unpacks_without_end_is_refused() -> None:
    packed = field(4, "SPBV1.0_COMPRESSED") + field(5, zlib.compress(bytes(50_000_000)))
    (found,) = EdgeNodes().decode(packed, None, NOW_US)
    assert isinstance(found, Bad)
    assert found.reason is Reason.syntax


def test_a_topic_that_is_not_sparkplugs_is_refused() -> None:
    for topic in (
        "spBv1.0/g/NDATA",
        "spBv1.0/g/NDATA/e/d",
        "spBv1.0/g/DDATA/e",
        "a/b/c/d",
        "spBv1.0/g/X/e",
        "",
    ):
        (found,) = EdgeNodes().decode(data(1), topic, NOW_US)
        assert isinstance(found, Bad)
        assert found.reason is Reason.syntax
    assert EdgeNodes().decode(b'{"online":true}', "spBv1.0/STATE/host", NOW_US) == [Seen(None, "state")]
    assert EdgeNodes().decode(payload(), of("NCMD"), NOW_US) == [Seen("edge", "command")]


def test_half_a_payload_is_truncated_and_noise_is_no_payload() -> None:
    whole = named("sparkplug", "DBIRTH")
    (cut,) = EdgeNodes().decode(whole[:-20], None, NOW_US)
    (noise,) = EdgeNodes().decode(b"\x07\x07\x07", None, NOW_US)
    assert isinstance(cut, Bad)
    assert isinstance(noise, Bad)
    assert (cut.reason, noise.reason) == (Reason.truncated, Reason.syntax)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.booleans() | NUMBERS | st.text(max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def spelled(value: bool | float | str) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return BOOLEAN, field(14, value)
    if isinstance(value, str):
        return STRING, field(15, value)
    return DOUBLE, field(13, value)


@given(st.dictionaries(NAMES, SCALARS, min_size=1, max_size=10), st.integers(0, 2**40))
def test_what_a_node_writes_is_what_is_read(said: dict[str, bool | float | str], time_ms: int) -> None:
    metrics = [
        metric(name, alias=alias, datatype=datatype, value=value)
        for alias, (name, (datatype, value)) in enumerate((name, spelled(one)) for name, one in said.items())
    ]
    nodes = EdgeNodes()
    assert values(nodes.decode(payload(*metrics, time_ms=time_ms), None, NOW_US)) == list(said.items())
    again = [metric(alias=alias, value=spelled(one)[1]) for alias, one in enumerate(said.values())]
    assert values(nodes.decode(payload(*again, time_ms=time_ms), None, NOW_US)) == list(said.items())


TREES = st.recursive(
    NUMBERS, lambda inside: st.dictionaries(NAMES, inside, min_size=1, max_size=4), max_leaves=12
)


def grown(name: str, tree: object) -> bytes:
    if isinstance(tree, dict):
        return metric(
            name, datatype=19, value=a_template(*(grown(of_it, one) for of_it, one in tree.items()))
        )
    assert isinstance(tree, float)
    return metric(name, datatype=DOUBLE, value=field(13, tree))


def leaves(name: str, tree: object, depth: int = 0) -> list[tuple[str, object]]:
    if not isinstance(tree, dict):
        return [(name, tree)]
    if depth == DEEPEST:
        return []
    return [leaf for of_it, one in tree.items() for leaf in leaves(f"{name}/{of_it}", one, depth + 1)]


@given(NAMES, TREES)
def test_templates_within_templates_are_read_leaf_by_leaf(name: str, tree: object) -> None:
    assert values(EdgeNodes().decode(payload(grown(name, tree)), None, NOW_US)) == leaves(name, tree)


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_malformed(data: bytes) -> None:
    try:
        found = fields(data)
    except Malformed:
        return
    assert all(number > 0 for number, _ in found)


def test_floats_of_32_bits_are_read() -> None:
    value = bytes([12 << 3 | 5]) + struct.pack("<f", 12.5)
    assert values(EdgeNodes().decode(payload(metric("n", datatype=9, value=value)), None, NOW_US)) == [
        ("n", 12.5)
    ]


def test_the_command_asks_for_a_rebirth_when_lines_name_their_topics() -> None:
    lines = f"spBv1.0/g/DDATA/edge/pump {data(7).hex()}\n".encode()
    code, found = decoded("sparkplug", lines, "--hex", "--reply")
    assert code == 0
    assert (found[0]["gateway"], found[0]["point"]) == ("edge", "pump/alias:5")
    assert found[1]["topic"] == "spBv1.0/g/NCMD/edge"
    assert REBIRTH.encode() in bytes.fromhex(found[1]["reply_hex"])


# By pysparkplug 0.6.1 over protobuf 7.36: a birth, then the same metrics by alias, stored on the way.
THEIR_BIRTH = bytes.fromhex(
    "08eaf2f5a8a02b12140a04612f6938100118eaf2f5a8a02b200150fb0112140a03693136100218eaf2f5a8a02b200250d4fd"
    "0312160a03693332100318eaf2f5a8a02b20035090ddfbff0f121b0a03693634100418eaf2f5a8a02b2004588080808080e0"
    "ffffff01120b0a0275381005200550fa0112160a037536341006180120085881808080808080808001120e0a016610071801"
    "2009650000a03f12120a016410081801200a6900000000000004c0120b0a016210091801200b700112110a0173100a180120"
    "0c7a06e6b8a9e5baa6120c0a0174100b1801200e7a0178120e0a046e756c6c100c1801200a38011800"
)
THEIR_DATA = bytes.fromhex(
    "08ebf2f5a8a02b120910011802280150fb01120a10021802280150d4fd03120c1003180228015090ddfbff0f121110041802"
    "2801588080808080e0ffffff01120910051802280150fa0112111006180228015881808080808080808001120b1007180228"
    "01650000a03f120f1008180228016900000000000004c012081009180228017001120e100a180228017a06e6b8a9e5baa612"
    "09100b180228017a01781208100c1802280138011801"
)


def test_what_another_implementation_writes_is_read() -> None:
    nodes = EdgeNodes()
    said = {
        "a/i8": -5,
        "i16": -300,
        "i32": -70_000,
        "i64": -(2**40),
        "u8": 250,
        "u64": 2**63 + 1,
        "f": 1.25,
        "d": -2.5,
        "b": True,
        "s": "温度",
        "t": "x",
        "null": None,
    }
    assert values(nodes.decode(THEIR_BIRTH, of("NBIRTH"), NOW_US)) == list(said.items())
    again = nodes.decode(THEIR_DATA, of("NDATA"), NOW_US)
    assert values(again) == list(said.items())
    assert replies(again) == []
    assert {item.historical for item in again if isinstance(item, Reading)} == {True}
