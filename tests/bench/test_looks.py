"""The looks of estimators: alike in every figure, report and release, and told apart by the colour-blind."""

import random
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import estimators
from bench.report.style import HUES, LOOKS, MARKERS, OTHER, Style, Subject, assign, look, places, shade
from bench.report.summary import summarise
from bench.studies.looks import labels, made
from estimators.entry import Method
from tests.bench.drawn import cell, point
from tests.bench.records import Record, problem, quick

# Machado, Oliveira and Fernandes 2009, A physiologically-based model for simulation of color vision deficiency, table 1
# at severity 1.0: of linear red, green and blue.
SEEN = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = XYZ.sum(1)
Values = NDArray[np.float64]


def lab(colour: str, seen: Values) -> Values:
    """CIE L*a*b* of a hex colour of sRGB, as an eye sees it."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    x = XYZ @ np.clip(seen @ linear, 0, 1) / WHITE
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: Values, other: Values) -> float:
    """CIEDE2000 (Sharma, Wu and Dalal 2005) between two colours in L*a*b*; of 1 the eye may see it, side by side."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7)))
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = h1 + turn / 2 if c1 * c2 else h1 + h2
    dh, c, light = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)), (c1 + c2) / 2, (l1 + l2) / 2 - 50
    cos = [w * np.cos(np.radians(k * hue - at)) for w, k, at in
           ((-0.17, 1, 30), (0.24, 2, 0), (0.32, 3, -6), (-0.2, 4, 63))]  # fmt: skip
    sl, sc, sh = 1 + 0.015 * light**2 / np.sqrt(20 + light**2), 1 + 0.045 * c, 1 + 0.015 * c * (1 + sum(cos))
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue % 360 - 275) / 25) ** 2))))
    return float(
        np.sqrt(((l2 - l1) / sl) ** 2 + ((c2 - c1) / sc) ** 2 + (dh / sh) ** 2 + rotation * (c2 - c1) / sc * dh / sh)
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),  # pairs 1, 13 and 25 of the authors' test data
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_the_difference_is_that_of_its_authors(one: Values, other: Values, expected: float) -> None:
    assert difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("eye", SEEN)
def test_whoever_shares_a_marker_differs_in_colour_for_the_colour_blind_too(eye: str) -> None:
    hues = [lab(colour, SEEN[eye]) for colour in (*HUES.values(), OTHER)]
    assert min(difference(*pair) for pair in combinations(hues, 2)) > 13
    by_marker: dict[str, set[str]] = {}
    for label in places():
        colour, marker = look(Subject(label))
        by_marker.setdefault(marker, set()).add(colour)
    assert len(by_marker) == len(MARKERS)
    shown = {colour: lab(colour, SEEN[eye]) for colours in by_marker.values() for colour in colours}
    near = [difference(shown[a], shown[b]) for colours in by_marker.values() for a, b in combinations(colours, 2)]
    assert min(near) > 8  # with the darker ones of the second round


def test_the_table_of_looks_is_what_the_registry_makes_of_it() -> None:
    before = LOOKS.read_text()
    entries = estimators.available()
    assert made(before, entries) == before
    listed = places()
    assert {label: entry.method for label, entry in labels(entries).items()} == {
        label: place.method for label, place in listed.items() if label in labels(entries)
    }
    assert set(HUES) == set(get_args(Method))


def test_no_two_estimators_look_alike_and_those_of_one_family_share_a_hue() -> None:
    everyone = {label: look(Subject(label)) for label in places()}
    assert len(set(everyone.values())) == len(everyone)
    for label, (colour, _) in everyone.items():
        hue = HUES[places()[label].method]
        assert colour in (hue, shade(hue, 0.6)), label
    first = {label: everyone[label] for label in everyone if "[" not in label}
    assert all(colour == HUES[places()[label].method] for label, (colour, _) in first.items())  # none needs a shade


def test_who_comes_and_goes_changes_nobodys_look() -> None:
    entries = estimators.available()
    before = made("", entries[::2])
    after = made(before, entries)
    assert set(before.splitlines()) < set(after.splitlines())
    assert made(after, entries[1::2]) == after  # those that leave keep their places

    def styles(found: list[Record]) -> dict[str, Style]:
        return summarise(found).styles

    every = quick()
    whole = styles(every)
    rng = random.Random(0)
    for _ in range(3):
        chosen = set(rng.sample(sorted(whole), 3))
        kept = [one for one in every if one["config"]["estimator"]["label"] in chosen]
        assert styles(kept).items() <= whole.items()


def test_options_samples_and_strangers_have_a_look_of_their_own() -> None:
    rloo, vermilion = look(Subject("rloo")), HUES["score function"]
    assert rloo == look(Subject("rloo[samples=4]")) == (vermilion, "s")  # the same one at every budget
    assert look(Subject("gumbel-sigmoid[temperature=0.7]"))[0] == shade(HUES["relaxation"], 0.6)  # an option of no tag
    assert look(Subject("mine:Mine"))[0] in (OTHER, shade(OTHER, 0.6))
    assert look(Subject("mine:Mine", method="pathwise"))[0] == shade(HUES["pathwise"], 0.6)
    assert look(Subject("rloo", method="pathwise")) == rloo  # the table speaks for those that are in it
    assert look(Subject("mine:Mine", method="alchemy"))[0] in (OTHER, shade(OTHER, 0.6))


def test_a_strangers_method_comes_by_its_record() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    one = cell("moments", toy, "mine:Mine", {"points": [point((3, 2, 4))]})
    one["tags"] |= {"method": "coupled draws"}
    (style,) = summarise([one]).styles.values()
    assert style == assign({"mine:Mine": Subject("mine:Mine", method="coupled draws")})["mine:Mine"]
    assert style.colour == shade(HUES["coupled draws"], 0.6)
