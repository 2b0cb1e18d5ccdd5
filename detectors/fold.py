"""Fold the log of one partition into alerts.

The same log gives the same alerts, bodies included, however it is cut into batches: every decision belongs
to one record or one tick. Frames between two ticks are taken together, in rounds of one reading a sensor, so
that the work is array operations and python runs only for messages. Registry and rules are not loaded here:
the caller reads the versions that control records name, compiles and calls `adopt` at that place of the log.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from detectors.evidence import SHOWN_NEIGHBOURS, Neighbours, evidence, members_of, withdrawn
from detectors.intake import NEVER, Run
from detectors.memory import Memory
from detectors.newest import outside
from detectors.program import Lane, Program
from detectors.rehome import fill
from detectors.rounds import Rounds
from detectors.snapshot import Copy, Saved, SnapshotError, joined, pack, take, unpack
from detectors.tracks import Change, Tracks
from schemas import alert as alerts
from schemas.alert import Alert
from schemas.clock import to_datetime, to_us
from schemas.control import Control, Gap, Marks, Ownership, Tick
from schemas.frame import Frame

__all__ = ["Partition", "SnapshotError"]
STAGGER_US = 7_919_000
"""By which the turns of groups differ, so that not all are judged at one tick."""


class Partition(Memory):
    def fold(self, entries: Sequence[Frame | Control]) -> list[Alert]:
        """The alerts of these entries of the log, in log order."""
        out, self.owed = self.owed, []
        frames: list[Frame] = []
        for entry in entries:
            if isinstance(entry, Frame):
                if len(entry.segments):
                    frames.append(entry)
                continue
            if isinstance(entry, Tick | Gap | Ownership) and frames:
                out += self._run(frames)
                frames = []
            match entry:
                case Tick() if self.intake.generation(entry):
                    out += self._tick(entry)
                case Ownership() if self.intake.generation(entry):
                    self.intake.own(entry)
                case Marks():
                    self.intake.generation(entry)
                case Gap():
                    self.intake.gap(entry)
        if frames:
            out += self._run(frames)
        return out

    def open_episodes(self) -> list[Alert]:
        """The last message of every episode that is active."""
        return list(self.open.values())

    def adopt(self, program: Program) -> list[Alert]:
        """Go on with another program: state moves over sensor by sensor, what lost its home is cleared."""
        moved = Partition._of(program, take(self).saved())
        owed = moved.owed
        moved.owed = []
        self.__dict__.update(moved.__dict__)
        return owed

    def changed_share(self) -> float:
        """Of the rows: how many changed since the last whole copy."""
        return float(self.changed.mean()) if len(self.changed) else 1.0

    def copy(self, *, whole: bool = True) -> Copy:
        """What later alerts depend on, as it stands; else only what changed since the last whole copy."""
        if not whole:
            return take(self, np.flatnonzero(self.changed))
        self.changed[:] = False
        return take(self)

    def snapshot(self) -> bytes:
        """A whole copy as bytes. Self-describing, no code in it."""
        return b"".join(pack(take(self)))

    @classmethod
    def restore(cls, program: Program, whole: bytes, changes: bytes | None = None) -> Partition:
        """A partition that goes on where the snapshot was taken. Raises SnapshotError.

        The program may have changed since: episodes without a home in it are cleared by the next `fold`.
        """
        saved = unpack(whole)
        return cls._of(program, saved if changes is None else joined(saved, unpack(changes)))

    @classmethod
    def _of(cls, program: Program, saved: Saved) -> Partition:
        partition = cls(program)
        fill(partition, saved)
        partition.withdraw_homeless()
        return partition

    def withdraw_homeless(self) -> None:
        """Open episodes whose rule or sensor the program does not have: cleared by the next `fold`."""
        known = {
            (lane.rule_of(track).name, lane.rule_of(track).mode, self._subject(i, track)[0])
            for i, lane in enumerate(self.program.lanes)
            for track in np.flatnonzero(self.tracks[i].episodes.level).tolist()
        }
        for key in sorted(key for key in self.open if key not in known):
            self.owed.append(self._withdraw(self.open.pop(key)))

    # Readings

    @np.errstate(all="ignore")
    def _run(self, frames: list[Frame]) -> list[Alert]:
        run = self.intake.take(frames)
        heard = np.flatnonzero(run.live)
        if not len(heard):
            return []
        scored = np.flatnonzero(run.scored)
        rounds = Rounds(run, scored, self.last_value, self.last_at, self.tracks, self.place)
        row, first, last = rounds.rows, rounds.first, rounds.last
        blind, known = self.intake.blind_total[self.program.gateway[row]], self.last_at[row] != NEVER
        paused = np.minimum(blind - self.blind_at[row], run.at[first] - self.last_at[row])
        series = rounds.series(np.where(known, paused, 0))
        found = [
            (i, change)
            for i, tracks in enumerate(self.tracks)
            if tracks.lane.detector.looks_at == "readings" and i not in self.checks.lanes
            for part in series
            for change in tracks.read(part, rounds.agreed[i], rounds.newest)
        ]
        rounds.over()
        found += self._checked(run, rounds)
        self.last_at[row], self.last_value[row] = run.at[last], run.value[last]
        self.last_received[row], self.blind_at[row] = run.received[last], blind
        row = run.row[heard]
        self.changed[row] = True
        self.heard_work[row] = run.work[heard]
        np.maximum.at(self.heard_at, row, np.where(run.in_time[heard], run.at[heard], NEVER))
        found.sort(key=lambda item: (item[1].position, item[0], item[1].track))
        return [
            self._alert(
                i,
                c,
                run.published_us(c.position),
                run.correlation(c.position),
                self._neighbours(i, c, rounds),
            )
            for i, c in found
        ]

    def _checked(self, run: Run, rounds: Rounds) -> list[tuple[int, Change]]:
        """What the checks say: of sensors that sent something strange now, or did so lately."""
        rows = np.union1d(run.row[run.strange], _common(rounds.rows, self._lately()))
        if not len(rows):
            return []
        seen = run.scored & np.isin(run.row, rows)
        seen[run.strange] = True
        self.checked_at[rows] = np.maximum(self.checked_at[rows], self.last_at[rows])
        every = Rounds(run, np.flatnonzero(seen), self.last_value, self.checked_at, [], self.place)
        nobody = np.zeros(len(run.row), bool)
        found = [
            (i, change)
            for i in sorted(self.checks.lanes)
            for part in every.series(np.zeros(len(every.rows), np.int64))
            for change in self.tracks[i].read(part, nobody, every.newest)
        ]
        every.over()
        self.checked_at[every.rows] = run.at[every.last]
        self.checked_ahead = np.union1d(self.checked_ahead, rows)
        return found

    def _lately(self) -> np.ndarray:
        """Rows of which a check has something open, or has seen what is newer than what was judged."""
        ahead = self.checked_ahead
        if len(ahead):
            ahead = self.checked_ahead = ahead[self.checked_at[ahead] > self.last_at[ahead]]
        for i in self.checks.lanes:
            tracks = self.tracks[i]
            if tracks.running.any():
                ahead = np.union1d(ahead, tracks.lane.row[tracks.running])
        return ahead

    # Time

    @np.errstate(all="ignore")
    def _tick(self, tick: Tick) -> list[Alert]:
        scope = self.intake.tick(tick)
        out: list[Alert] = []
        for i, tracks in enumerate(self.tracks):
            match tracks.lane.detector.looks_at:
                case "readings":
                    changes = self._ripen(tracks, scope, tick.city_us)
                case "gaps":
                    changes = self._gaps(tracks, scope, tick.city_us)
                case "groups":
                    changes = self._groups(tracks, scope, tick.city_us)
                case _:
                    changes = self._gateways(tracks, scope, tick.city_us)
            out += [self._alert(i, c, tick.wall_us, None, self._neighbours(i, c)) for c in changes]
        return out

    def _ripen(self, tracks: Tracks, scope: np.ndarray, city_us: int) -> list[Change]:
        track = np.flatnonzero(tracks.waiting)
        if not len(track):
            return []
        gateway = self.program.gateway[tracks.lane.row[track]]
        track = track[scope[gateway] & ~self.intake.blind[gateway]]
        row = tracks.lane.row[track]
        self.changed[row] = True
        gateway = self.program.gateway[row]
        passed = self.intake.city[gateway] - self.last_received[row]
        passed -= self.intake.blind_total[gateway] - self.blind_at[row]
        clock = self.last_at[row] + np.maximum(passed, 0)
        return tracks.ripe(
            track, clock, self.last_value[row], city_us, outside(self.last_value, self.last_at, self.place)
        )

    def _gaps(self, tracks: Tracks, scope: np.ndarray, city_us: int) -> list[Change]:
        row = tracks.lane.row
        gateway = self.program.gateway[row]
        working = self.intake.work[gateway] - self.heard_work[row]
        first = tracks.lane.table.intervals.min(axis=1) * tracks.lane.table.interval_us
        late = (working >= first[tracks.lane.kind]) & (self.heard_at[row] != NEVER)
        track = np.flatnonzero((late | (tracks.episodes.level > 0)) & scope[gateway])
        if not len(track):
            return []
        row = row[track]
        self.changed[row] = True
        return tracks.judge(track, self.heard_at[row], working[track].astype(np.float64), city_us)

    def _groups(self, tracks: Tracks, scope: np.ndarray, city_us: int) -> list[Change]:
        """Those whose turn it is by their first member's clock; a member is as old as its clock says."""
        row = tracks.lane.row
        gateway = self.program.gateway[row]
        able = scope[gateway] & ~self.intake.blind[gateway] & (self.last_at[row] != NEVER)
        passed = np.where(able, self.intake.city[gateway] - self.last_received[row], 0)
        clock = np.where(able, self.last_at[row] + np.maximum(passed, 0), NEVER)
        every = tracks.lane.table.every_us[tracks.lane.kind]
        turn = (clock + self.program.numbers[row] * STAGGER_US % every) // every
        track = np.flatnonzero(able & (turn > tracks.state.turn))
        if not len(track):
            return []
        self.changed[row[track]] = True
        heard = self.last_at != NEVER
        age = np.where(heard, city_us - self.last_received, 0)
        newest = outside(self.last_value, np.where(heard, -np.maximum(age, 0), NEVER), self.place)
        return tracks.together(track, turn[track], clock[track], newest, city_us)

    def _gateways(self, tracks: Tracks, scope: np.ndarray, city_us: int) -> list[Change]:
        gateway, intake = tracks.lane.row, self.intake
        if tracks.lane.detector.asks == "clock":
            amount, begun = intake.clocks.told()[gateway], intake.clock_since
        else:
            amount, begun = intake.blind[gateway], intake.blind_since
        track = np.flatnonzero(((amount != 0) | (tracks.episodes.level > 0)) & scope[gateway])
        if not len(track):
            return []
        return tracks.judge(track, begun[gateway[track]], amount[track].astype(np.float64), city_us)

    # Messages

    def _neighbours(self, lane: int, change: Change, rounds: Rounds | None = None) -> Neighbours:
        tracks = self.tracks[lane]
        if change.told is not None:
            return members_of(self.program, change.told)
        if not tracks.lane.detector.compares or change.change == "clear":
            return Neighbours()
        row = int(tracks.lane.row[change.track])
        peers = self.program.peers[self.program.sensors[row].category or "", self.program.zones[row]]
        peers = peers[peers != row]
        value, agrees = self.last_value[peers], tracks.agreeing(peers)
        if rounds is not None:
            value, agrees = rounds.back_to(change.position, lane, peers, value, agrees)
        known = np.flatnonzero(np.isfinite(value))
        shown = known[np.argsort(~agrees[known], kind="stable")][:SHOWN_NEIGHBOURS]
        return Neighbours(
            known=len(known),
            agreeing=int(agrees[known].sum()),
            shown=[
                {"subject": self.program.sensors[int(peers[i])].key, "value": v, "agrees": a}
                for i, v, a in zip(shown, value[shown].tolist(), agrees[shown].tolist(), strict=True)
            ],
        )

    def _subject(self, lane: int, track: int) -> tuple[str, str | None, str, str | None]:
        """subject, category, zone, asset"""
        facts = self.program.lanes[lane]
        row = int(facts.row[track])
        if facts.detector.looks_at == "gateways":
            return self.program.gateways[row].key, "device_silence", self.program.gateways[row].zone, None
        sensor = self.program.sensors[row]
        category = "device_silence" if facts.detector.looks_at == "gaps" else sensor.category
        return sensor.key, category, self.program.zones[row], sensor.asset

    def _alert(
        self,
        lane: int,
        change: Change,
        published_us: int,
        correlation: str | None,
        neighbours: Neighbours,
    ) -> Alert:
        facts = self.program.lanes[lane]
        rule = facts.rule_of(change.track)
        subject, category, zone, asset = self._subject(lane, change.track)
        mode = rule.mode if rule.mode != "draft" else "shadow"
        message = Alert(
            alert_id=alerts.alert_id(rule.name, mode, subject, change.since),
            seq=change.seq,
            change=change.change,
            mode=mode,
            rule=rule.name,
            rule_version=rule.version,
            subject=subject,
            category=category,
            network=rule.network,
            zone=zone,
            district=self.program.districts.get(zone),
            level=change.level,
            worst=change.worst,
            state="cleared" if change.change == "clear" else "active",
            since=to_datetime(change.since),
            observed_at=to_datetime(change.at),
            evidence=evidence(self.program, facts, change, neighbours),
            published_at=to_datetime(published_us),
            correlation=correlation,
            asset=asset,
            suppressed=self._suppressed(facts, change),
        )
        key = rule.name, mode, subject
        if change.change == "clear":
            self.open.pop(key, None)
        else:
            self.open[key] = message
        return message

    def _suppressed(self, lane: Lane, change: Change) -> str | None:
        """The state of a sensor whose alerts are recorded and told to nobody."""
        if lane.detector.looks_at == "gateways":
            return None
        state = self.program.sensors[int(lane.row[change.track])].state_at(change.at)
        return None if state == "in-service" else state

    def _withdraw(self, last: Alert) -> Alert:
        at = self.intake.city_us if self.intake.city_us != NEVER else to_us(last.observed_at)
        wall = to_datetime(self.intake.wall_us) if self.intake.wall_us != NEVER else last.published_at
        return msgspec.structs.replace(
            last,
            seq=last.seq + 1,
            change="clear",
            state="cleared",
            observed_at=to_datetime(at),
            published_at=wall,
            correlation=None,
            evidence=withdrawn(last, at),
        )


def _common(rows: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Those of a few that are among `rows`, which ascend."""
    if not len(few) or not len(rows):
        return few[:0]
    at = np.minimum(np.searchsorted(rows, few), len(rows) - 1)
    common: np.ndarray = few[rows[at] == few]
    return common
