"""An edge node of pysparkplug with one device, led by lines of JSON: HOST PORT NODE SECRET are its arguments.

["level", 2.5] and ["pump", true] update a metric of the node and of its device, ["late", 2.5, MS] says one as
stored on the way. A rebirth command is obeyed in the only way that this library knows, by connecting anew: it
says every birth then. Each thing done is a line: "born", "level", "pump", "late".
"""

import json
import queue
import sys
import threading
from typing import Any

from pysparkplug import Client, DataType, Device, EdgeNode, Message, Metric, get_current_timestamp

REBIRTH = "Node Control/Rebirth"


class Told(Client):  # type: ignore[misc]  # not installed where types are checked
    """Says when the births are said."""

    def connect(self, host: str, *, callback: Any = None, **more: Any) -> None:
        def born(client: Client) -> None:
            callback(client)
            print('"born"', flush=True)

        super().connect(host, callback=born, **more)


def said(name: str, datatype: Any, value: object, alias: int, stored_ms: int | None = None) -> Any:
    return Metric(
        timestamp=stored_ms or get_current_timestamp(),
        name=name,
        datatype=datatype,
        value=value,
        alias=alias,
        is_historical=stored_ms is not None,
    )


def main(host: str, port: str, name: str, secret: str) -> None:
    wanted: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            wanted.put(json.loads(line))

    def obey(_: Any, message: Message) -> None:
        if any(metric.name == REBIRTH and metric.value for metric in message.payload.metrics):
            wanted.put(["rebirth"])

    node = EdgeNode(
        "city",
        name,
        (said(REBIRTH, DataType.BOOLEAN, False, 1), said("level", DataType.DOUBLE, 1.5, 2)),
        Told(client_id=name, username=name, password=secret),
        cmd_callback=obey,
    )
    node.register(Device("pump", (said("running", DataType.BOOLEAN, False, 3),)))
    node.connect(host, port=int(port))
    threading.Thread(target=read, daemon=True).start()
    while True:
        match wanted.get():
            case ["level", value]:
                node.update((said("level", DataType.DOUBLE, value, 2),))
                print('"level"', flush=True)
            case ["late", value, at_ms]:
                node.update((said("level", DataType.DOUBLE, value, 2, at_ms),))
                print('"late"', flush=True)
            case ["pump", value]:
                node.update_device("pump", (said("running", DataType.BOOLEAN, value, 3),))
                print('"pump"', flush=True)
            case ["rebirth"]:
                node.disconnect()
                node.connect(host, port=int(port))


main(*sys.argv[1:])
