"""A scenario: which city, how fast its time runs, and what goes wrong in it, from a YAML file.

The file says by hand which level and unit each fault must lead to; nothing computes them. A file that is
no scenario is refused with its name, the line, what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import yaml

from schemas import document
from schemas.unit import units
from simulators.city import NETWORKS, WHOLE, WITH_VIDEO, ZONES, City
from simulators.faults import FaultSpec
from simulators.kinds import KINDS
from simulators.protocols.fleet import NAMES, spoken
from simulators.weather import SEASONS

LONGEST_S = 366 * 86_400.0
MOST_CAMERAS = 10_000_000
CATEGORIES = {"demo": NETWORKS, "demo-video": WITH_VIDEO, "all": WHOLE}


class ScenarioError(ValueError):
    """A scenario file that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    seed: int
    scale: float
    zones: int
    density: float
    faults: tuple[FaultSpec, ...]
    season: str = "fair"
    categories: str = "demo"  # those of the demonstration, the same and what cameras see, or the catalogue's
    cameras: int = 0  # video channels in the register beside the sensors

    protocols: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Network -> what its gateways speak in turn; SenML where nothing is said."""

    def with_seed(self, seed: int | None) -> Scenario:
        return self if seed is None else replace(self, seed=seed)

    def city(self, every_s: int | None = None) -> City:
        """Its sensors report as planned or, if it is given, `every_s`."""
        networks = CATEGORIES[self.categories]
        return spoken(
            City.build(self.seed, self.zones, self.density, networks, self.season, every_s), self.protocols
        )


def names() -> list[str]:
    """The scenarios that come with the product."""
    folder = resources.files("simulators").joinpath("scenarios")
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name: str) -> Scenario:
    """By its name, or by the path of a .yaml file. Raises ScenarioError."""
    if name.endswith(".yaml"):
        path = Path(name)
        if not path.is_file():
            raise ScenarioError(f"no scenario file {name}")
        try:
            return parse(document.text_of(path.read_bytes(), name), name)
        except OSError as error:
            raise ScenarioError(f"{name}: {error.strerror}") from None
        except document.Malformed as error:
            raise ScenarioError(str(error)) from None
    if name not in names():
        raise ScenarioError(f"no scenario {name!r}: expected one of {', '.join(names())}, or a .yaml file")
    found = resources.files("simulators").joinpath("scenarios", f"{name}.yaml")
    return parse(found.read_text(encoding="utf-8"), f"{name}.yaml")


def parse(text: str, where: str) -> Scenario:
    """Raises ScenarioError naming `where`, line and column, what was expected and what came."""
    try:
        node = document.compose(text, where)
    except document.Malformed as error:
        raise ScenarioError(str(error)) from None
    top = _Mapping(node, where, "the scenario")
    clock, city = top.mapping("clock"), top.mapping("city")
    zones = city.get("zones", int, lambda v: 1 <= v <= len(ZONES), f"1 to {len(ZONES)}")
    known = [zone.zone for zone in ZONES[:zones]]
    categories = city.get("categories", str, lambda v: v in CATEGORIES, " or ".join(CATEGORIES), "demo")
    offered = {plan.category for network in CATEGORIES[categories] for plan in network.plan}
    kinds = [name for name, kind in KINDS.items() if {t.category for t in kind.touches} <= offered]
    scenario = Scenario(
        name=top.get("name", str),
        seed=top.get("seed", int, lambda v: v >= 0, "a whole number from 0 up"),
        scale=clock.get("scale", float, lambda v: 0 < v <= 10_000, "above 0, at most 10000"),
        zones=zones,
        density=city.get("density", float, lambda v: 0 < v <= 100, "above 0, at most 100"),
        protocols=_protocols(top),
        faults=_faults(top.items("faults"), known, kinds),
        season=top.get("season", str, lambda v: v in SEASONS, f"one of {', '.join(SEASONS)}", "fair"),
        categories=categories,
        cameras=city.get("cameras", int, lambda v: 0 <= v <= MOST_CAMERAS, f"0 to {MOST_CAMERAS}", 0),
    )
    for part in (top, clock, city):
        part.done()
    return scenario


def _faults(items: list[_Mapping], zones: list[str], kinds: list[str]) -> tuple[FaultSpec, ...]:
    specs: list[FaultSpec] = []
    for item in items:
        spec = _fault(item, zones, kinds, specs)
        if any((spec.kind, spec.zone) == (other.kind, other.zone) for other in specs):
            item.refuse("zone", f"expected a zone without another {spec.kind}, got {spec.zone!r}")
        if spec.name and any(spec.name == other.name for other in specs):
            item.refuse("name", f"expected a name that no fault above has, got {spec.name!r}")
        specs.append(spec)
    return tuple(specs)


def _protocols(top: _Mapping) -> dict[str, tuple[str, ...]]:
    """`protocols: {gas: sparkplug senml, ...}`; networks that are not named speak SenML."""
    part = top.mapping("protocols") if top.has("protocols") else None
    if part is None:
        return {}
    known = sorted(NAMES)
    expected = f"some of {', '.join(known)}, with spaces between"
    networks = {network.name for city in CATEGORIES.values() for network in city}
    found = {
        name: tuple(part.get(name, str, lambda v: _are_spoken(v, known), expected).split())
        for name in sorted(networks)
        if part.has(name)
    }
    part.done()
    return found


def _fault(item: _Mapping, zones: list[str], kinds: list[str], before: list[FaultSpec]) -> FaultSpec:
    kind = item.get("kind", str, lambda v: v in kinds, f"one of {', '.join(kinds)}")
    names = [spec.name for spec in before if spec.name]
    cause = item.get("cause", str, lambda v: v in names, "the name of a fault above", "")
    since_s = next((spec.onset_s for spec in before if spec.name == cause), 0.0) if cause else 0.0
    absorbed = item.get("absorbed", bool, default=False)
    spec = FaultSpec(
        kind=kind,
        zone=item.get("zone", str, lambda v: v in zones, f"one of {', '.join(zones)}"),
        onset_s=since_s
        + item.get("delay_s" if cause else "onset_s", float, _is_delay, "seconds from 0 up, at most a year"),
        duration_s=item.get("duration_s", float, _is_duration, "seconds above 0, at most a year"),
        magnitude=item.get("magnitude", float) if KINDS[kind].measured else 0.0,
        expected_level=None if absorbed else item.get("expected_level", int, lambda v: 1 <= v <= 4, "1 to 4"),
        expected_unit=None
        if absorbed
        else item.get("expected_unit", str, lambda v: v in units(), f"one of {', '.join(units())}"),
        name=item.get("name", str, default=""),
        cause=cause,
    )
    item.done()
    return spec


def _are_spoken(text: str, known: list[str]) -> bool:
    return bool(text.split()) and set(text.split()) <= set(known)


def _is_delay(seconds: float) -> bool:
    return 0 <= seconds <= LONGEST_S


def _is_duration(seconds: float) -> bool:
    return 0 < seconds <= LONGEST_S


class _Mapping:
    """A YAML mapping that knows its lines and which of its keys were asked for."""

    def __init__(self, node: yaml.Node | None, where: str, what: str) -> None:
        self._where, self._what = where, what
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"{what} must be a mapping of names to values")
        self._node = node
        self._values: dict[str, yaml.Node] = {str(key.value): value for key, value in node.value}
        self._asked: set[str] = set()

    def get(
        self,
        name: str,
        kind: type,
        fits: Callable[[Any], bool] | None = None,
        expected: str = "",
        default: Any = None,
    ) -> Any:
        if default is not None and name not in self._values:
            self._asked.add(name)
            return default
        node = self._find(name)
        try:
            value = document.value_of(node, self._where) if isinstance(node, yaml.ScalarNode) else None
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
        except document.Malformed as error:
            raise ScenarioError(str(error)) from None
        except OverflowError:
            value = math.inf
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]
        if type(value) is not kind:
            self._refuse(node, f"{name} of {self._what}: expected {expected or words}, got {_shown(node)}")
        if fits and not fits(value):
            self._refuse(node, f"{name} of {self._what}: expected {expected}, got {value!r}")
        return value

    def has(self, name: str) -> bool:
        self._asked.add(name)
        return name in self._values

    def mapping(self, name: str) -> _Mapping:
        return _Mapping(self._find(name), self._where, name)

    def items(self, name: str) -> list[_Mapping]:
        node = self._find(name)
        if not isinstance(node, yaml.SequenceNode):
            self._refuse(node, f"{name} must be a list")
        return [_Mapping(item, self._where, f"{name}[{i}]") for i, item in enumerate(node.value)]

    def done(self) -> None:
        """Refuses names that nobody asked for: a misspelt one would silently do nothing."""
        for key, _ in self._node.value:
            if key.value not in self._asked:
                expected = ", ".join(sorted(self._asked))
                self._refuse(key, f"{key.value!r} in {self._what} is not known: expected {expected}")

    def refuse(self, name: str, why: str) -> NoReturn:
        self._refuse(self._find(name), f"{name} of {self._what}: {why}")

    def _find(self, name: str) -> yaml.Node:
        self._asked.add(name)
        if name not in self._values:
            self._refuse(self._node, f"{self._what} lacks {name!r}")
        return self._values[name]

    def _refuse(self, node: yaml.Node | None, why: str) -> NoReturn:
        at = f"{node.start_mark.line + 1}:{node.start_mark.column + 1}" if node is not None else "1:1"
        raise ScenarioError(f"{self._where}:{at}: {why}")


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:80]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
