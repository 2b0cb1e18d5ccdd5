"""YAML that people write, read so that whatever is wrong with it is said with its file, line and column.

Stricter than YAML where that would guess or could be made to run away: a name stands once in a mapping, names
are plain, nothing nests deeper than `DEEPEST`, and aliases count as what they stand for. What the values mean
is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

DEEPEST = 32
MOST_NODES = 100_000


class Malformed(ValueError):
    """No YAML, or not ours; the message begins with FILE:LINE:COLUMN."""


def text_of(data: bytes, where: str) -> str:
    """Raises Malformed."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1
        got = f"the byte 0x{error.object[error.start]:02x}"
        raise Malformed(f"{where}:{line}:{column}: expected text in UTF-8, got {got}") from None


def compose(text: str, where: str) -> yaml.Node | None:
    """The tree of the one document in the text; None where there is nothing. Raises Malformed."""
    with _placed(text, where):
        return _Loader(text).get_single_node()


def load(text: str, where: str) -> Any:
    """The values of the one document in the text. Raises Malformed."""
    with _placed(text, where):
        return _Loader(text).get_single_data()


def value_of(node: yaml.ScalarNode, where: str) -> Any:
    """What a node that was composed before stands for. Raises Malformed."""
    with _placed("", where):
        return _Loader("").construct_object(node)


@contextmanager
def _placed(text: str, where: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        told = error.problem or ""
        if error.context and told.startswith(("but ", "second ")):
            told = f"{error.context} {told}"
        raise Malformed(f"{where}:{at}: {told}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        at = f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"
        raise Malformed(
            f"{where}:{at}: expected text, got the character U+{ord(text[error.position]):04X}"
        ) from None


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise yaml.composer.ComposerError(
                    None, None, "expected an alias of something else than itself", mark
                )
            self._nodes += self._sizes[id(node)]
        else:
            before, self._nodes, self._depth = self._nodes, self._nodes + 1, self._depth + 1
            if self._depth > DEEPEST:
                raise yaml.composer.ComposerError(
                    None, None, f"expected at most {DEEPEST} levels of nesting", mark
                )
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._sizes[id(node)] = self._nodes - before
        if self._nodes > MOST_NODES:
            told = f"expected at most {MOST_NODES} values, aliases counted as what they stand for"
            raise yaml.composer.ComposerError(None, None, told, mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.composer.ComposerError(
                    None, None, "expected a name, got a list or a mapping", key.start_mark
                )
            if key.value in seen:
                told = (
                    f"expected each name once, got {key.value[:80]!r} again (line {seen[key.value]} has it)"
                )
                raise yaml.composer.ComposerError(None, None, told, key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
            # 2026-02-30, `!!int x`, a number of thousands of digits: Python's own words have no place.
            kind = node.tag.rpartition(":")[2]
            got = repr(str(node.value)[:80]) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
            told = f"expected what YAML reads as {kind}, got {got}"
            raise yaml.constructor.ConstructorError(None, None, told, node.start_mark) from None
