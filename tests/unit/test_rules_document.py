"""The examples of docs/rules.md are rules that pass the check and keep their own tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cityvigil import rule_files, rule_trials
from schemas.inputs import inputs
from schemas.scales import scales

TEXT = (Path(__file__).parent.parent.parent / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_an_example_is_right_and_keeps_its_tests(example: str) -> None:
    rule, wrong = rule_files.check(example, "docs/rules.md")
    assert wrong == []
    assert rule is not None
    found = rule_trials.tried([("docs/rules.md", rule)])
    assert (found.problems, found.untested) == ([], [])


def test_there_are_examples_of_groups_schedules_and_inputs() -> None:
    assert len(EXAMPLES) >= 3
    assert all(any(word in example for example in EXAMPLES) for word in ("group:", "schedule:", "others:"))


def test_what_the_page_names_exists() -> None:
    assert {"valve", "outdoor", "second_device", "pressure"} <= set(inputs())
    assert {"jt1037-first-worst", "jt1037-third-worst"} <= set(scales())
