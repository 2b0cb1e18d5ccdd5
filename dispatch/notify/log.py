"""The log channel: a notice is a line of the service's log. Never fails; every installation has it."""

from __future__ import annotations

import logging

from dispatch.notify.channel import Failed, Outgoing

_log = logging.getLogger(__name__)


class Log:
    name = "log"

    async def send(self, notice: Outgoing) -> Failed | None:
        correlation = notice.payload.get("correlation")
        _log.info(
            "notice %s to %s, level %d, case %s: %s",
            notice.step,
            notice.recipient,
            notice.level,
            notice.payload.get("case_id"),
            notice.payload.get("text_zh"),
            extra={"correlation": correlation} if correlation else {},
        )
        return None
