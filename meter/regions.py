"""Regions and the price zones of the guide's price table."""

from typing import NamedTuple

MAINLAND = "Mainland China"
NORTH_AMERICA = "Silicon Valley, Virginia"
ASIA_EUROPE = "Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore"

#: The rows of the guide's price table, in its order.
ZONES = (MAINLAND, NORTH_AMERICA, ASIA_EUROPE)


class Region(NamedTuple):
    """One region: its code in outputs, its names, and the price zone it belongs to."""

    code: str
    english: str
    chinese: str
    zone: str


REGIONS = (
    Region("ap-beijing", "Beijing", "北京", MAINLAND),
    Region("ap-shanghai", "Shanghai", "上海", MAINLAND),
    Region("ap-guangzhou", "Guangzhou", "广州", MAINLAND),
    Region("ap-chengdu", "Chengdu", "成都", MAINLAND),
    Region("ap-chongqing", "Chongqing", "重庆", MAINLAND),
    Region("ap-nanjing", "Nanjing", "南京", MAINLAND),
    Region("na-siliconvalley", "Silicon Valley", "硅谷", NORTH_AMERICA),
    Region("na-ashburn", "Virginia", "弗吉尼亚", NORTH_AMERICA),
    Region("ap-mumbai", "Mumbai", "孟买", ASIA_EUROPE),
    Region("ap-seoul", "Seoul", "首尔", ASIA_EUROPE),
    Region("ap-bangkok", "Bangkok", "曼谷", ASIA_EUROPE),
    Region("ap-hongkong", "Hong Kong", "香港", ASIA_EUROPE),
    Region("ap-tokyo", "Tokyo", "东京", ASIA_EUROPE),
    Region("eu-frankfurt", "Frankfurt", "法兰克福", ASIA_EUROPE),
    Region("ap-singapore", "Singapore", "新加坡", ASIA_EUROPE),
)

#: What a completion may say -> the region as outputs say it. A zone's name stays as it is.
REGION_CODES: dict[str, str] = {
    **{zone: zone for zone in ZONES},
    **{name: region.code for region in REGIONS for name in (region.code, region.english, region.chinese)},
}

#: A region as outputs say it -> its price zone.
ZONE_OF: dict[str, str] = {
    **{zone: zone for zone in ZONES},
    **{region.code: region.zone for region in REGIONS},
}
