"""The console's words: both languages say everything that the pages, scripts and states can ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from dispatch import clocks
from dispatch.console import render
from dispatch.console.words import LANGUAGES, words
from schemas.case import Action, Role, State, Verdict
from schemas.catalogue import catalogue
from schemas.reading import Reason

CONSOLE = Path(render.__file__).parent


def test_both_languages_have_the_same_keys_and_places() -> None:
    chinese, english = (words(language).texts for language in LANGUAGES)
    assert set(chinese) == set(english)
    for key, text in chinese.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_that_a_page_or_a_state_can_ask_for_is_there(language: str) -> None:
    asked = {
        key
        for file in [*CONSOLE.glob("templates/*.html"), *CONSOLE.glob("*.py")]
        for key in re.findall(r"""\b(?:t|said)\(["']([a-z0-9_.-]+)["'][,)]""", file.read_text())
    }
    assert len(asked) > 100
    families: dict[str, Iterable[object]] = {
        "state": State,
        "role": Role,
        "verdict": Verdict,
        "reason": Reason,
        "done": [action.value for action in Action],
        "clock": [*clocks.KINDS, "stopped"],
        "level": range(1, 5),
        "condition": ("active", "cleared"),
        "network": {row.domain for row in catalogue().values()} | {"device"},
    }
    for prefix, names in families.items():
        asked |= {f"{prefix}.{name}" for name in names}
    scripts = "".join(file.read_text() for file in CONSOLE.glob("static/app/*.js"))
    parts = ("age", "queue", "map", "trust")
    asked |= {f"{part}.{name}" for part in parts for name in re.findall(rf"words\.{part}\.(\w+)", scripts)}
    plain = set(re.findall(r"boot\.words\.(\w+)\b(?![.\[])", scripts)) - {"age", "trust", "categories"}
    asked |= {f"script.{name}" for name in plain}
    assert asked - set(words(language).texts) == set()
