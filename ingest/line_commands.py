"""Commands of people for gateways that hang on a line of ours: they come by MQTT as for every other
gateway.

`down/{gateway}/cmd` {"id","op","args"} of a gateway that is connected here is done on its line:
`check-post` (查岗, args {"minutes"}) and `time`, both of GB/T 26875.3. What became of it is said on
`up/{gateway}/cmd-result`, as the gateway itself would: done, refused, failed, unsupported. Gateways without
a line here are left to themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ingest.message import Message
from ingest.tcp import Line

FILTER = "down/+/cmd"
MINUTES = 5
_WORDS = {"check-post": "check_post", "time": "set_clock"}


class _Command(msgspec.Struct):
    id: str | int
    op: str
    args: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Command)


class LineCommands:
    """`line_of` finds a gateway's connection, `say` publishes (topic, payload, None)."""

    def __init__(
        self, line_of: Callable[[str], Line | None], say: Callable[[str, bytes, None], None]
    ) -> None:
        self._line_of, self._say = line_of, say
        self._asked: dict[tuple[str, str], str | int] = {}  # (gateway, word) -> id of the newest command

    def receive(self, message: Message) -> None:
        """A command for somebody."""
        gateway = message.topic.split("/")[1]
        line = self._line_of(gateway)
        if line is None:
            return
        try:
            command = _decoder.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # whoever wrote it waits for an id that we cannot read
        word = _WORDS.get(command.op)
        minutes = command.args.get("minutes", MINUTES)
        if word is None or not isinstance(minutes, int) or not 1 <= minutes <= 255:
            self._tell(gateway, command.id, "unsupported")
            return
        is_asked = line.check_post(minutes) if word == "check_post" else line.set_clock()
        if not is_asked:
            self._tell(gateway, command.id, "unsupported")
            return
        self._asked[gateway, word] = command.id

    def became(self, gateway: str, outcome: str) -> None:
        """What a line says of a command: check_post_done, set_clock_failed, ..."""
        word, _, status = outcome.rpartition("_")
        asked = self._asked.pop((gateway, word), None)
        if asked is not None:
            self._tell(gateway, asked, status)

    def _tell(self, gateway: str, command: str | int, status: str) -> None:
        said = {"id": command, "status": status}
        self._say(f"up/{gateway}/cmd-result", msgspec.json.encode(said), None)
