"""What the plays of the simulated city say: by set of rules, by kind of fault, by rule that was false.

A fault is found if an alert of a sensor that could know, and of the network whose fault it is, comes within
D_max; late, if it comes after that while the fault lasts. Faults that must be absorbed are kept apart:
whatever is told of them is false.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from cityvigil.quality.city import Seen, Told
from cityvigil.quality.events import Row
from schemas.alert import Alert
from schemas.default_rules import default_rules

NEW, DEMO, ALL = "new installation", "default rules", "with shadow rules"


def rows(seen: Sequence[Seen]) -> Iterator[Row]:
    """First the judgement, then by kind of fault what the default rules told, then what was false."""
    told = [one for part in seen for one in part.told]
    for name, rules in _sets().items():
        yield Row("city", name, _judged(seen, told, rules))
    rules = _sets()[DEMO]
    for kind in sorted({one.planted.spec.kind for one in told}):
        yield Row("city", f"kind {kind}", _of_kind([o for o in told if o.planted.spec.kind == kind], rules))
    cascades = Counter(name for part in seen for name, _ in part.one_case)
    joined = Counter(name for part in seen for name, together in part.one_case if together)
    for name, count in sorted(cascades.items()):
        yield Row("city", f"cascade {name}", {"one_case": joined[name], "of": count})
    wrong = Counter((a.rule, a.mode) for a in _false(seen))
    for (rule, mode), count in sorted(wrong.items()):
        yield Row("city", f"false {rule}" + (", shadow" if mode == "shadow" else ""), {"alerts": count})


def _sets() -> dict[str, set[str]]:
    """Names of the rules that tell people, by how an installation was begun."""
    new = {rule.name for rule in default_rules(judgement_live=False) if rule.mode == "live"}
    demo = {rule.name for rule in default_rules(judgement_live=True) if rule.mode == "live"}
    return {DEMO: demo, NEW: new, ALL: {rule.name for rule in default_rules(judgement_live=True)}}


def _judged(seen: Sequence[Seen], told: Sequence[Told], rules: set[str]) -> dict[str, float]:
    real = [one for one in told if one.planted.spec.expected_level is not None]
    quiet = [one for one in told if one.planted.spec.expected_level is None]
    false = [alert for alert in _false(seen) if alert.rule in rules]
    at_rest = sum(a.rule in rules for part in seen for a in part.quiet_false)
    chains = [together for part in seen for _, together in part.one_case]
    found = [first_s(one, rules) for one in real]
    due = [one.planted.due_s for one in real]
    in_time = [s is not None and s <= d for s, d in zip(found, due, strict=True)]
    level = [first_s(one, rules, at_level=True) for one in real]
    return {
        "faults": len(real),
        "found_in_time": float(np.mean(in_time)),
        "found": float(np.mean([s is not None for s in found])),
        "at_expected_level": float(
            np.mean([s is not None and s <= d for s, d in zip(level, due, strict=True)])
        ),
        "kept_quiet": float(np.mean([first_s(one, rules, right=False) is None for one in quiet]))
        if quiet
        else 1.0,
        "told_as_another": float(np.mean([_as_another(one, rules) for one in real])),
        "false_alerts": len(false),
        "sensor_days": sum(part.sensor_days for part in seen),
        "false_per_sensor_day": len(false) / sum(part.sensor_days for part in seen),
        "false_on_quiet_days": at_rest,
        "cascades": len(chains),
        "one_case": float(np.mean(chains)) if chains else float("nan"),
    }


def first_s(one: Told, rules: set[str], *, at_level: bool = False, right: bool = True) -> float | None:
    """Seconds from the onset to the first alert of these rules; None if there is none."""
    when = one.level_us if at_level else one.at_us
    times = [
        at for alert, at in when.items() if one.rules[alert] in rules and (not right or alert in one.right)
    ]
    in_time = [at for at in times if at <= one.fault.end_us]
    return (min(in_time) - one.fault.onset_us) / 1e6 if in_time else None


def _as_another(one: Told, rules: set[str]) -> bool:
    """Whether an alert of another network rose on its sensors, too: somebody is sent for nothing."""
    return any(rule in rules and alert not in one.right for alert, rule in one.rules.items())


def _of_kind(told: Sequence[Told], rules: set[str]) -> dict[str, float]:
    found = [first_s(one, rules) for one in told]
    due = [one.planted.due_s for one in told]
    if told[0].planted.spec.expected_level is None:
        loud = sum(first_s(one, rules, right=False) is not None for one in told)
        return {"faults": len(told), "kept_quiet": len(told) - loud}
    in_time = sum(s is not None and s <= d for s, d in zip(found, due, strict=True))
    missed = sum(s is None for s in found)
    other = sum(_as_another(one, rules) for one in told)
    delays = [s / 60 for s in found if s is not None]
    return {
        "faults": len(told),
        "in_time": in_time,
        "late": len(told) - in_time - missed,
        "missed": missed,
        "told_as_another": other,
        "median_delay_min": float(np.median(delays)) if delays else float("nan"),
        "due_min": float(np.mean(due)) / 60,
    }


def _false(seen: Sequence[Seen]) -> list[Alert]:
    return [alert for part in seen for alert in (*part.quiet_false, *part.false)]
