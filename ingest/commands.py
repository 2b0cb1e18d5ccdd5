"""What a gateway says beside its readings: answers to our commands, and questions of its own.

Pure. Answers come on up/{gateway}/cmd-result; whoever sent the command listens there too, ingest only counts
them. A question is a command the other way, up/{gateway}/cmd with {"id","op"}, and is answered on
down/{gateway}/cmd-result; its only op is "time", which returns our clock. Bytes that are neither are refused.
"""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import Counter

from ingest.decoded import Rejected
from schemas.clock import to_datetime
from schemas.reading import Reason

RESULT, QUESTION = "cmd-result", "cmd"

RESULTS = Counter("cityvigil_ingest_command_results_total", "answers of gateways to commands")
QUESTIONS = Counter(
    "cityvigil_ingest_questions_total", "questions of gateways, by whether we know", ["known"]
)


class _Command(msgspec.Struct):
    id: str | int
    op: str


_command = msgspec.json.Decoder(_Command)
_object = msgspec.json.Decoder(dict[str, Any])


def result(payload: bytes) -> Rejected | None:
    """Counts the answer to a command; None if it is one."""
    try:
        _object.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(Reason.syntax, payload, f"expected a JSON object as a command's result: {error}")
    RESULTS.inc()
    return None


def reply(payload: bytes, now_us: int) -> bytes | Rejected:
    """The answer to a question that came when our clock said `now_us`."""
    try:
        asked = _command.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(Reason.syntax, payload, f'expected {{"id","op"}}: {error}')
    is_known = asked.op == "time"
    QUESTIONS.labels(str(is_known).lower()).inc()
    if not is_known:
        return msgspec.json.encode({"id": asked.id, "status": "unsupported"})
    return msgspec.json.encode({"id": asked.id, "status": "done", "result": time_of(now_us)})


def time_of(now_us: int) -> dict[str, object]:
    """Our clock, for people and for programs."""
    return {"time": to_datetime(now_us).isoformat(timespec="microseconds"), "time_us": now_us}
