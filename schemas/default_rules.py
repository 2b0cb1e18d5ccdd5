"""The rules of a new installation: one for every row of the catalogue, and those about our own devices.

Cells are the catalogue's, or what `cells.csv` makes of those that are prose; cards are those of `cards.yaml`,
tests those of `trials.yaml`. Facts, so a malformed file is a bug of ours and raises ValueError. Thresholds of
judgement start in shadow in a new installation: it must see them against its own data first.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

import msgspec
import yaml

from schemas.cards import cards
from schemas.catalogue import Category, catalogue
from schemas.rule import Members, Role, Rule, Selector, Trial

OWN_FAULTS = frozenset({"device-silence", "blind-area", "gateway-clock", "device-stuck", "device-plausible"})
"""Live from the first day: where our devices fail, nobody is guarded. What is not plausible is judged by no
other rule, so somebody must be told."""
COURSES = (
    "water_main_flow",
    "water_main_pressure",
    "water_bulk_meter_flow",
    "gas_flow_rate",
    "gas_pipe_pressure_medium",
    "heat_circulation_flow",
    "drain_pipe_flow",
)
"""Quantities with a daily course, for the seasonal detector."""
MAINS = (
    "water_main_pressure",
    "gas_pipe_pressure_medium",
    "heat_primary_supply_pressure",
    "heat_primary_return_pressure",
)
"""Pressures that rise and fall together, for the comparison of neighbours."""
WATERS = (
    "water_residual_chlorine",
    "water_residual_chlorine_works",
    "water_turbidity",
    "water_ph",
    "water_conductivity",
    "drain_sewage_ph",
)
"""Quantities that do not jump and come back, for the spike detector."""


PIPES = (
    "gas_pipe_pressure_subhigh",
    "gas_pipe_pressure_medium",
    "water_main_pressure",
    "heat_primary_supply_pressure",
    "heat_primary_return_pressure",
)
"""Pressures that fall for good when a pipe breaks: what is back within minutes was the transmitter's."""


def rule_name(key: str) -> str:
    """The name of a category's default rule: identifiers are lower case with "-"."""
    return key.replace("_", "-")


def default_rules(*, judgement_live: bool) -> list[Rule]:
    """`judgement_live` is for the demo."""

    if judgement_live:
        return list(_rules())
    return [
        msgspec.structs.replace(rule, mode="shadow")
        if rule.confidence == "judgement" and rule.name not in OWN_FAULTS
        else rule
        for rule in _rules()
    ]


@functools.cache
def cells() -> dict[str, tuple[dict[int, str], str, str]]:
    """category -> levels as they are evaluated, hold, and how prose was read."""
    text = resources.files("schemas").joinpath("cells.csv").read_text(encoding="utf-8")
    found = {row.key: (dict(row.levels), row.hold, "") for row in catalogue().values()}
    for line in csv.DictReader(text.splitlines()):
        key, part = line["key"], line["part"]
        if key not in found or (part != "hold" and int(part) not in found[key][0]):
            raise ValueError(f"cells.csv: {key}, {part}: the catalogue has no such cell")
        levels, hold, why = found[key]
        if part == "hold":
            hold = line["text"]
        else:
            levels[int(part)] = line["text"]
        why = why if line["why"] in why else f"{why}; {line['why']}" if why else line["why"]
        found[key] = levels, hold, why
    return found


@functools.cache
def trials() -> dict[str, tuple[Trial, ...]]:
    """Rule name -> its tests."""
    text = resources.files("schemas").joinpath("trials.yaml").read_text(encoding="utf-8")
    try:
        return msgspec.convert(yaml.load(text, yaml.CSafeLoader), dict[str, tuple[Trial, ...]], strict=False)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"trials.yaml: {error}") from error


@functools.cache
def _rules() -> tuple[Rule, ...]:
    rows = catalogue().values()
    rules = [
        *(rule for row in rows if row.key != "device_silence" for rule in _of_row(row)),
        *_of_districts(),
        *_of_devices(),
    ]
    return tuple(msgspec.structs.replace(rule, tests=trials().get(rule.name, ())) for rule in rules)


def _of_row(row: Category) -> list[Rule]:
    """None for a covariate; a list and its alarm apart."""
    if row.role == "covariate":
        return []
    levels, hold, why = cells()[row.key]
    rule = Rule(
        name=rule_name(row.key),
        title_zh=row.name_zh,
        title_en=row.quantity,
        detector="threshold",
        network=row.domain,
        mode="live",
        selector=Selector(categories=(row.key,)),
        levels=levels,
        hold=hold,
        response=cards().get(row.key),
        source=f"{row.source} [read as: {why}]" if why else row.source,
        confidence=row.confidence,
    )
    if row.role != "list":
        return [rule]
    listed = msgspec.structs.replace(
        rule,
        name=f"{rule.name}-list",
        title_zh=f"{rule.title_zh}（每日清单）",
        title_en=f"{rule.title_en} (daily list)",
        levels={4: levels[4]},
        mode="shadow",
        response=None,
        asks="nothing",
    )
    alarm = {level: cell for level, cell in levels.items() if level != 4}
    return [msgspec.structs.replace(rule, levels=alarm), listed]


def _of_districts() -> list[Rule]:
    """Sensors judged together; where no meter bears the tags, nobody is looked at."""
    return [
        Rule(
            name="water-district-balance",
            title_zh="供水分区水量平衡",
            title_en="water balance of a district",
            detector="balance",
            network="water",
            mode="shadow",
            selector=Selector(categories=("water_main_flow",), tags=("inlet",)),
            members=Members(
                every_s=900.0,
                roles={
                    "out": Role(tags=("outlet",), optional=True),
                    "used": Role(categories=("water_bulk_meter_flow",), tags=("used",), optional=True),
                },
            ),
            levels={4: "dev>=10% for 2h", 3: "dev>=20% for 1h", 2: "dev>=50% for 30min"},
            clear="1 h",
            response=cards()["water_dma_night_flow"],
            source="water balance: Lambert and Hirner 2000 (IWA), CJJ 92-2016; ours: the limits",
        ),
        *(
            Rule(
                name=name,
                title_zh=title_zh,
                title_en=title_en,
                detector="balance",
                network=network,
                mode="shadow",
                selector=Selector(categories=(category,), tags=("inlet",)),
                members=Members(every_s=300.0, roles={"out": Role(tags=("outlet",))}),
                levels={4: "dev>=2% for 30min", 3: "dev>=5% for 15min"},
                clear="30 min",
                params={"learn_days": 3.0},  # a closed system has no weekly course
                response=cards()[card],
                source="mass balance of a closed system: API RP 1149; ours: the limits",
            )
            for name, title_zh, title_en, network, category, card in (
                ("heat-loop-balance", "供热环路流量平衡", "flow balance of a heat loop", "heat",
                 "heat_circulation_flow", "heat_makeup_flow"),
                ("gas-main-balance", "燃气管线流量平衡", "flow balance of a gas main", "gas",
                 "gas_flow_rate", "gas_pipe_pressure_medium"),
            )
        ),
        Rule(
            name="water-district-night-flow",
            title_zh="供水分区夜间最小流量",
            title_en="least flow of a district at night",
            detector="night-flow",
            network="water",
            mode="shadow",
            selector=Selector(categories=("water_main_flow",), tags=("inlet",)),
            members=Members(every_s=900.0, roles={"out": Role(tags=("outlet",), optional=True)}),
            levels={4: "dev>=15%", 3: "dev>=30% for 2 nights"},
            response=cards()["water_dma_night_flow"],
            source="least night flow: UK Water Industry 1994, Managing leakage, report E; ours: the limits",
        ),
        Rule(
            name="water-transient-front",
            title_zh="供水压力波前（多点先后到达）",
            title_en="a pressure front that several loggers heard",
            detector="front",
            network="water",
            mode="live",
            selector=Selector(categories=("water_main_transient",)),
            members=Members(
                every_s=10.0, roles={"arrival": Role(categories=("water_front_arrival",), optional=True)}
            ),
            levels={3: "v>=0.05", 2: "v>=0.15", 1: "v>=0.25"},
            response=cards()["water_main_transient"],
            source="Misiunas et al. 2005, Srirangarajan et al. 2013; ours: the limits, a level above those of"
            " one logger alone, as several agree",
        ),
        Rule(
            name="bridge-modal-shift",
            title_zh="桥梁模态频率偏移（扣除温度）",
            title_en="a mode of a bridge shifts by more than temperature explains",
            detector="modal",
            network="bridge",
            mode="shadow",
            selector=Selector(categories=("bridge_modal_frequency",)),
            members=Members(
                every_s=3600.0,
                roles={"temperature": Role(categories=("bridge_structure_temp", "weather_air_temp"))},
            ),
            levels={4: "dev>=2% for 6h", 3: "dev>=5% for 6h"},
            response=cards()["bridge_modal_frequency"],
            source="Peeters and De Roeck 2001; ours: the limits",
        ),
        Rule(
            name="neighbour-drift",
            title_zh="测点相对邻近测点漂移",
            title_en="a gauge drifts away from its neighbours",
            detector="neighbours",
            network="device",
            mode="shadow",
            selector=Selector(categories=MAINS),
            members=Members(every_s=900.0),
            levels={4: "v>=8sigma for 6h"},
            params={"learn_days": 7.0},
            source="spatial consistency: Barnes 1964, WMO-No. 8; ours: the limits",
        ),
    ]  # fmt: skip


def _of_devices() -> list[Rule]:
    rows = catalogue()
    numeric = tuple(
        row.key
        for row in rows.values()
        if row.noise and row.interval_s and row.interval_s <= 900 and row.role != "list" and not row.is_state
    )
    measured = tuple(row.key for row in rows.values() if not row.is_state and row.key != "device_silence")
    silence = rows["device_silence"]
    card = cards()["device_silence"]
    return [
        Rule(
            name="device-silence",
            title_zh="设备失联",
            title_en="sensor silent while its gateway reports",
            detector="silence",
            network="device",
            mode="live",
            levels={4: "v>=2", 3: "v>=3"},
            response=card,
            source=silence.source,
            confidence=silence.confidence,
        ),
        Rule(
            name="blind-area",
            title_zh="监测盲区（网关离线）",
            title_en="blind area: gateway offline",
            detector="blind-area",
            network="device",
            mode="live",
            levels={3: "gateway_down"},
            response=card,
            source="ours: one alert for a gateway in place of one for each of its sensors",
        ),
        Rule(
            name="gateway-clock",
            title_zh="网关时钟错误",
            title_en="the clock of a gateway is off: its readings are not judged",
            detector="clock",
            network="device",
            mode="live",
            levels={3: "clock_off"},
            response=cards()["gateway-clock"],
            source="ours: what is not judged is as blind as what is not heard",
        ),
        Rule(
            name="device-stuck",
            title_zh="传感器卡滞",
            title_en="sensor stuck: the same value again and again",
            detector="stuck",
            network="device",
            mode="live",
            selector=Selector(categories=numeric),
            levels={4: "stuck"},
            params={"reports": 8},
            source="ours: a noisy quantity that repeats to the last digit has a stuck device",
        ),
        Rule(
            name="device-plausible",
            title_zh="读数超出可信范围",
            title_en="a reading that this quantity cannot have",
            detector="plausible",
            network="device",
            mode="live",
            selector=Selector(categories=measured),
            levels={4: "plausible"},
            source="gross range test of QARTOD and WMO-No. 8; the ranges are the catalogue's",
        ),
        Rule(
            name="device-spike",
            title_zh="传感器毛刺",
            title_en="a reading that jumps away and comes back",
            detector="spike",
            network="device",
            mode="shadow",
            selector=Selector(categories=WATERS),
            levels={4: "spike"},
            source="running median: Tukey 1977; ours: the limits",
        ),
        Rule(
            name="device-spike-main",
            title_zh="压力变送器毛刺",
            title_en="a pressure that jumps away and is back within minutes",
            detector="spike",
            network="device",
            mode="live",
            selector=Selector(categories=PIPES),
            levels={4: "spike"},
            params={"returned": 30.0, "least": 1e6},
            source="running median: Tukey 1977; ours: the limit; what stays is for the main's own rule",
        ),
        Rule(
            name="seasonal",
            title_zh="偏离该时段常态",
            title_en="departure from what is usual at this hour",
            detector="seasonal",
            network="device",
            mode="shadow",
            selector=Selector(categories=COURSES),
            levels={4: "seasonal"},
            source="Winters 1960, Roberts 1959; ours: the limits",
        ),
        Rule(
            name="ewma",
            title_zh="均值偏移",
            title_en="shift of the mean (EWMA)",
            detector="ewma",
            network="device",
            mode="shadow",
            selector=Selector(categories=numeric),
            levels={4: "ewma"},
            params={"lambda": 0.2, "limit": 6.0, "warmup": 60},
            source="Roberts 1959, control chart tests based on geometric moving averages",
        ),
    ]
