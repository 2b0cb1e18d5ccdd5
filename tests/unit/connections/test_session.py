"""A connection of a national protocol: repeats, answers, limits."""

from __future__ import annotations

from ingest.connections.session import MINUTE_US, Limits, Session
from ingest.formats import gb26875, hj212, sl651
from ingest.formats.result import Bad, Item, Reading, Reply, Seen
from schemas.clock import CityClock
from tests.unit.formats.book import named

NOW_US = 1_793_493_000_000_000
AIR = named("hj212", "mk_rt_air")
REPORT = named("sl651", "river_test_30")
FIRE = named("gb26875", "mk_sys_fire")


def kinds(items: list[Item]) -> list[str]:
    return [item.frame if isinstance(item, Seen) else type(item).__name__ for item in items]


def test_a_station_is_read_and_answered_wherever_its_frame_is_cut() -> None:
    for form, frame in ((hj212.FORMAT, AIR), (sl651.FORMAT, REPORT), (gb26875.FORMAT, FIRE)):
        session = Session(form, NOW_US)
        assert session.feed(frame[:-1], NOW_US) == []
        found = session.feed(frame[-1:], NOW_US)
        assert isinstance(found[0], Reading)
        assert isinstance(found[-1], Reply)
        assert session.finish(NOW_US) == []


def test_a_frame_that_comes_again_is_answered_again_and_not_read_twice() -> None:
    session = Session(hj212.FORMAT, NOW_US)
    first = session.feed(AIR, NOW_US)
    again = session.feed(AIR, NOW_US + 10_000_000)
    assert kinds(first) == ["Reading"] * 5 + ["Reply"]
    assert kinds(again) == ["repeat", "Reply"]
    assert again[-1] == first[-1]


def test_the_same_bytes_much_later_are_no_repeat() -> None:
    session = Session(gb26875.FORMAT, NOW_US)
    session.feed(FIRE, NOW_US)
    assert kinds(session.feed(FIRE, NOW_US + 11 * MINUTE_US)) == ["Reading", "Reply"]


def test_what_is_remembered_of_frames_is_bounded() -> None:
    session = Session(gb26875.FORMAT, NOW_US, Limits(repeats=4))
    for minute in range(6):
        state = b"\x15\1\1" + gb26875.six_bytes(NOW_US + minute * MINUTE_US)
        session.feed(gb26875.framed(minute, (1, 1), NOW_US, bytes(6), bytes(6), gb26875.SEND, state), NOW_US)
    assert len(session._known) == 4


def test_a_damaged_frame_is_never_taken_for_a_repeat() -> None:
    session = Session(hj212.FORMAT, NOW_US)
    damaged = AIR.replace(b"a34004-Rtd=38", b"a34004-Rtd=39")
    assert kinds(session.feed(damaged + damaged, NOW_US)) == ["Bad", "Bad"]


def test_silence_and_rubbish_end_a_connection_and_a_good_frame_starts_the_count_anew() -> None:
    session = Session(hj212.FORMAT, NOW_US, Limits(idle_us=MINUTE_US, bad_in_a_row=3))
    assert session.why_close(NOW_US + MINUTE_US) is None
    assert session.why_close(NOW_US + 2 * MINUTE_US) == "silent for 120 s"
    bad = named("hj212", "bad_crc_1")
    session.feed(bad + bad + AIR + bad + bad, NOW_US)
    assert session.why_close(NOW_US) is None
    session.feed(bad, NOW_US)
    assert session.why_close(NOW_US) == "3 bad frames in a row"


def test_what_is_left_at_the_end_is_truncated() -> None:
    session = Session(hj212.FORMAT, NOW_US)
    session.feed(AIR + AIR[:40], NOW_US)
    (left,) = session.finish(NOW_US)
    assert isinstance(left, Bad)
    assert (left.reason, left.at) == ("truncated", len(AIR))


def test_noise_ends_a_connection_and_a_sound_frame_starts_the_count_anew() -> None:
    session = Session(hj212.FORMAT, NOW_US, Limits(noise_bytes=1_000))
    session.feed(b"x" * 900, NOW_US)
    session.feed(AIR, NOW_US)
    session.feed(b"x" * 900, NOW_US)
    assert session.why_close(NOW_US) is None
    session.feed(b"x" * 100, NOW_US)
    assert session.why_close(NOW_US) == "1000 bytes without a sound frame"


def test_a_frame_that_never_ends_ends_the_connection_however_often_a_byte_comes() -> None:
    session = Session(hj212.FORMAT, NOW_US)
    session.feed(AIR, NOW_US)
    for second in range(60):
        session.feed(AIR[second : second + 1], NOW_US + second * 1_000_000)
    assert session.held == 60
    assert session.why_close(NOW_US + MINUTE_US) is None
    assert session.why_close(NOW_US + 61_000_000) == "a frame has been coming for 61 s"
    session.feed(AIR[60:], NOW_US + 61_000_000)
    assert session.why_close(NOW_US + 10 * MINUTE_US) is None


def test_who_says_nothing_sound_is_not_kept_as_long_as_a_known_device() -> None:
    assert Session(hj212.FORMAT, NOW_US).why_close(NOW_US + 3 * MINUTE_US) == "no sound frame for 180 s"


def test_answers_tell_the_city_clock() -> None:
    clock = CityClock(NOW_US + 86_400_000_000, NOW_US, 60.0)
    session = Session(sl651.FORMAT, NOW_US, clock=clock)
    (*_, answer) = session.feed(REPORT, NOW_US)
    assert isinstance(answer, Reply)
    assert answer == Reply(sl651.answer(REPORT, clock.city_us(NOW_US)) or b"")
