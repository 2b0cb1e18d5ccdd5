"""What can cause what across networks: pairs of the catalogue's categories with the time between them.

Judgement throughout, of the kind an incident report draws afterwards; the sources name the mechanism, not the
minutes. A lag below zero allows for the cause's sensor reporting later than the effect's.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_S = 60.0
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Link:
    """A reason why alerts of these categories are one matter. `lag_s`: from cause to effect."""

    name: str
    cause: frozenset[str]
    effect: frozenset[str]
    lag_s: tuple[float, float]
    text_zh: str
    text_en: str


def _link(name: str, cause: str, effect: str, lag_s: tuple[float, float], text_zh: str, text_en: str) -> Link:
    return Link(name, frozenset(cause.split()), frozenset(effect.split()), lag_s, text_zh, text_en)


GAS_IN_THE_GROUND = "gas_manhole_methane gas_station_leak gas_lpg_leak"
GAS_PRESSURE = "gas_pipe_pressure_subhigh gas_pipe_pressure_medium gas_pipe_pressure_low"
GAS_INDOORS = "gas_household_leak gas_commercial_leak gas_lpg_leak gas_station_leak"
BURST = "water_main_pressure water_main_transient water_main_flow"
WATER_WHERE_NONE_IS = (
    "gas_valve_well_water heat_chamber_level heat_station_flood gallery_sump_level "
    "drain_road_water_depth drain_underpass_water_depth drain_manhole_level"
)
HEAT_LEAK = "heat_primary_return_pressure heat_secondary_pressure heat_makeup_flow heat_leak_cable_resistance"
RAIN = "weather_rain weather_rain_intensity"
RUNOFF = (
    "drain_underpass_water_depth drain_road_water_depth drain_manhole_level "
    "drain_pump_forebay_level drain_river_level"
)
WIND = "weather_wind_speed weather_wind_gust"
FIRE_SEEN = (
    "fire_smoke_detector_state fire_nb_smoke_alarm fire_smoke_obscuration fire_heat_detector_temp "
    "fire_flame_detector fire_manual_call_point fire_co fire_waterflow"
)
SHAKEN = (
    "bridge_bearing_displacement bridge_pier_tilt bridge_settlement bridge_acceleration building_tilt "
    "road_settlement slope_displacement tunnel_convergence water_main_pressure gas_pipe_pressure_medium"
)

LINKS = (
    _link(
        "gas-leak-sewer",
        f"{GAS_IN_THE_GROUND} {GAS_PRESSURE} gas_commercial_leak",
        "drain_sewer_methane",
        (-30 * MINUTE_S, 30 * MINUTE_S),
        "燃气泄漏可能窜入同片区污水管网",
        "leaking gas may have entered the sewers of the same zone",
    ),
    _link(
        "gas-leak-gallery",
        f"{GAS_IN_THE_GROUND} {GAS_PRESSURE}",
        "gallery_oxygen",
        (-15 * MINUTE_S, 60 * MINUTE_S),
        "泄漏燃气可能进入综合管廊，氧含量下降",
        "leaking gas may have entered the utility tunnel and displaced oxygen",
    ),
    _link(
        "gas-leak-fire",
        GAS_INDOORS,
        f"{FIRE_SEEN} camera_smoke_fire",
        (-5 * MINUTE_S, 60 * MINUTE_S),
        "燃气泄漏可能引发火灾",
        "leaking gas may have caught fire",
    ),
    _link(
        "fire-seen-by-camera",
        FIRE_SEEN,
        "camera_smoke_fire",
        (-15 * MINUTE_S, 30 * MINUTE_S),
        "同片区视频识别到烟火，与火灾探测器相互印证",
        "a camera of the same zone sees smoke or flames, as the fire detectors say",
    ),
    _link(
        "digging-burst",
        "gas_third_party_vibration gas_construction_permit",
        BURST,
        (-5 * MINUTE_S, 2 * HOUR_S),
        "同片区有机械开挖，可能挖断供水管",
        "machines dig in the same zone and may have broken the water main",
    ),
    _link(
        "burst-settlement",
        BURST,
        "road_settlement",
        (-15 * MINUTE_S, 6 * HOUR_S),
        "供水管爆裂可能掏空路基，路面下沉",
        "the broken main may be washing out the ground under the road",
    ),
    _link(
        "burst-flooding",
        BURST,
        WATER_WHERE_NONE_IS,
        (-15 * MINUTE_S, 2 * HOUR_S),
        "供水管爆裂的水可能涌入同片区井室或道路",
        "water of the broken main may have run into chambers or roads of the same zone",
    ),
    _link(
        "settlement-gas",
        "road_settlement",
        f"gas_manhole_methane {GAS_PRESSURE}",
        (-15 * MINUTE_S, 6 * HOUR_S),
        "地面下沉可能拉裂燃气管",
        "the settling ground may have broken the gas main",
    ),
    _link(
        "heat-leak-settlement",
        HEAT_LEAK,
        "road_settlement heat_chamber_level",
        (-15 * MINUTE_S, 6 * HOUR_S),
        "供热管泄漏可能掏空路基",
        "the leaking heat main may be washing out the ground",
    ),
    _link(
        "rain-runoff",
        RAIN,
        RUNOFF,
        (-30 * MINUTE_S, 2 * HOUR_S),
        "强降雨所致",
        "follows from heavy rain",
    ),
    _link(
        "rain-gathers",
        "weather_rain_intensity",
        "weather_rain",
        (-30 * MINUTE_S, 2 * HOUR_S),
        "同一场强降雨的累计雨量",
        "what the same rain has brought together",
    ),
    _link(
        "rain-slope",
        RAIN,
        "slope_displacement road_settlement bridge_underclearance",
        (0.0, 6 * HOUR_S),
        "强降雨可能引起边坡位移、路面下沉或桥下水位上涨",
        "heavy rain may move slopes, settle roads and raise the water under bridges",
    ),
    _link(
        "flood-bridge",
        "drain_river_level drain_tide_level",
        "bridge_underclearance bridge_scour_depth bridge_pier_tilt bridge_settlement",
        (-30 * MINUTE_S, 6 * HOUR_S),
        "河道高水位威胁桥梁净空与基础",
        "high water reaches for the bridge's clearance and foundations",
    ),
    _link(
        "wind-bridge",
        WIND,
        "bridge_vortex_vibration bridge_acceleration bridge_cable_force",
        (-15 * MINUTE_S, 60 * MINUTE_S),
        "大风引起桥梁振动",
        "the wind makes the bridge vibrate",
    ),
    _link(
        "wind-wave",
        WIND,
        "weather_wave_height drain_tide_level",
        (-30 * MINUTE_S, 6 * HOUR_S),
        "大风引起风浪与增水",
        "the wind raises waves and the sea",
    ),
    _link(
        "cold-heating",
        "weather_air_temp weather_cold_drop",
        "heat_room_temp water_main_pressure water_tank_level home_room_temp",
        (0.0, 6 * HOUR_S),
        "寒潮使供热不足、管道受冻",
        "the cold outruns the heating and freezes pipes",
    ),
    _link(
        "heating-home",
        f"{HEAT_LEAK} heat_secondary_supply_temp heat_primary_supply_temp heat_circulation_flow",
        "home_room_temp",
        (0.0, 6 * HOUR_S),
        "供热故障使独居老人家中变冷",
        "the heating fault cools the homes of elders who live alone",
    ),
    _link(
        "earthquake",
        "seismic_pga",
        SHAKEN,
        (-5 * MINUTE_S, 6 * HOUR_S),
        "地震所致",
        "follows from the earthquake",
    ),
)
LONGEST_LAG_S = max(max(-link.lag_s[0], link.lag_s[1]) for link in LINKS)
