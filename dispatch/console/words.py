"""What the pages say, in zh-CN (default) and en: `locale/[AREA.]LANGUAGE.json`, flat keys, the same in both.

Names of things (categories, zones, units) come with the things; only the program's own words are here.
A missing key is a bug and raises KeyError with the key.
"""

from __future__ import annotations

import functools
import json
from importlib import resources

from starlette.requests import HTTPConnection

from schemas.catalogue import catalogue

LANGUAGES = ("zh-CN", "en")
LANGUAGE_COOKIE = "cityvigil_language"
THEMES = ("dark", "light")
THEME_COOKIE = "cityvigil_theme"


class Words:
    """One language; `words("key", name=...)` fills the places of a text."""

    def __init__(self, language: str, texts: dict[str, str]) -> None:
        self.language = language
        self.texts = texts

    def __call__(self, key: str, **values: object) -> str:
        return self.texts[key].format(**values) if values else self.texts[key]

    def part(self, prefix: str) -> dict[str, str]:
        """Every text below a prefix, for scripts: part("state.") -> {"detected": ...}."""
        return {key.removeprefix(prefix): text for key, text in self.texts.items() if key.startswith(prefix)}

    def category(self, key: str | None, network: str | None = None) -> str:
        """The name of a category; a key that the catalogue lacks is shown as it is. A fault of our own
        equipment says so before what the device measures."""
        name = self.categories().get(key or "", key or "")
        return (
            f"{self('network.device')} · {name}" if network == "device" and key != "device_silence" else name
        )

    def categories(self) -> dict[str, str]:
        return _categories(self.language)


@functools.cache
def words(language: str) -> Words:
    texts: dict[str, str] = {}
    for file in resources.files("dispatch.console").joinpath("locale").iterdir():
        if file.name == f"{language}.json" or file.name.endswith(f".{language}.json"):
            texts |= json.loads(file.read_text(encoding="utf-8"))
    return Words(language, texts)


@functools.cache
def _categories(language: str) -> dict[str, str]:
    return {
        # The catalogue's English describes the quantity; its key is what a list has room for.
        key: row.name_zh if language == "zh-CN" else key.replace("_", " ").capitalize()
        for key, row in catalogue().items()
    }


def language_of(connection: HTTPConnection) -> str:
    """The language chosen on the page, else what the browser asks for first, else zh-CN."""
    chosen = connection.query_params.get("lang") or connection.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return chosen
    first = connection.headers.get("accept-language", "").partition(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh-CN"


def theme_of(connection: HTTPConnection) -> str:
    chosen = connection.cookies.get(THEME_COOKIE)
    return chosen if chosen in THEMES else "dark"
