"""HJ 212-2017 as a station writes it: real-time uploads (2011) that ask for an answer, split before they
are too long.

A reading has the factor code of annex B where its quantity has one and it is the gateway's first, else a
code of the station's own. What is not sent: minutes, hours, days; equipment states; log-in.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulators.protocols.wire import crc_of_hj212, local

LONGEST_CONTENT = 800
CODES = {
    "weather_air_temp": "a01001",
    "weather_humidity": "a01002",
    "weather_pressure": "a01006",
    "weather_wind_speed": "a01007",
    "weather_wind_direction": "a01008",
    "air_pm25": "a34004",
    "air_pm10": "a34002",
    "air_o3": "a05024",
    "air_no2": "a21004",
    "air_so2": "a21026",
    "air_co": "a21005",
    "water_ph": "w01001",
}
_SCALES = {"weather_pressure": 0.1}  # hPa in the city, kPa in annex B
_CHAPTERS = {"weather_pressure": "kPa"}


def codes(categories: Sequence[str]) -> list[str]:
    """A factor code for each of a station's points, each once."""
    found: list[str] = []
    for number, category in enumerate(categories):
        code = CODES.get(category)
        found.append(code if code is not None and code not in found else f"x{number:05d}")
    return found


def scale(category: str, code: str) -> float:
    """What the city's value is multiplied by, where the code says another unit."""
    return _SCALES.get(category, 1.0) if CODES.get(category) == code else 1.0


def uploads(station: str, sent_us: int, time_us: int, readings: Sequence[tuple[str, str]]) -> list[bytes]:
    """(code, value) of one moment; as many frames as it takes."""
    moment = local(time_us).strftime("%Y%m%d%H%M%S")
    parts: list[list[str]] = [[]]
    for code, value in readings:
        item = f"{code}-Rtd={value},{code}-Flag=N"
        if parts[-1] and sum(len(one) + 1 for one in parts[-1]) + len(item) > LONGEST_CONTENT:
            parts.append([])
        parts[-1].append(item)
    frames = []
    for number, items in enumerate(parts):
        sent = local(sent_us).strftime("%Y%m%d%H%M%S") + f"{(sent_us // 1_000 + number) % 1_000:03d}"
        head = f"QN={sent};ST=22;CN=2011;PW=123456;MN={station};Flag=5;"
        frames.append(framed(f"{head}CP=&&DataTime={moment};{';'.join(items)}&&"))
    return frames


def framed(data: str) -> bytes:
    body = data.encode()
    return b"##%04d%b%04X\r\n" % (len(body), body, crc_of_hj212(body))


def answers(frame: bytes, heard: bytes) -> bool:
    """Whether what was heard is the data answer (9014) to this upload."""
    request = frame[6 : frame.index(b";")]
    return b"CN=9014" in heard and heard[6:].startswith(request + b";")


def length(heard: bytes) -> int | None:
    """Of the frame that begins here; None while it is not all there."""
    if len(heard) < 6:
        return None
    whole = 6 + int(heard[2:6]) + 6
    return whole if len(heard) >= whole else None
