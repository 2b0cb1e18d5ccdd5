"""Episodes taken from what was told, where the log no longer reaches back to how they began.

The newest message of each (rule, mode, subject) says what is open, since when, and how far its numbers went;
what folding has found for itself does not count, as nobody was told. An open episode whose rule or sensor is
no more is cleared by the next `fold`. What a detector remembers (windows, holds) is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detectors import episode
from detectors.contract import NO_SLOT
from detectors.fold import Partition
from detectors.tracks import Tracks
from schemas.alert import Alert
from schemas.clock import to_us


def newest(told: Iterable[Alert]) -> list[Alert]:
    """Of each (rule, mode, subject) the last message of its last episode."""
    found: dict[tuple[str, str, str], Alert] = {}
    for message in told:
        key = message.rule, message.mode, message.subject
        known = found.get(key)
        if known is None or (message.since, message.seq) > (known.since, known.seq):
            found[key] = message
    return list(found.values())


def resume(partition: Partition, told: Iterable[Alert]) -> int:
    """How many episodes are open now. `told` may hold other partitions' messages: they are left out."""
    program = partition.program
    row_of = {sensor.key: row for row, sensor in enumerate(program.sensors)}
    gateway_of = {gateway.key: index for index, gateway in enumerate(program.gateways)}
    ours = {gateway.gateway for gateway in program.gateways}
    before = [tracks.episodes for tracks in partition.tracks]
    for tracks in partition.tracks:
        tracks.episodes = episode.fresh(len(tracks.lane.row))
    partition.open.clear()
    for message in newest(told):
        kind, _, name = message.subject.partition("/")
        if (name if kind == "gateway" else name.partition("/")[0]) not in ours:
            continue
        key = message.rule, message.mode, message.subject
        if message.state == "active":
            partition.open[key] = message
        for i, tracks in enumerate(partition.tracks):
            at_gateway = tracks.lane.detector.looks_at == "gateways"
            row = (gateway_of if at_gateway else row_of).get(message.subject, -1)
            track = int(tracks.lane.track_of[row]) if row >= 0 else -1
            if track < 0:
                continue
            rule = tracks.lane.rule_of(track)
            if (rule.name, rule.mode if rule.mode != "draft" else "shadow") == key[:2]:
                _continue(tracks, track, before[i], message)
    partition.changed[:] = True
    partition.withdraw_homeless()
    return len(partition.open)


def _continue(tracks: Tracks, track: int, before: episode.Episodes, message: Alert) -> None:
    now = tracks.episodes
    now.seq[track], now.since[track], now.worst[track] = message.seq, to_us(message.since), message.worst
    if message.state != "active":
        return
    now.level[track] = message.level
    tracks.running[track] = True
    if before.level[track] == message.level:
        for name in ("slot", "mark", "falling", "falling_start", "falling_to"):
            getattr(now, name)[track] = getattr(before, name)[track]
    else:
        now.slot[track], now.mark[track] = NO_SLOT, np.inf
