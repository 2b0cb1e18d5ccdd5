"""The weather over the city: a season that the scenario chooses, whatever the calendar says.

`fair`, where none is chosen, is a fair day of the heating season: heat must have work to do in every
demonstration. Air, sun, wind and rain drive the networks; each zone has its own station. Storms, fronts
and fog are faults (simulators/kinds.py) that change the sky of their zone before a network sees it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Sky, Wander, lagged, peaks

MEAN_AIR_C = 4.0
SEASONS = {"fair": (4.0, 4.0), "winter": (-3.0, 3.5), "spring": (12.0, 5.0), "summer": (27.0, 3.5),
           "autumn": (16.0, 4.5)}  # fmt: skip
"""Mean of the day and half its swing, Cel, near Qingdao's."""
RAIN_REPORT_S = 300
CLEAR_M = 16_000
LAGS_S = {"wet": 40 * 60, "river": 5 * 3600, "soaked": 24 * 3600}


class Air:
    """The sky over `zones` zones as a function of time."""

    def __init__(self, zones: int, rng: np.random.Generator, season: str = "fair") -> None:
        self._mean_c, self._swing_c = SEASONS[season]
        self._offset_c = rng.normal(0, 0.4, zones)
        self._breeze = rng.uniform(2.6, 3.4, zones)
        self._front = Wander(1, rng, (40_000, 160_000))
        self._gusty = Wander(zones, rng, (1800, 7200))

    def at(self, seconds: float, hour: float) -> Sky:
        sun = max(0.0, float(np.sin(np.pi * (hour - 6.5) / 11))) if 6.5 < hour < 17.5 else 0.0
        wave = -self._swing_c * np.cos(2 * np.pi * (hour - 3.0) / 24)
        air = self._mean_c + wave + 1.2 * self._front.at(seconds) + self._offset_c
        wind = self._breeze + 1.2 * peaks(hour, (14.5,), 2.5) + 0.4 * self._gusty.at(seconds)
        dry, clear = np.zeros((5, len(air))), np.ones(len(air))
        return Sky(self._mean_c, air, sun, wind, dry[0], dry[1], clear, *dry[2:])


class Ground:
    """Remembers rain: fills the lagged parts of a sky in place."""

    def __init__(self, zones: int) -> None:
        self._held = {name: np.zeros(zones) for name in LAGS_S}

    def take(self, sky: Sky, dt_s: float) -> None:
        for name, lag_s in LAGS_S.items():
            self._held[name] = lagged(self._held[name], sky.rain_mm_h, dt_s, lag_s)
            getattr(sky, name)[:] = self._held[name]


class WeatherNetwork(Network):
    name: ClassVar = "weather"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("weather_air_temp", 2, 300, "air-temp", 0.3),
        Planned("weather_humidity", 1, 600, "humidity", 3.0),
        Planned("weather_wind_speed", 2, 60, "wind-speed", 0.4),
        Planned("weather_wind_gust", 1, 60, "wind-gust", 0.5),
        Planned("weather_wind_direction", 1, 600, "wind-direction", 6.0),
        Planned("weather_rain", 2, RAIN_REPORT_S, "rain"),
        Planned("weather_visibility", 1, 300, "visibility"),
        Planned("weather_pressure", 1, 600, "air-pressure", 0.3),
    )

    def __init__(self, layout: Layout, rng: np.random.Generator) -> None:
        self._layout = layout
        self._slow = Wander(layout.size, rng, (20_000, 80_000))
        self._air_mass = Wander(1, rng, (90_000, 250_000))  # no front passes: 6 hPa in 3 h would be one

    def step(self, moment: Moment, dt_s: float) -> Floats:
        layout, slow = self._layout, self._slow.at(moment.seconds)
        sky, truth = moment.sky, np.zeros(layout.size)
        air, wind, wet = sky.air_c[layout.zone], sky.wind_ms[layout.zone], sky.wet[layout.zone]
        for category, at in layout.slices.items():
            match category:
                case "weather_air_temp":
                    truth[at] = air[at]
                case "weather_humidity":
                    truth[at] = np.clip(62 - 1.8 * (air[at] - sky.mean_c) + 2 * slow[at] + 4 * wet[at], 5, 99)
                case "weather_wind_speed":
                    truth[at] = wind[at]
                case "weather_wind_gust":
                    truth[at] = 1.4 * wind[at]
                case "weather_wind_direction":
                    truth[at] = 180 + 40 * slow[at]
                case "weather_rain":  # what fell since the report before
                    truth[at] = sky.rain_mm_h[layout.zone[at]] * RAIN_REPORT_S / 3600
                case "weather_visibility":
                    truth[at] = (CLEAR_M + 1500 * slow[at]) * sky.visibility[layout.zone[at]]
                case "weather_pressure":
                    mass = 1021 + 1.5 * self._air_mass.at(moment.seconds)
                    truth[at] = mass + sky.pressure_hpa[layout.zone[at]]
        return truth
