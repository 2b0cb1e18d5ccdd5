"""Units of HJ 212 factor codes: annex B of the 2017 edition, with its column of 2005 codes.

For each code the unit of the concentration, and the unit of the emitted amount (`-Cou`) where annex B has
one. PM2.5 and PM10 are given in ug/m3 as everybody sends them; annex B prints ng/m3. Codes that annex B does
not list have no unit, O3 (a05024) among them. Process codes (e..., g...) end in a serial number that is not
looked at.
"""

from __future__ import annotations

_WATER = {
    # unit, unit of the amount: "code" or "code/2005 code"
    ("L/s", "m3"): "w00000/B01",
    ("[pH]", None): "w01001/001",
    ("mg/L", None): "w01009",
    ("Cel", None): "w01010",
    ("uS/cm", None): "w01014",
    ("/L", None): "w02003/550 w02006",
    ("Bq/L", None): "w03001/570 w03002/571",
    ("ng/L", "mg"): "w20089/041 w20113/021 w33001/350 w33007/351",
    ("ug/L", "g"): (
        "w20111/020 w20115/022 w20117/024 w20119/026 w20120/027 w20127/034 w20128/035 w20142 w20143 "
        "w25043/540"
    ),
    ("mg/L", "kg"): (
        "w01006 w01012/003 w01017/010 w01018/011 w01019 w01020/015 w19001 w19002/520 w20012/039 "
        "w20023/037 w20038/040 w20061/038 w20092/036 w20116/023 w20121/028 w20122/029 w20123/030 "
        "w20124/031 w20125/032 w20126/033 w20138 w20139 w20140 w20141 w20144 w21001/065 w21003/060 "
        "w21004/062 w21006/063 w21007/064 w21011/101 w21016/070 w21017/072 w21019/071 w21022/090 "
        "w21038 w22001/080 w23002/110 w99001/061"
    ),
}
_AIR = {
    ("m3/s", "m3"): "a00000/B02",
    ("Cel", None): "a01001 a01012/S03 a01015/S06 a01901 a01902",
    ("%", None): "a01002 a01014/S05 a19001/S01",
    ("kPa", None): "a01006 a01013/S08 a01017/S04",
    ("m/s", None): "a01007 a01011/S02",
    ("deg", None): "a01008",
    ("m2", None): "a01016/S07",
    ("t/km2/mo", None): "a34011",
    ("ug/m3", "g"): "a34002 a34004",
    ("ng/m3", "g"): "a05002 a20007 a20026 a20044 a20058 a21001/10 a34001 a34005",
    ("mg/m3", "kg"): (
        "a05001/30 a05008 a05009 a05013 a20016/36 a20025/33 a20043/32 a20057/31 a20063/35 a20091/34 "
        "a21002/03 a21003 a21004 a21005/04 a21017/07 a21018/06 a21022/11 a21024/08 a21026/02 "
        "a21028/05 a23001/27 a24003 a24004 a24005 a24006 a24007 a24008 a24009 a24015 a24016 a24017 "
        "a24018 a24019 a24020 a24027 a24034 a24036 a24042 a24043 a24046/29 a24047 a24049 a24050 "
        "a24053 a24054 a24072 a24078 a24087/25 a24088 a24099 a24110 a24111 a24112 a24113 a25002 "
        "a25003/17 a25004 a25005/18 a25006 a25007 a25008 a25010/23 a25011 a25012 a25013 a25014 a25015 "
        "a25019 a25020 a25021 a25023/22 a25038 a25044/20 a25072 a26001/21 a29017 a29026 a30001/28 "
        "a30008 a30022/13 a31001/19 a31002/26 a31024 a31025 a31030 a34013/01 a34017 a34038/09 "
        "a34039/14 a34040/15 a99010 a99049/24 a99051/12"
    ),
    ("dB", None): "LA L5 L10 L50 L90 L95 Leq Ldn Ld Ln LMx LMn",
}
_PROCESS = {
    "L/s": "e101 e201",
    "mg/L": (
        "e102 e103 e104 e105 e202 e203 e204 e303 e304 e305 e313 e403 e404 e405 e406 e418 e504 e505 "
        "e506 e507 e517 e603 e604 e703 e704 e803 e804"
    ),
    "[pH]": "e106 e205 g111",
    "A": (
        "e301 e302 e306 e307 e310 e401 e402 e407 e408 e411 e501 e502 e508 e509 e601 e602 e605 e606 "
        "e609 e610 e701 e702 e705 e707 e801 e802 e805 g102 g104 g106 g108 g113 g118 g201 g202 g207 "
        "g208 g209 g210 g211 g301 g303 g305"
    ),
    "kg": "e308 e309 e409 e410 e510 e607 e608 e706",
    "m": "e312 e416 e417 e515 e516 e616 e617 e709 e710",
    "mV": "e314 e414 e415 e513 e514 e614",
    "m3/h": "g110 g122 g130",
    "kg/m3": "g115",
    "deg": "g116 g307",
    "%": "g121 g126 g128 g129 g134 g212",
    "Pa": "g204",
    "Cel": "g123 g131 g205",
    "/min": "g206",
    "kPa": "g125 g133 g308",
    "mg/m3": "g120 g124 g127 g132",
}
_SITE = {
    "min": "i13003 i13005",
    "s": "i33107",
    "Cel": "i13004 i33001 i33002 i33101",
    "kPa": "i23001 i33104 i33105 i33106",
    "V": "i33103",
    "A": "i33200",
    "kW.h": "i33201 i33202",
    "%": "i33400",
}


def _codes(
    *tables: dict[tuple[str, str | None], str],
) -> dict[str, tuple[str, str | None]]:
    return {
        code: units
        for table in tables
        for units, codes in table.items()
        for pair in codes.split()
        for code in pair.split("/")
    }


_COUNTS = frozenset({"ValidNum", "TotalNum"})
_UNITS = _codes(_WATER, _AIR)
_PLAIN = {
    code: unit for table in (_PROCESS, _SITE) for unit, codes in table.items() for code in codes.split()
}


def unit_of(code: str, suffix: str) -> str | None:
    """The unit of a code's field; numbers of samples have none.

    >>> unit_of("w01018", "Avg"), unit_of("w01018", "Cou"), unit_of("060", "Rtd"), unit_of("e10101", "Rtd")
    ('mg/L', 'kg', 'mg/L', 'L/s')
    """
    if suffix in _COUNTS:
        return None
    found = _UNITS.get(code)
    if found is not None:
        return found[1] if suffix == "Cou" else found[0]
    if len(code) == 6 and code[0] in "eg":
        return _PLAIN.get(code[:4])
    return _PLAIN.get(code)
