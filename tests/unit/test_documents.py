"""Documents name real things: every path and every link in them exists, and every verb too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cityvigil.cli import build_parser

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLACES = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}

CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"^[a-z_]+(?:/[\w.-]+)+/?$")
LINK = re.compile(r"\]\(([^)#\s]+)")
VERB = re.compile(r"cityvigil ([a-z]+)")


def _paths(text: str) -> Iterator[str]:
    for code in CODE.findall(text):
        if PATH.match(code) and code.split("/")[0] in PLACES - {"var"}:
            yield code


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_link_of_a_document_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [path for path in _paths(text) if not (ROOT / path).exists()]
    links = [link for link in LINK.findall(text) if "://" not in link]
    missing += [link for link in links if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_verb_that_a_document_tells_to_run_exists(document: Path) -> None:
    parser = build_parser()
    verbs = set(
        next(action.choices for action in parser._actions if action.dest == "verb" and action.choices)
    )
    told = {
        verb
        for code in CODE.findall(document.read_text(encoding="utf-8"))
        for verb in VERB.findall(code)
        if code.startswith("cityvigil ")
    }
    assert told <= verbs


def test_the_architecture_is_among_the_documents() -> None:
    assert ROOT / "ARCHITECTURE.md" in DOCUMENTS
