"""Which gateway of the city speaks what: the city with its points named as they are said, and a client for
each.

A scenario names protocols by network; the gateways of a network take them in turn, in the order of their
names. A gateway that is given none, or `senml`, stays as it is. Both the registry's import and the
simulators build the same city from the same scenario, so they agree on every name.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from schemas.catalogue import catalogue
from schemas.clock import CityClock
from simulators import senml
from simulators.city import City, Gateway
from simulators.gateway import Counters
from simulators.gateway import Gateway as MqttGateway
from simulators.outbox import Outbox
from simulators.protocols import gb26875, hj212, sl651
from simulators.protocols.edge_node import EdgeNodeGateway
from simulators.protocols.line import LineGateway, Manners
from simulators.protocols.push import PushGateway
from simulators.protocols.speech import SPEECHES, Gb26875, Member, Speech

SENML = "senml"
NAMES = (SENML, *SPEECHES)


PROVEN_BY_NAME = "video-push"
"""Pushes as its gateway, with a password that the registry has for it."""


class Sized(Protocol):
    def __len__(self) -> int: ...


class Client(Protocol):
    """What a gateway offers whoever it speaks for, however it is connected."""

    gateway: str
    counters: Counters
    ready: bool
    why: str | None

    @property
    def outbox(self) -> Sized: ...
    def submit(self, payload: bytes, readings: int, form: str | None = None) -> int: ...
    def cut(self) -> None: ...
    def mend(self) -> None: ...
    async def emptied(self) -> None: ...
    async def run(self, stop: asyncio.Event) -> None: ...


def spoken(city: City, protocols: Mapping[str, Sequence[str]]) -> City:
    """The city in which the gateways of each network speak those protocols in turn."""
    if not protocols:
        return city
    turn: dict[str, int] = {}
    gateways: list[Gateway] = []
    for gateway in city.gateways:
        names = protocols.get(gateway.network, ())
        at = turn.get(gateway.network, 0)
        turn[gateway.network] = at + 1
        gateways.append(gateway._replace(protocol=names[at % len(names)] if names else SENML))
    sensors = list(city.sensors)
    whole = replace(city, gateways=tuple(gateways))
    for number, gateway in enumerate(gateways):
        speech = speech_of(whole, number)
        if speech is not None:
            gateways[number] = gateway._replace(identity=speech.identity)
            for at, point in zip(members_of(whole, number), speech.points(), strict=True):
                sensors[at] = sensors[at]._replace(point=point)
    return replace(city, gateways=tuple(gateways), sensors=tuple(sensors))


def registered(city: City, credentials: Mapping[str, str]) -> list[Gateway]:
    """The gateways as the registry is to have them: who pushes under its own name has a password, its
    secret."""
    return [
        one._replace(password=credentials[one.gateway]) if one.protocol == PROVEN_BY_NAME else one
        for one in city.gateways
    ]


def members_of(city: City, gateway: int) -> list[int]:
    """A gateway's sensors, as places among the city's."""
    return [int(at) for at in (city.gateway_of == gateway).nonzero()[0]]


def speech_of(city: City, gateway: int) -> Speech | None:
    """None for one that speaks SenML."""
    found = city.gateways[gateway]
    make = SPEECHES.get(found.protocol)
    if make is None:
        return None
    rows = catalogue()
    members = [
        Member(s.point, s.category, s.unit, rows[s.category].is_state)
        for s in (city.sensors[at] for at in members_of(city, gateway))
    ]
    return make(found.gateway, gateway + 1, members)


class Voice:
    """One gateway: its client, and how readings of the city become its frames."""

    def __init__(self, client: Client, frames: Callable[[int, Sequence[tuple[int, float]]], None]) -> None:
        self.client = client
        self.say = frames
        """(time, (place among the city's sensors, value) of each) to its client."""


def voices(
    city: City,
    *,
    mqtt: str,
    addresses: Mapping[str, str],
    credentials: Mapping[str, str],
    clock: CityClock,
    now: Callable[[], int],
    seed: int,
    connecting: asyncio.Semaphore,
) -> list[Voice]:
    """A voice for each gateway. `addresses`: of each protocol that has a listener of its own, HOST:PORT, and
    of `push` the beginning of its URLs, ended by `push_secret`. Raises ValueError where one is missing."""
    epoch = now()
    found = []
    for number, gateway in enumerate(city.gateways):
        name = gateway.gateway
        speech = speech_of(city, number)
        line_rng = random.Random(f"{seed}/{name}/line")
        city_us = partial(_city_us, clock, now)
        client: Client
        if speech is None or speech.by in ("topics", "edge-node"):
            make: Callable[..., MqttGateway] = MqttGateway
            if speech is not None and speech.by == "edge-node":
                names = [(member.point, member.is_state) for member in speech.members]
                make = partial(EdgeNodeGateway, names=names, city_us=city_us)
            client = make(
                name,
                credentials[name],
                mqtt,
                outbox=Outbox(random.Random(f"{seed}/{name}")),
                epoch=epoch,
                now=now,
                rng=line_rng,
                connecting=connecting,
            )
        elif speech.by == "push":
            push = _address(addresses, "push")
            if speech.name == PROVEN_BY_NAME:
                client = PushGateway(name, f"{push}video", line_rng, (name, credentials[name]))
            else:
                url = f"{push}{speech.name}/{addresses.get('push_secret', '')}"
                client = PushGateway(name, url, line_rng)
        else:
            client = LineGateway(name, _address(addresses, speech.name), _manners(speech, city_us), line_rng)
        if speech is None:
            found.append(Voice(client, _in_senml(city, client)))
        else:
            found.append(Voice(client, _in(speech, city, number, client, city_us)))
    return found


def _city_us(clock: CityClock, now: Callable[[], int]) -> int:
    return clock.city_us(now())


def _address(addresses: Mapping[str, str], name: str) -> str:
    if name not in addresses:
        raise ValueError(f"the scenario has gateways that speak {name}, and nobody listens for it")
    return addresses[name]


def _manners(speech: Speech, city_us: Callable[[], int]) -> Manners:
    if isinstance(speech, Gb26875):

        def obeys(heard: bytes) -> list[bytes]:
            return gb26875.obeys(heard, city_us(), speech.source, speech.next_serial())

        return Manners(gb26875.length, gb26875.answers, obeys)
    if speech.name == "hj212":
        return Manners(hj212.length, hj212.answers)
    return Manners(sl651.length, sl651.answers)


def _in_senml(city: City, client: Client) -> Callable[[int, Sequence[tuple[int, float]]], None]:
    rows = catalogue()
    points = {}

    def say(time_us: int, readings: Sequence[tuple[int, float]]) -> None:
        said = []
        for at, value in readings:
            if at not in points:
                sensor = city.sensors[at]
                points[at] = senml.point(sensor.point, sensor.unit, rows[sensor.category].is_state)
            said.append((points[at], value))
        client.submit(senml.encode(time_us, said), len(said))

    return say


def _in(
    speech: Speech, city: City, number: int, client: Client, city_us: Callable[[], int]
) -> Callable[[int, Sequence[tuple[int, float]]], None]:
    places = {at: place for place, at in enumerate(members_of(city, number))}

    def say(time_us: int, readings: Sequence[tuple[int, float]]) -> None:
        mine = [(places[at], value) for at, value in readings]
        for frame in speech.frames(time_us, city_us(), mine):
            client.submit(frame.payload, frame.readings, frame.topic)

    return say
