"""Rule files: what is wrong is said with its file and line."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from cityvigil import rule_files
from cityvigil.errors import CannotRun
from schemas.default_rules import default_rules
from schemas.rule import from_yaml, json_schema, to_yaml

GOOD = """\
name: cellar-water
title_zh: 地下室积水
title_en: water in a cellar
detector: threshold
network: drainage
selector:
  categories: [drain_road_water_depth, drain_underpass_water_depth]
levels:
  3: v>=0.5 for 10 min
  2: v>=1.0 | roc(5min)>=0.2
hold: 2 consecutive fast samples
response:
  zh: {consequence: 泡坏设备, causes: [管道渗漏], verify: [查看视频], steps: [断电, 抽水]}
  en: {consequence: drowned plant, causes: [leak], verify: [look], steps: [power off, pump]}
  respond_min: {2: 30, 3: 120}
  tell: [drainage-group]
  source: judgement
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
        ("name: cellar-water", "name: Cellar Water", "r.yaml:1:7: expected lower-case letters"),
        ("name: cellar-water", "name: version", "r.yaml:1:7: version is the key"),
        ("detector: threshold", "detector: magic", "r.yaml:4:11: detector: Invalid enum value 'magic'"),
        ("detector: threshold", "detektor: threshold", "r.yaml:4:1: Object"),
        ("drain_underpass_water_depth", "drain_cellar", "r.yaml:7:40: 'drain_cellar' is no category"),
        ("v>=0.5 for 10 min", "v>=0.5 for ten min", "r.yaml:9:17: expected a time span"),
        ("3: v>=0.5 for 10 min", "3: 'v>=0.5 for ten min'", "r.yaml:9:18: expected a time span"),
        ("roc(5min)>=0.2", "roc(5min>=0.2", "r.yaml:10:23: expected `)`, found '>=0.2'"),
        ("  2: v>=1.0", "  7: v>=1.0", "r.yaml:10:6: expected a level from 1 to 4, got 7"),
        ("2: v>=1.0 | roc(5min)>=0.2", "2: [1, 2]", "r.yaml:8:1: levels"),
        ("v>=1.0 |", "v>=1.0 kg |", "r.yaml:10:9: expected a unit that converts to m, got 'kg'"),
        ("v>=1.0 |", "v>=1.0 fast |", "r.yaml:10:9: expected a unit that converts to m, got 'fast'"),
        (
            "hold: 2 con",
            "unit: kPa\nhold: 2 con",
            "r.yaml:9:9: expected a unit that converts to m, got 'kPa'",
        ),
        ("hold: 2 consecutive fast samples", "hold: a good while", "r.yaml:11:7: hold 'a good while'"),
        (
            "hold: 2 con",
            "clear: soon\nhold: 2 con",
            "r.yaml:11:8: hold 'soon' is not evaluated: expected a time",
        ),
        ("hold: 2 con", "hysteresis: -1\nhold: 2 con", "r.yaml:11:13: expected a number from 0 up, got -1"),
        ("hold: 2 con", "schedule: {hours: [25:00-26:00]}\nhold: 2 con", "r.yaml:11:20: expected hours as"),
        ("hold: 2 con", "schedule: {months: [13]}\nhold: 2 con", "r.yaml:11:21: expected a month"),
        ("hold: 2 con", "group: {at_least: 1}\nhold: 2 con", "r.yaml:11:19: expected at least 2, got 1"),
        (
            "hold: 2 con",
            "messages: {en: 'now {valve}'}\nhold: 2 con",
            "r.yaml:11:21: expected one of asset, gateway, level,",
        ),
        ("tell: [drainage-group]", "tell: [nobody]", "r.yaml:16:3: 'nobody' is no unit of units.csv"),
        ("respond_min: {2: 30, 3: 120}", "respond_min: {3: 120}", "r.yaml:15:3: expected a time for level 2"),
        ("response:", "remark:", "r.yaml:12:1: Object contains unknown field `remark`"),
        ("source: judgement", "source: ''", "r.yaml:17:11: expected where it comes from"),
        (
            "name: cellar-water",
            "name: cellar-water\nasks: nothing\nmode: live",
            "r.yaml:3:7: expected shadow",
        ),
        (
            "hold: 2 con",
            "tests: [{name: a, values: [0 times 3], expect: [roar 2]}]\nhold: 2 con",
            "r.yaml:11:28: expected a number, or `NUMBER x TIMES`",
        ),
        ("title_zh: 地下室积水", "title_zh: [", "r.yaml:4:9: expected ',' or ']'"),
        ("hold: 2 con", "name: other\nhold: 2 con", "r.yaml:11:1: expected each name once, got 'name' again"),
        (
            "  3: v",
            "  2: v>=9\n  3: v",
            "r.yaml:11:3: expected each name once, got '2' again (line 9 has it)",
        ),
        ("title_en: water", "title_en: 2026-02-30 #", "r.yaml:3:11: expected what YAML reads as timestamp"),
        ("title_en: water", "title_en: a\0b", "r.yaml:3:12: expected text, got the character U+0000"),
        ("title_en: water", "title_en: " + "[" * 5000, "r.yaml:3:42: expected at most 32 levels of nesting"),
        (
            "source: judgement",
            "source: x\n---\na: 1",
            "r.yaml:18:1: expected a single document in the stream but",
        ),
        (
            "hold: 2 con",
            "hysteresis: .inf\nhold: 2 con",
            "r.yaml:11:13: expected a number that is finite, got inf",
        ),
        (
            "hold: 2 con",
            "params: {a: .nan}\nhold: 2 con",
            "r.yaml:11:13: expected a number that is finite, got nan",
        ),
        ("hold: 2 con", 'model: "a\\0b"\nhold: 2 con', "r.yaml:11:8: expected the name of a file"),
        ("for 10 min", "for 99999999999999999999 min", "r.yaml:9:17: expected numbers of at most 15 digits"),
        ("for 10 min", "for 4000 d", "r.yaml:9:17: expected at most ten years, got '4000 d'"),
        (
            "hold: 2 con",
            "group: {at_least: 99999999999999999999}\nhold: 2 con",
            "r.yaml:11:19: expected at most",
        ),
        (
            "hold: 2 con",
            "group: {at_least: 2, within_s: -1}\nhold: 2 con",
            "r.yaml:11:32: expected seconds above",
        ),
        *(
            ("hold: 2 con", f"tests: [{{name: a, values: [0], {bad}}}]\nhold: 2 con", f"r.yaml:11:{said}")
            for bad, said in (
                ("start: yesterday", "39: expected a time like 2026-03-02T08:00:00+08:00, got 'yesterday'"),
                ("start: '2026-03-02'", "39: expected a time like 2026-03-02T08:00:00+08:00"),
                ("every_s: 0", "41: expected seconds from 0.001 to"),
                ("every_s: .nan", "41: expected a number that is finite, got nan"),
                ("others: [{category: x, values: [1]}]", "52: 'x' is no category of the catalogue"),
            )
        ),
        (
            "hold: 2 con",
            f"tests: [{{name: a, values: [0 x {'9' * 5000}]}}]\nhold: 2 con",
            "r.yaml:11:32: expected numbers of at most 15 digits",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(good: str, bad: str, said: str) -> None:
    assert good in GOOD
    found = problems(GOOD.replace(good, bad))
    assert any(line.startswith(said) for line in found), found


def test_a_grave_rule_without_a_card_is_refused_and_a_mild_one_is_not() -> None:
    bare = GOOD.partition("response:")[0]
    assert problems(bare) == [
        "r.yaml:1:1: expected a response card: the rule has level 2, and people must know what to do"
    ]
    assert problems(bare.replace("  2: v>=1.0 | roc(5min)>=0.2\n", "").replace("  3:", "  4:")) == []


def test_a_limit_in_another_unit_becomes_the_categorys() -> None:
    text = GOOD.replace("v>=0.5 for", "v>=50 cm for").replace("v>=1.0 |", "v>=1 |")
    rule, wrong = rule_files.check(text, "r.yaml")
    assert (wrong, rule and rule.levels) == ([], {3: "v>=0.5 for 10 min", 2: "v>=1 | roc(5min)>=0.2"})
    whole = GOOD.replace("hold:", "unit: '[ft_i]'\nhold:")
    rule, wrong = rule_files.check(whole, "r.yaml")
    assert (wrong, rule and rule.levels) == (
        [],
        {3: "v>=0.1524 for 10 min", 2: "v>=0.3048 | roc(5min)>=0.06096"},
    )
    assert rule is not None
    assert rule.unit == ""


def test_a_difference_of_temperatures_takes_no_offset() -> None:
    text = GOOD.replace("drain_road_water_depth, drain_underpass_water_depth", "heat_trench_temp")
    text = text.replace("v>=0.5 for 10 min", "v>=122 [degF]").replace(
        "v>=1.0 | roc(5min)>=0.2", "roc(5min)>=9 [degF]"
    )
    rule, wrong = rule_files.check(text, "r.yaml")
    assert (wrong, rule and rule.levels) == ([], {3: "v>=50", 2: "roc(5min)>=5"})


def test_categories_of_different_units_need_limits_without_one() -> None:
    text = GOOD.replace(
        "[drain_road_water_depth, drain_underpass_water_depth]",
        "[water_main_pressure, gas_pipe_pressure_low]",
    )
    (said,) = problems(text.replace("v>=0.5 for", "v>=50 kPa for"))
    assert said == "r.yaml:9:9: the categories measure in MPa, kPa: a limit in 'kPa' is several numbers"


def test_the_published_schema_is_that_of_the_code_and_takes_what_we_take() -> None:
    stored = json.loads((resources.files("schemas") / "rule.schema.json").read_text(encoding="utf-8"))
    assert stored == json.loads(msgspec.json.encode(json_schema())), "write it anew: cityvigil rules schema"
    jsonschema.validate(yaml.safe_load(GOOD) | {"levels": {"3": "v>=0.5"}, "response": _texts(GOOD)}, stored)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "x"}, stored)


def _texts(text: str) -> Any:
    """The card as JSON has it: keys are texts."""
    return json.loads(json.dumps(yaml.safe_load(text)["response"]))


def test_every_default_rule_is_read_back_from_its_document() -> None:
    for rule in default_rules(judgement_live=False):
        assert from_yaml(to_yaml(rule)) == rule


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
        f"{tmp_path / 'c.yaml'}:1:7: expected text in UTF-8, got the byte 0xb5",
        f"{tmp_path / 'gas' / 'a.yaml'}:1:7: cellar-water is also in {tmp_path / 'b.yml'}",
    ]


def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no such file or folder"):
        rule_files.find([str(tmp_path / "nowhere.yaml")])
    with pytest.raises(CannotRun, match=r"no \.yaml file in this folder"):
        rule_files.find([str(tmp_path)])
