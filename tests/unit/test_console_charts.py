"""What charts and bars say by colour and length: colours that are told apart, parts that are parts of the sum."""

import math
import re
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

from meter.regions import REGIONS, ZONES
from streams.http.console.views import shares
from streams.store.queries.usage import Usage

CSS = (Path(__file__).parents[2] / "streams/http/console/static/console.css").read_text()
#: How far two colours of a chart are from each other, in OKLab; 0.02 is what an eye just sees beside each other.
LEAST_APART, LEAST_CONTRAST = 0.08, 3.0
LIGHT, DARK = 0, 1
SURFACE = {LIGHT: "#ffffff", DARK: "#14171e"}


def colours(theme: int) -> dict[int, str]:
    pairs = re.findall(r"--region-(\d+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS)
    return {int(number): pair[theme] for number, *pair in pairs}


def token(name: str, theme: int) -> str:
    """The colour of a name of the style sheet, as #rrggbb."""
    found = re.search(rf"--{name}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\);", CSS)
    assert found is not None
    return found[1 + theme]


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def oklab(colour: str) -> tuple[float, float, float]:
    """Where a colour is for an eye, by Björn Ottosson's OKLab."""
    red, green, blue = linear(colour)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def contrast(one: str, other: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    light = [sum(w * part for w, part in zip(weights, linear(each), strict=True)) + 0.05 for each in (one, other)]
    return max(light) / min(light)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_all_colours_of_a_chart_can_be_told_apart_and_seen(theme: int) -> None:
    found = colours(theme)
    assert set(found) == set(range(1 + len(ZONES) + len(REGIONS)))
    near = {pair: math.dist(oklab(found[pair[0]]), oklab(found[pair[1]])) for pair in combinations(found, 2)}
    assert {pair: how for pair, how in near.items() if how < LEAST_APART} == {}
    assert {at: it for at, it in found.items() if contrast(it, SURFACE[theme]) < LEAST_CONTRAST} == {}
    assert f"--surface: light-dark({SURFACE[LIGHT]}, {SURFACE[DARK]});" in CSS


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(("rule", "grounds"), [(r"\.chips", ("bg", "surface")), (r"meter\.share", ("surface",))])
def test_a_track_stands_out_from_what_it_lies_on(rule: str, grounds: tuple[str, ...], theme: int) -> None:
    """Of a row of choices and of a share's bar: its background or its outline."""
    found = re.search(rf"^{rule} {{(.*?)}}", CSS, re.MULTILINE | re.DOTALL)
    assert found is not None
    used = [token(name, theme) for name in re.findall(r"var\(--([a-z-]+)\)", found[1])]
    assert all(max(contrast(one, token(ground, theme)) for one in used) > 1.15 for ground in grounds)


def test_a_regions_share_is_of_the_sum() -> None:
    used = [Usage("2019-01-01", region, 1, 60, Decimal(amount)) for region, amount in (("b", "1.50"), ("a", "4.50"))]
    assert [(part.region, part.percent) for part in shares(used)] == [("a", 75), ("b", 25)]
    assert [part.percent for part in shares([used[0]._replace(amount=Decimal(0))])] == [0]
