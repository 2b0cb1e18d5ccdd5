"""Rule files: what is wrong is said with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityvigil import rule_files
from cityvigil.errors import CannotRun

GOOD = """\
name: cellar-water
title_zh: 地下室积水
title_en: water in a cellar
detector: threshold
network: drainage
selector:
  categories: [gas_manhole_methane, water_main_pressure]
levels:
  3: v>=0.5 for 10 min
  2: v>=1.0 | roc(5min)>=0.2
hold: 2 consecutive fast samples
"""


def problems(text: str) -> list[str]:
    return rule_files.check(text, "r.yaml")[1]


def test_a_good_rule_has_no_problems_and_keeps_its_version_when_it_is_written_otherwise() -> None:
    rule, wrong = rule_files.check(GOOD, "r.yaml")
    reordered = "\n".join(["# a remark", *reversed(GOOD.partition("selector:")[0].splitlines())])
    other, _ = rule_files.check(f"{reordered}\nselector:{GOOD.partition('selector:')[2]}", "r.yaml")
    assert wrong == []
    assert rule is not None
    assert other is not None
    assert rule.version == other.version


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("name: cellar-water", "name: Cellar Water", "r.yaml:1: expected lower-case letters"),
        ("name: cellar-water", "name: version", "r.yaml:1: version is the key"),
        ("detector: threshold", "detector: magic", "r.yaml:4: detector: Invalid enum value 'magic'"),
        ("detector: threshold", "detektor: threshold", "r.yaml:1: Object"),
        ("water_main_pressure", "water_mane", "r.yaml:7: 'water_mane' is no category"),
        ("v>=0.5 for 10 min", "v>=0.5 for ten min", "r.yaml:9: column 12: expected a time span"),
        ("roc(5min)>=0.2", "roc(5min>=0.2", "r.yaml:10: column 18: expected `)`"),
        ("  2: v>=1.0", "  7: v>=1.0", "r.yaml:10: expected a level from 1 to 4, got 7"),
        ("2: v>=1.0 | roc(5min)>=0.2", "2: [1, 2]", "r.yaml:8: levels"),
        ("hold: 2 consecutive fast samples", "hold: a good while", "r.yaml:11: hold 'a good while'"),
        ("title_zh: 地下室积水", "title_zh: [", "r.yaml:4:9: expected ',' or ']'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(good: str, bad: str, said: str) -> None:
    assert good in GOOD
    found = problems(GOOD.replace(good, bad))
    assert any(line.startswith(said) for line in found), found


def test_a_file_that_is_no_mapping_is_a_problem_not_a_crash() -> None:
    for text in ("", "just words", "- a\n- b\n", "name: x\n---\nname: y\n"):
        rule, wrong = rule_files.check(text, "r.yaml")
        assert rule is None
        assert len(wrong) == 1
        assert wrong[0].startswith("r.yaml:")


def test_a_folder_is_read_whole_and_a_name_stands_once(tmp_path: Path) -> None:
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "a.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.yml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "c.yaml").write_bytes("name: 地下".encode("gb18030"))
    (tmp_path / "notes.txt").write_text("no rule")
    rules, wrong = rule_files.read(rule_files.find([str(tmp_path)]))
    assert len(rules) == 2
    assert wrong == [
        f"{tmp_path / 'c.yaml'}:1: not UTF-8 at byte 6",
        f"{tmp_path / 'gas' / 'a.yaml'}:1: cellar-water is also in {tmp_path / 'b.yml'}",
    ]


def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no such file or folder"):
        rule_files.find([str(tmp_path / "nowhere.yaml")])
    with pytest.raises(CannotRun, match=r"no \.yaml file in this folder"):
        rule_files.find([str(tmp_path)])
