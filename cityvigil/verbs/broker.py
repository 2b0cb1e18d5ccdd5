"""`cityvigil broker`: settings, access list and accounts for a Mosquitto that somebody else runs (compose).

The same that `cityvigil stack` gives its own. Written into DATA/mosquitto, where `cityvigil gateways` keeps
the accounts; a broker that runs reads changed accounts on SIGHUP. Written again, every secret stays.
"""

from __future__ import annotations

import argparse

from cityvigil import gateways, mosquitto, process
from cityvigil.errors import CannotRun
from cityvigil.wiring import settings_from_environ
from schemas.settings import Settings


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "broker",
        help="write the files of a Mosquitto that somebody else runs",
        description="Writes mosquitto.conf, the access list and the accounts into CITYVIGIL_DATA/mosquitto.",
        epilog=f"Environment:\n{Settings.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    settings = settings_from_environ()
    if not settings.mqtt_password:
        raise CannotRun("CITYVIGIL_MQTT_PASSWORD is empty: ingest's account at the broker needs one")
    home = settings.data.absolute() / mosquitto.NAME
    mosquitto.prepare(home, settings.mqtt_user)
    gateways.set_account(settings.data, settings.mqtt_user, settings.mqtt_password)
    # On every address: who reaches it is for whoever publishes the port to say.
    port = settings.mqtt.rpartition(":")[2]
    plugin = mosquitto.lend_plugin(home)
    text = mosquitto.settings(home, port, log=mosquitto.log_file(home), plugin=plugin)
    process.write_atomically(home / "mosquitto.conf", text)
    print(f"{home}: mosquitto.conf, acl, passwords{f', {plugin.name}' if plugin else ''}")
    return 0
