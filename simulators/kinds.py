"""The kinds of faults that a scenario can ask for: what each does, to which sensors, and whose alert it is.

Physical kinds bend the truth of sensors of their categories; `weather-…` kinds change the sky of their zone,
and the networks answer; kinds of network `device` spoil what is reported (simulators/telemetry.py). Levels
are not known here: a scenario states them by hand.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from simulators import effects as e

Telemetry = Literal[
    "holds", "cuts", "reboots", "drops", "spikes", "scales", "clock", "late", "repeats", "disorders"
]  # fmt: skip
SkyPart = Literal["rain_mm_h", "wind_ms", "air_c", "pressure_hpa", "visibility"]


class Touch(NamedTuple):
    """Sensors of a category that could know, and how much of the fault each of them feels."""

    category: str
    shares: tuple[float, ...]
    bend: e.Effect | None = None
    of: str = "design"  # the site parameter that the effect is given
    spreads: bool = False  # a solved network says who feels how much


class Kind(NamedTuple):
    network: str  # whose alert it must be
    category: str | None  # the sensors that could know; None: a gateway's
    shares: tuple[float, ...] = (1.0,)
    bend: e.Effect | None = None
    measured: bool = True  # has a magnitude
    of: str = "design"
    also: tuple[Touch, ...] = ()
    telemetry: Telemetry | None = None
    sky: SkyPart | None = None
    spreads: bool = False
    trouble: str | None = None  # of a network itself

    @property
    def touches(self) -> tuple[Touch, ...]:
        own = (Touch(self.category, self.shares, self.bend, self.of, self.spreads),) if self.category else ()
        return own + self.also


ONE, TWO, THREE = (1.0,), (1.0, 0.95), (1.0, 0.96, 0.92)
EVERY = (1.0,) * 64
MIN = 60

KINDS: dict[str, Kind] = {
    "gas-leak": Kind("gas", "gas_manhole_methane", (1.0, 0.92), e.fills()),
    "main-burst": Kind("water", "water_main_pressure", THREE, e.falls(), spreads=True),
    "heat-pipe-leak": Kind("heat", "heat_primary_return_pressure", TWO, e.falls(), spreads=True),
    "bridge-strain-shift": Kind("bridge", "bridge_strain", (1.0, 0.98), e.rests_at_share),
    "building-fire": Kind("fire", "fire_smoke_detector_state", ONE, e.is_set),
    "gateway-offline": Kind("device", None, (), measured=False, telemetry="cuts"),
    "stuck-sensor": Kind("device", "heat_primary_return_temp", ONE, measured=False, telemetry="holds"),
    # gas
    "gas-seep": Kind("gas", "gas_manhole_methane", ONE, e.fills(30 * MIN)),
    "gas-main-rupture": Kind("gas", "gas_pipe_pressure_medium", THREE, e.falls(), spreads=True),
    "gas-supply-loss": Kind("gas", "gas_pipe_pressure_low", TWO, e.goes_to(20 * MIN), spreads=True),
    "regulator-creep": Kind("gas", "gas_regulator_outlet_pressure", ONE, e.goes_to_share(20 * MIN), of="sp"),
    "filter-clogged": Kind("gas", "gas_filter_diff_pressure", ONE, e.goes_to(10 * MIN)),
    "gas-station-leak": Kind("gas", "gas_station_leak", TWO, e.fills(60)),
    "kitchen-gas-leak": Kind("gas", "gas_household_leak", ONE, e.fills(60)),
    "restaurant-gas-leak": Kind("gas", "gas_commercial_leak", ONE, e.fills(60)),
    "lpg-pooling": Kind("gas", "gas_lpg_leak", ONE, e.fills(60)),
    "flue-blocked": Kind("gas", "gas_household_co", ONE, e.fills(5 * MIN)),
    "station-flame": Kind("gas", "gas_station_flame", ONE, e.is_set),
    "lng-overpressure": Kind("gas", "gas_lng_tank_pressure", ONE, e.goes_to(10 * MIN)),
    "lng-overfill": Kind("gas", "gas_lng_tank_level", ONE, e.goes_to(10 * MIN)),
    "odorant-failure": Kind("gas", "gas_odorant_concentration", ONE, e.goes_to(30 * MIN)),
    "gas-well-flooded": Kind("gas", "gas_valve_well_water", ONE, e.goes_to(20 * MIN)),
    "digging-near-main": Kind("gas", "gas_third_party_vibration", ONE, e.strikes),
    # water
    "slow-leak": Kind("water", "water_leak_noise", TWO, e.goes_to()),
    "secondary-pump-trip": Kind("water", "water_secondary_outlet_pressure", ONE, e.goes_to_share(60),
                                of="sp"),
    "valve-shut": Kind("water", "water_hydrant_pressure", TWO, e.goes_to(5 * MIN)),
    "water-hammer": Kind("water", "water_main_transient", TWO, e.fills(1)),
    "turbid-water": Kind("water", "water_turbidity", ONE, e.goes_to(10 * MIN)),
    "chlorine-overdose": Kind("water", "water_residual_chlorine", ONE, e.goes_to(10 * MIN)),
    "dosing-failure": Kind("water", "water_residual_chlorine_works", ONE, e.goes_to(15 * MIN)),
    "acid-intrusion": Kind("water", "water_ph", ONE, e.goes_to(10 * MIN)),
    "sea-water-intrusion": Kind("water", "water_conductivity", ONE, e.goes_to(20 * MIN)),
    "pipe-freezing": Kind("water", "water_temperature", ONE, e.goes_to(30 * MIN)),
    "tank-emptied": Kind("water", "water_tank_level", ONE, e.goes_to_share(20 * MIN), of="depth"),
    "pump-bearing-worn": Kind("water", "water_pump_vibration", ONE, e.goes_to(10 * MIN)),
    "pump-overload": Kind("water", "water_pump_current", ONE, e.goes_to_share(60), of="rated"),
    "hydrant-opened": Kind("water", "water_hydrant_tamper", ONE, e.is_set),
    # drainage and road
    "blocked-drain": Kind("drainage", "drain_manhole_level", ONE, e.below_site(20 * MIN), of="depth"),
    "flooded-underpass": Kind("drainage", "drain_underpass_water_depth", ONE, e.fills(10 * MIN)),
    "ponding": Kind("drainage", "drain_road_water_depth", ONE, e.fills(15 * MIN)),
    "drain-pump-trip": Kind("drainage", "drain_pump_forebay_level", ONE, e.goes_to(10 * MIN)),
    "cover-moved": Kind("drainage", "drain_manhole_cover_tilt", ONE, e.goes_to()),
    "sewer-methane": Kind("drainage", "drain_sewer_methane", ONE, e.fills(20 * MIN)),
    "sewer-h2s": Kind("drainage", "drain_h2s", ONE, e.fills(10 * MIN)),
    "river-flood": Kind("drainage", "drain_river_level", TWO, e.goes_to(30 * MIN)),
    "storm-surge": Kind("drainage", "drain_tide_level", ONE, e.goes_to(30 * MIN)),
    "illegal-discharge": Kind("drainage", "drain_sewage_ph", ONE, e.goes_to(10 * MIN)),
    "trunk-blocked": Kind("drainage", "drain_manhole_level", EVERY, measured=False, trouble="trunk-blocked",
                          also=(Touch("drain_road_water_depth", EVERY),)),
    "underpass-pump-out": Kind("drainage", "drain_underpass_water_depth", EVERY, measured=False,
                               trouble="pump-out", also=(Touch("drain_pump_forebay_level", EVERY),)),
    # heat
    "trench-leak": Kind("heat", "heat_trench_temp", ONE, e.goes_to(15 * MIN)),
    "secondary-leak": Kind("heat", "heat_secondary_pressure", ONE, e.falls(10 * MIN)),
    "heat-pump-trip": Kind("heat", "heat_primary_supply_pressure", TWO, e.falls(), spreads=True),
    "return-overheated": Kind("heat", "heat_primary_return_temp", ONE, e.goes_to(15 * MIN)),
    "heat-chamber-flooded": Kind("heat", "heat_chamber_level", ONE, e.goes_to(15 * MIN)),
    "cable-insulation-wet": Kind("heat", "heat_leak_cable_resistance", ONE, e.goes_to()),
    # bridges
    "overloaded-truck": Kind("bridge", "bridge_vehicle_weight", ONE, e.goes_to()),
    "bridge-shaking": Kind("bridge", "bridge_acceleration", TWO, e.goes_to()),
    "scour": Kind("bridge", "bridge_scour_depth", ONE, e.goes_to_share(30 * MIN), of="allow"),
    "ship-impact": Kind("bridge", "bridge_ship_impact", ONE, e.is_set),
    "pier-tilting": Kind("bridge", "bridge_pier_tilt", ONE, e.goes_to(10 * MIN)),
    "cable-slack": Kind("bridge", "bridge_cable_force", ONE, e.is_scaled),
    "bearing-locked": Kind("bridge", "bridge_bearing_displacement", ONE, e.stands_still, measured=False),
    "bearing-displaced": Kind("bridge", "bridge_bearing_displacement", ONE, e.goes_to_share(10 * MIN),
                              of="stroke"),
    "stiffness-loss": Kind("bridge", "bridge_modal_frequency", (1.0, 1.0), e.softens),
    "low-clearance": Kind("bridge", "bridge_underclearance", ONE, e.goes_to(20 * MIN)),
    # buildings, roads, tunnels, slopes
    "road-settlement": Kind("structure", "road_settlement", ONE, e.rises()),
    "building-tilting": Kind("structure", "building_tilt", ONE, e.goes_to(10 * MIN)),
    "slope-creep": Kind("structure", "slope_displacement", ONE, e.rises(20 * MIN)),
    "gallery-bad-air": Kind("structure", "gallery_oxygen", ONE, e.goes_to(10 * MIN)),
    "gallery-overheated": Kind("structure", "gallery_temp", ONE, e.goes_to(90 * MIN)),
    "gallery-flooded": Kind("structure", "gallery_sump_level", ONE, e.goes_to(15 * MIN)),
    # fire
    "smouldering-fire": Kind("fire", "fire_smoke_obscuration", ONE, e.smokes("smouldering")),
    "flaming-fire": Kind("fire", "fire_heat_detector_temp", ONE, e.heats("fast"),
                         also=(Touch("fire_smoke_obscuration", TWO, e.smokes("fast")),)),
    "home-smoke": Kind("fire", "fire_nb_smoke_alarm", ONE, e.is_set),
    "charger-fire": Kind("fire", "fire_ebike_charger_temp", ONE, e.goes_to(2 * MIN)),
    "cable-overheated": Kind("fire", "fire_cable_temp", ONE, e.goes_to(20 * MIN)),
    "earth-leakage": Kind("fire", "fire_residual_current", ONE, e.goes_to()),
    "hydrant-net-leak": Kind("fire", "fire_hydrant_net_pressure", ONE, e.goes_to(10 * MIN)),
    "sprinkler-dry": Kind("fire", "fire_sprinkler_end_pressure", ONE, e.goes_to(10 * MIN)),
    "fire-tank-empty": Kind("fire", "fire_tank_level", ONE, e.goes_to(20 * MIN)),
    "fire-power-lost": Kind("fire", "fire_power_voltage", ONE, e.goes_to()),
    "garage-co": Kind("fire", "fire_co", ONE, e.goes_to(5 * MIN)),
    "call-point-pressed": Kind("fire", "fire_manual_call_point", ONE, e.is_set),
    # weather over a zone; what follows from it is for the networks
    "rainstorm": Kind("weather", "weather_rain_intensity", EVERY, sky="rain_mm_h",
                      also=(Touch("weather_rain", EVERY),)),
    "gale": Kind("weather", "weather_wind_speed", EVERY, sky="wind_ms",
                 also=(Touch("weather_wind_gust", EVERY), Touch("weather_wave_height", EVERY))),
    "sea-fog": Kind("weather", "weather_visibility", EVERY, sky="visibility"),
    "heat-wave": Kind("weather", "weather_air_temp", EVERY, sky="air_c"),
    "cold-front": Kind("weather", "weather_air_temp", EVERY, sky="air_c",
                       also=(Touch("weather_cold_drop", EVERY, e.cools),
                             Touch("weather_wind_speed", EVERY, e.blows))),
    "deep-low": Kind("weather", "weather_pressure", EVERY, sky="pressure_hpa"),
    "road-ice": Kind("weather", "weather_road_ice", ONE, e.goes_to(30 * MIN)),
    "high-waves": Kind("weather", "weather_wave_height", ONE, e.goes_to(20 * MIN)),
    "thunderstorm": Kind("weather", "weather_lightning_field", ONE, e.is_set),
    # air, noise, homes, streets
    "dust-cloud": Kind("environment", "dust_tsp", ONE, e.goes_to(5 * MIN)),
    "night-works": Kind("environment", "noise_level", ONE, e.goes_to()),
    "ozone-episode": Kind("environment", "air_o3", ONE, e.goes_to(60 * MIN)),
    "sos-pressed": Kind("homecare", "home_sos_button", ONE, e.is_set),
    "elder-fallen": Kind("homecare", "home_fall_radar", ONE, e.is_set),
    "breathing-weak": Kind("homecare", "home_bed_respiration", ONE, e.goes_to(5 * MIN)),
    "home-cold": Kind("homecare", "home_room_temp", ONE, e.goes_to(60 * MIN)),
    "home-flooded": Kind("homecare", "home_water_flood", ONE, e.is_set),
    "tap-left-open": Kind("homecare", "home_water_meter", ONE, e.runs_on,
                          also=(Touch("home_water_leak", ONE),)),
    "no-sign-of-life": Kind("homecare", "home_water_meter", ONE, e.counts_nothing, measured=False,
                            also=(Touch("home_electric_meter", ONE, e.counts_nothing),
                                  Touch("home_gas_meter", ONE, e.counts_nothing),
                                  Touch("home_pir_motion", ONE, e.is_nothing))),
    "lift-trapped": Kind("other", "elevator_trapped", ONE, e.is_set),
    "lamp-post-live": Kind("other", "streetlight_leak_current", ONE, e.goes_to()),
    "box-overheated": Kind("other", "distribution_box_temp", ONE, e.goes_to(15 * MIN)),
    "camera-sees-fire": Kind("other", "camera_smoke_fire", ONE, e.goes_to()),
    "crowding": Kind("other", "public_place_crowd_count", ONE, e.goes_to_share(10 * MIN), of="capacity"),
    # what devices and lines do to true values
    "battery-flat": Kind("device", "device_battery_voltage", ONE, e.goes_to(10 * MIN)),
    "signal-weak": Kind("device", "device_rssi", ONE, e.goes_to(10 * MIN)),
    "sensor-drift": Kind("device", "water_main_pressure", ONE, e.drifts),
    "sensor-spikes": Kind("device", "water_main_pressure", ONE, telemetry="spikes"),
    "sensor-dropout": Kind("device", "water_main_pressure", ONE, measured=False, telemetry="drops"),
    "wrong-unit": Kind("device", "water_main_pressure", ONE, telemetry="scales"),
    "clock-off": Kind("device", None, (), telemetry="clock"),
    "late-batch": Kind("device", None, (), measured=False, telemetry="late"),
    "duplicates": Kind("device", None, (), measured=False, telemetry="repeats"),
    "disorder": Kind("device", None, (), measured=False, telemetry="disorders"),
    "reboot-storm": Kind("device", None, (), measured=False, telemetry="reboots"),
}  # fmt: skip
