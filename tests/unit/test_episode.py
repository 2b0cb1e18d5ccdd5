"""Episodes: raise once, upgrade at once, leave a level only after as long as it took to raise it."""

import numpy as np

from detectors import episode
from detectors.contract import Bound, Fall, no_scores
from detectors.episode import CLEAR, DOWNGRADE, NOTHING, RAISE, UPDATE, UPGRADE, Episodes, Falls

KIND = np.zeros(1, np.int32)
ZERO = np.zeros(1, np.int64)
TRACK = np.zeros(1, np.int64)


def falls(reports: int = 2, seconds: int = 0) -> Falls:
    fall = Fall(reports, seconds * 1_000_000)
    return episode.falls([Bound(None, frozenset({1, 2, 3, 4}), (fall,) * 4, ())])


class Story:
    """One track, one event after another; `said` is what changed."""

    def __init__(self, table: Falls) -> None:
        self.table, self.state, self.now = table, episode.fresh(1), 0
        self.said: list[int] = []

    def reading(
        self, meets: int, keeps: int | None = None, excess: float = 0.0, seconds: int = 60
    ) -> Episodes:
        self.now += seconds * 1_000_000
        scores = no_scores(1)._replace(
            meets=np.array([meets], np.uint8),
            keeps=np.array([meets if keeps is None else keeps], np.uint8),
            since=np.array([self.now]),
            excess=np.array([excess]),
            grain=np.array([1.0]),
        )
        change, self.waits = episode.step(
            self.table, KIND, self.state, TRACK, scores, np.array([self.now]), ZERO
        )
        self.said.append(int(change[0]))
        return Episodes(*(array.copy() for array in self.state))

    def time(self, seconds: int) -> None:
        """Only time passes."""
        self.now += seconds * 1_000_000
        change, self.waits = episode.step(
            self.table, KIND, self.state, TRACK, no_scores(1), np.array([self.now]), ZERO, reading=False
        )
        self.said.append(int(change[0]))


def test_an_episode_is_raised_once_while_it_lasts() -> None:
    story = Story(falls())
    for _ in range(5):
        story.reading(2)
    assert story.said == [RAISE, NOTHING, NOTHING, NOTHING, NOTHING]
    assert story.state.seq[0] == 1


def test_a_jump_over_levels_is_raised_at_the_level_it_reached() -> None:
    story = Story(falls())
    state = story.reading(1)
    assert (state.level[0], state.worst[0]) == (1, 1)


def test_an_upgrade_is_immediate_and_a_downgrade_is_not() -> None:
    story = Story(falls(reports=2))
    story.reading(3)
    story.reading(1)
    story.reading(3)
    state = story.reading(3)
    assert story.said == [RAISE, UPGRADE, NOTHING, DOWNGRADE]
    assert (state.level[0], state.worst[0], state.seq[0]) == (3, 1, 3)


def test_between_the_relaxed_limit_and_the_limit_nothing_flaps() -> None:
    story = Story(falls())
    story.reading(2)
    for _ in range(10):
        story.reading(0, keeps=2)
        story.reading(2)
    assert story.said[1:] == [NOTHING] * 20


def test_one_reading_below_does_not_clear_and_two_do() -> None:
    story = Story(falls(reports=2))
    story.reading(2)
    story.reading(0)
    story.reading(2)
    story.reading(0)
    story.reading(0)
    assert story.said == [RAISE, NOTHING, NOTHING, NOTHING, CLEAR]


def test_it_falls_to_the_worst_level_kept_meanwhile() -> None:
    story = Story(falls(reports=3))
    story.reading(1)
    story.reading(0)
    story.reading(3)
    state = story.reading(0)
    assert story.said[-1] == DOWNGRADE
    assert state.level[0] == 3


def test_a_clear_that_needs_time_matures_by_the_clock_alone() -> None:
    story = Story(falls(reports=1, seconds=300))
    story.reading(2)
    story.reading(0)
    assert story.waits[0]
    story.time(299)
    story.time(1)
    assert story.said == [RAISE, NOTHING, NOTHING, CLEAR]


def test_updates_come_only_when_the_excess_has_doubled() -> None:
    story = Story(falls())
    for excess in (0.5, 1.0, 1.9, 2.0, 3.0, 3.9, 4.0, 7.0, 100.0):
        story.reading(2, excess=excess)
    assert [i for i, change in enumerate(story.said) if change == UPDATE] == [3, 6, 8]


def test_the_same_beginning_again_goes_on_counting() -> None:
    """An alert's id comes from its beginning, so a second episode of the same beginning is the same alert."""
    state, at = episode.fresh(1), np.array([10])
    seen = []
    for level in (3, 0, 3):
        scores = no_scores(1)._replace(
            meets=np.array([level], np.uint8), keeps=np.array([level], np.uint8), since=np.array([5])
        )
        episode.step(falls(reports=1), KIND, state, TRACK, scores, at, ZERO)
        seen.append(int(state.seq[0]))
    assert seen == [1, 2, 3]


def test_tracks_that_are_not_asked_about_stay_as_they_are() -> None:
    state = episode.fresh(4)
    scores = no_scores(2)._replace(meets=np.array([2, 3], np.uint8), since=np.array([7, 8]))
    at = np.array([7, 8])
    change, waits = episode.step(
        falls(), np.zeros(2, np.int32), state, np.array([3, 1]), scores, at, np.zeros(2, np.int64)
    )
    assert change.tolist() == [RAISE, RAISE]
    assert waits.tolist() == [False, False]
    assert state.level.tolist() == [0, 3, 0, 2]
    assert state.since[[1, 3]].tolist() == [8, 7]
