"""`cityvigil rules check|test|export|schema|fit|pipes|front|list|...`: rules as files, and as the live set.

The work is done in the modules `cityvigil/rule_*.py`; here are only the words and exit codes. `backtest` and
`diff` need a history to run over, which this version does not read yet.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import datetime as dt
import fcntl
import getpass
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from aiokafka.errors import KafkaError

from cityvigil import (
    city_clock,
    rule_files,
    rule_fit,
    rule_front,
    rule_pipes,
    rule_set,
    rule_shadow,
    rule_trials,
    where,
)
from cityvigil.detect_state import snapshots_of
from cityvigil.errors import CannotRun
from cityvigil.registry_topic import read_registry
from cityvigil.rule_set import RuleSet
from cityvigil.unguarded import Row, learning_list, still_learning, work_list
from cityvigil.verbs.options import add_data_option, add_json_option, write_json
from detectors.fitted import FITTABLE
from detectors.wording import ZONE
from schemas.clock import to_datetime
from schemas.default_rules import default_rules
from schemas.rule import Rule, json_schema, to_yaml

T = TypeVar("T")

LATER = ("backtest", "diff")
MODES = ("live", "shadow", "draft")
Choose = Callable[[RuleSet], Sequence[Rule]]


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("rules", help="rules as files and as live versions")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    check = actions.add_parser("check", help="read rule files; exits with 1 if one is wrong")
    check.set_defaults(run=_check)
    publish = actions.add_parser("publish", help="make the rules of these files part of the live set")
    publish.set_defaults(run=_publish)
    for action in (check, publish):
        action.add_argument("path", nargs="+", metavar="PATH", help="a YAML file, or a folder of them")

    test = actions.add_parser(
        "test", help="run the rules' own tests; without PATH those of the default rules"
    )
    test.add_argument("path", nargs="*", metavar="PATH", help="a YAML file, or a folder of them")
    test.set_defaults(run=_test)
    export = actions.add_parser("export", help="write the default rules as files, to read and to change")
    export.add_argument("folder", metavar="FOLDER")
    export.set_defaults(run=_export)
    schema = actions.add_parser("schema", help="the JSON Schema of a rule file")
    schema.set_defaults(run=_schema)

    fit = actions.add_parser("fit", help="a model of a clean history, for a rule of detector fitted")
    fit.add_argument("history", metavar="CSV", help="a time and a column GATEWAY/POINT for each sensor")
    fit.add_argument("out", metavar="MODEL", help="the model file to write, as NAME.model.json")
    fit.add_argument("--with", dest="detector", choices=sorted(FITTABLE), default="components",
                     help="what is fitted (default components: PCA)")  # fmt: skip
    fit.add_argument("--time", metavar="COLUMN", help="the column of times, if its name does not say so")
    fit.set_defaults(run=_fit)

    pipes = actions.add_parser("pipes", help="a hydraulic model's answers, for a rule of detector locate")
    pipes.add_argument("places", metavar="CSV", help="place, lon, lat and a column GATEWAY/POINT a gauge")
    pipes.add_argument("out", metavar="MODEL", help="the model file to write, as NAME.model.json")
    pipes.set_defaults(run=_pipes)

    front = actions.add_parser("front", help="the pipes that waves run through, for a rule of detector front")
    columns = "pipe, from, to, length_m, wave_m_s, from_lon, from_lat, to_lon, to_lat"
    front.add_argument("pipes", metavar="PIPES", help=f"CSV: {columns}")
    front.add_argument("loggers", metavar="LOGGERS", help="CSV: arrival (GATEWAY/POINT), node")
    front.add_argument("out", metavar="MODEL", help="the model file to write, as NAME.model.json")
    front.set_defaults(run=_front)

    show = actions.add_parser("list", help="the live set")
    show.set_defaults(run=_list)

    listed = actions.add_parser(
        "unguarded", help="what the live set cannot judge, or not yet, by sensor and reason: CSV"
    )
    listed.set_defaults(run=_unguarded)

    shadow = actions.add_parser("shadow", help="what the rules in shadow would have raised, beside live ones")
    shadow.add_argument(
        "--since", type=_ago, default=_ago("7d"), metavar="SPAN",
        help="how far back, in the city's time: 90min, 12h, 7d (default 7d; alerts are kept for 30)",
    )  # fmt: skip
    shadow.set_defaults(run=_shadow)

    promote = actions.add_parser("promote", help="put a rule live, in shadow, or off (draft)")
    promote.add_argument("--mode", choices=MODES, default="live", help="default live")
    promote.set_defaults(run=_promote)
    rollback = actions.add_parser("rollback", help="publish what a rule was before")
    rollback.set_defaults(run=_rollback)
    for action in (promote, rollback):
        action.add_argument("name", metavar="NAME", help="the rule")

    for action in (publish, promote, rollback):
        action.add_argument(
            "--by", default=getpass.getuser(), metavar="NAME", help="who does it (default: you)"
        )
    for action in (check, test, show, shadow):
        add_json_option(action)
    for action in (show, listed, shadow, publish, promote, rollback):
        add_data_option(action)

    for name in LATER:
        later = actions.add_parser(name, help="not in this version")
        later.add_argument("path", nargs="*", metavar="PATH")
        later.set_defaults(run=_later)


def _later(args: argparse.Namespace) -> int:
    raise CannotRun(f"{args.action} is not in this version; check, list, publish, promote and rollback are")


def _check(args: argparse.Namespace) -> int:
    rules, problems = rule_files.read(rule_files.find(args.path))
    write_json(args.json, {"rules": [_row(rule) for _, rule in rules], "problems": problems})
    if args.json != "-":
        for path, rule in rules:
            print(f"{path}: {rule.name} {rule.version}")
    return _say(problems)


def _test(args: argparse.Namespace) -> int:
    rules = [(rule.name, rule) for rule in default_rules(judgement_live=False)]
    if args.path:
        read, problems = rule_files.read(rule_files.find(args.path))
        if problems:
            return _say(problems)
        rules = [(str(path), rule) for path, rule in read]
    found = rule_trials.tried(rules)
    if args.json != "-":
        print(f"{len(rules)} rules, {found.held} tests held, {len(found.problems)} did not")
        for name in found.untested:
            print(f"{name}: no tests")
    write_json(args.json, {"held": found.held, "problems": found.problems, "untested": found.untested})
    return _say(found.problems)


def _export(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    rules = default_rules(judgement_live=False)
    for rule in rules:
        path = folder / rule.network / f"{rule.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_yaml(rule), encoding="utf-8")
    print(f"{len(rules)} rules below {folder}")
    return 0


def _fit(args: argparse.Namespace) -> int:
    model = rule_fit.fit_file(Path(args.history), Path(args.out), args.detector, args.time)
    print(f"{args.out}: {model.detector} {model.version}, {len(model.names)} sensors, {model.rows} rows")
    return 0


def _pipes(args: argparse.Namespace) -> int:
    model = rule_pipes.pipes_file(Path(args.places), Path(args.out))
    print(f"{args.out}: {model.version}, {len(model.places)} places, {len(model.names)} gauges")
    return 0


def _front(args: argparse.Namespace) -> int:
    model = rule_front.front_file(Path(args.pipes), Path(args.loggers), Path(args.out))
    print(f"{args.out}: {model.version}, {model.rows} pipes, {len(model.names)} loggers")
    return 0


def _schema(args: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
    return 0


def _list(args: argparse.Namespace) -> int:
    known = _talking(where.services(args.data).kafka, rule_set.read)
    found = [rule for _, rule in sorted(known.rules.items())]
    rows = [{**_row(rule), "by": known.by[rule.name]} for rule in found]
    write_json(args.json, {"version": known.version, "rules": rows})
    if args.json != "-":
        for rule in found:
            levels = " ".join(f"{level}:{cell}" for level, cell in sorted(rule.levels.items()))
            print(f"{rule.name:<40} {rule.version} {rule.mode:<7} {rule.detector:<11} {levels}")
        print(f"{len(found)} rules, version {known.version} of the set")
    return 0


def _unguarded(args: argparse.Namespace) -> int:
    async def work(kafka: str) -> tuple[list[Row], bool]:
        known = await rule_set.read(kafka)
        registry, rules = await read_registry(kafka), known.rules.values()
        state = await snapshots_of(kafka, args.data)
        learns = learning_list(registry, still_learning(registry, rules, state))
        return sorted(work_list(registry, rules) + learns), state is not None or not learns

    rows, is_sure = _talking(where.services(args.data).kafka, work)
    if not is_sure:
        print(
            "no snapshot of detect can be read from here: what it has learned counts as not", file=sys.stderr
        )
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(Row._fields)
    out.writerows(rows)
    return 0


def _shadow(args: argparse.Namespace) -> int:
    kafka, clock = where.services(args.data).kafka, city_clock.read(args.data)
    until = to_datetime(clock.city_us(time.time_ns() // 1_000))
    since = until - args.since
    found = _talking(kafka, lambda address: rule_shadow.read(address, since, until, clock))
    rows = [
        {
            "rule": row.rule,
            "version": row.version,
            "in_shadow": row.in_shadow,
            "shadow": row.shadow.as_data(),
            "live": row.live and row.live.as_data(),
        }
        for row in found
    ]
    write_json(args.json, {"since": since.isoformat(), "until": until.isoformat(), "rules": rows})
    if args.json != "-":
        print(
            SHADOW_LINE.format(
                "rule", "version", "mode", "alerts", *"1234", "subjects", "a day", "open", *ENDS
            )
        )
        for row in found:
            mode = "shadow" if row.in_shadow else "was"
            print(_counted(row.rule, row.version, mode, row.shadow))
            if row.live is not None:
                print(_counted("", "", "live", row.live))
    return 0


SHADOW_LINE = "{:<40} {:<16} {:<6} {:>6} {:>5} {:>5} {:>5} {:>5} {:>8} {:>8} {:>5} {:<16} {:<16}"
ENDS = ("first", "last")


def _counted(rule: str, version: str, mode: str, found: rule_shadow.Count) -> str:
    a_day = "-" if found.a_day is None else f"{found.a_day:.2f}"
    is_open = "-" if found.open_share is None else f"{found.open_share:.0%}"
    ends = [
        "-" if at is None else f"{at.astimezone(ZONE):%Y-%m-%d %H:%M}" for at in (found.first, found.last)
    ]
    levels = found.levels.values()
    return SHADOW_LINE.format(
        rule, version, mode, found.alerts, *levels, found.subjects, a_day, is_open, *ends
    )


def _ago(text: str) -> dt.timedelta:
    found = re.fullmatch(r"(\d{1,5}) ?(min|h|d)", text)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"expected a span such as 90min, 12h or 7d, got {text!r}")
    return (
        int(found[1])
        * {"min": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1), "d": rule_shadow.DAY}[found[2]]
    )


def _publish(args: argparse.Namespace) -> int:
    rules, problems = rule_files.read(rule_files.find(args.path))
    if problems:
        return _say([*problems, "nothing was published"])
    return _change(args, lambda _: [rule for _, rule in rules])


def _promote(args: argparse.Namespace) -> int:
    return _change(args, lambda known: [rule_set.in_mode(known.named(args.name), args.mode)])


def _rollback(args: argparse.Namespace) -> int:
    return _change(args, lambda known: [known.before(args.name)])


def _change(args: argparse.Namespace, choose: Choose) -> int:
    async def work(kafka: str) -> tuple[list[Rule], int]:
        known = await rule_set.read(kafka)
        return await rule_set.publish(kafka, known, choose(known), args.by)

    kafka = where.services(args.data).kafka
    with _one_at_a_time(args.data):
        changed, version = _talking(kafka, work)
    for rule in changed:
        print(f"{rule.name} {rule.version} {rule.mode}")
    if changed:
        print(f"the set is version {version}")
    else:
        print(f"nothing changed: the set stays at version {version}")
    return 0


def _row(rule: Rule) -> dict[str, object]:
    levels = {str(level): cell for level, cell in rule.levels.items()}
    return {
        "name": rule.name,
        "version": rule.version,
        "mode": rule.mode,
        "detector": rule.detector,
        "levels": levels,
    }


def _say(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _talking(kafka: str, work: Callable[[str], Awaitable[T]]) -> T:
    async def run() -> T:
        return await work(kafka)

    try:
        return asyncio.run(run())
    except KafkaError as error:
        raise CannotRun(f"Kafka at {kafka}: {' '.join(str(error).split())}") from error


@contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    """Two changes at once could give the same version to different sets."""
    with (data / "rules.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
