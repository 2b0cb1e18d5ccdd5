"""The weather over the city: a fair day of the heating season, whatever the calendar says.

The heating network must have work to do in every demonstration, so the air swings about a few degrees
above zero. Air temperature, sun and wind drive heat and bridges; each zone has its own station.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from simulators.network import Floats, Layout, Moment, Network, Planned, Sky, Wander, peaks

MEAN_AIR_C = 4.0


class Air:
    """The sky over `zones` zones as a function of time."""

    def __init__(self, zones: int, rng: np.random.Generator) -> None:
        self._offset_c = rng.normal(0, 0.4, zones)
        self._breeze = rng.uniform(2.6, 3.4, zones)
        self._front = Wander(1, rng, (40_000, 160_000))
        self._gusty = Wander(zones, rng, (1800, 7200))

    def at(self, seconds: float, hour: float) -> Sky:
        sun = max(0.0, float(np.sin(np.pi * (hour - 6.5) / 11))) if 6.5 < hour < 17.5 else 0.0
        wave = -4.0 * np.cos(2 * np.pi * (hour - 3.0) / 24)
        air = MEAN_AIR_C + wave + 1.2 * self._front.at(seconds) + self._offset_c
        wind = self._breeze + 1.2 * peaks(hour, (14.5,), 2.5) + 0.4 * self._gusty.at(seconds)
        return Sky(air, sun, wind)


class WeatherNetwork(Network):
    name: ClassVar = "weather"
    gateways_per_zone: ClassVar = 1
    plan: ClassVar = (
        Planned("weather_air_temp", 2, 300, "air-temp", 0.3),
        Planned("weather_humidity", 1, 600, "humidity", 3.0),
        Planned("weather_wind_speed", 2, 60, "wind-speed", 0.4),
        Planned("weather_wind_gust", 1, 60, "wind-gust", 0.5),
        Planned("weather_wind_direction", 1, 600, "wind-direction", 6.0),
        Planned("weather_rain", 2, 300, "rain"),
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
        air, wind = sky.air_c[layout.zone], sky.wind_ms[layout.zone]
        for category, at in layout.slices.items():
            match category:
                case "weather_air_temp":
                    truth[at] = air[at]
                case "weather_humidity":
                    truth[at] = 62 - 1.8 * (air[at] - MEAN_AIR_C) + 2 * slow[at]
                case "weather_wind_speed":
                    truth[at] = wind[at]
                case "weather_wind_gust":
                    truth[at] = 1.4 * wind[at]
                case "weather_wind_direction":
                    truth[at] = 180 + 40 * slow[at]
                case "weather_visibility":
                    truth[at] = 16_000 + 1500 * slow[at]
                case "weather_pressure":
                    truth[at] = 1021 + 1.5 * self._air_mass.at(moment.seconds)
        return truth
