"""How an estimator looks, alike in every figure of every report, and the type sizes of a paper column.

A family of methods has a hue and a member of it a marker, by `looks.csv`, which is made of the registry
(CONTRIBUTING.md says how) and in which nobody ever moves. So an estimator looks alike whatever stands beside it, in a
run of any release. What the table does not list is looked up by a hash of its name.
"""

import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

# isort: split
import csv
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import seaborn

from bench.report.naming import without_samples
from bench.report.text import DAGGER

HUES = {
    "pathwise": "#006bb4",
    "score function": "#d64500",
    "control variate": "#c6a800",
    "coupled draws": "#0a9b6c",
    "local differences": "#51b5e9",
    "summation": "#321d8a",
    "relaxation": "#d976a7",
    "straight-through": "#a43f71",
}
"""Of a family of methods (`estimators.entry.Method`): after Okabe and Ito 2008, moved apart until any two of them
differ for the colour-blind too (by CIEDE2000, in the simulation of Machado, Oliveira and Fernandes 2009)."""
OTHER = "#444444"
"""The hue of what says nothing of its family."""
COLOURS = [*HUES.values(), OTHER]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")  # all of them can be drawn hollow
DARK = 0.6
"""What is left of a hue's lightness on the second round of its markers."""

LOOKS = Path(__file__).with_name("looks.csv")
COLUMNS = ("estimator", "method", "member")
"""Of `LOOKS`: `name[key=value,...]` without samples, its family, and its place there."""
INK = "#222222"
BEHIND = "#d4d4d4"  # of what a person did not choose
FAINT = "#bbbbbb"
FONT = 7  # points

RC: dict[str, Any] = {
    **seaborn.axes_style("ticks"),
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "text.parse_math": False,  # a label is text, whatever dollars it holds
    "pdf.fonttype": 42,
    "svg.hashsalt": "gradest",
    "text.hinting": "no_hinting",  # nothing to see of it at this density, and a tenth of the time of a png
    "savefig.dpi": 200,
}


class Style(NamedTuple):
    """The look of one estimator."""

    label: str  # as printed: with a dagger where biased
    colour: str
    marker: str
    unbiased: bool  # hollow marker where not
    behind: bool = False  # grey and unnamed behind those that a person chose


class Subject(NamedTuple):
    """All that the look of an estimator depends on."""

    estimator: str
    """`name[key=value,...]`."""
    unbiased: bool = True
    method: str | None = None
    """Its family of methods, as its tag says it; that of an estimator in the table counts for nothing."""


class Place(NamedTuple):
    """A row of the table of looks."""

    method: str
    member: int


@cache
def places() -> dict[str, Place]:
    """The table of looks, by estimator."""
    with LOOKS.open(newline="", encoding="utf-8") as file:
        return {row["estimator"]: Place(row["method"], int(row["member"])) for row in csv.DictReader(file)}


def tint(colour: str, strength: float) -> str:
    """A hex colour mixed with white; strength 1 leaves it as it is."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - strength * (255 - channel)):02x}" for channel in channels)


def shade(colour: str, strength: float) -> str:
    """A hex colour mixed with black; strength 1 leaves it as it is."""
    return "#" + "".join(f"{round(strength * int(colour[i : i + 2], 16)):02x}" for i in (1, 3, 5))


def look(subject: Subject) -> tuple[str, str]:
    """Colour and marker of an estimator, from itself alone: the same whatever its samples, in every run.

    Options that the table does not list have the hue of their estimator, on its second round of markers, and a marker
    by a hash; so has an estimator of a third party, whose hue is that of its tag `method`.
    """
    estimator = without_samples(subject.estimator)
    listed = places()
    of_name = listed.get(estimator.partition("[")[0])
    place = listed.get(estimator)
    if place is None:
        method = of_name.method if of_name else subject.method
        hashed = zlib.crc32(estimator.encode())
        member = len(MARKERS) + hashed % len(MARKERS) if method in HUES else hashed % (2 * len(MARKERS))
        place = Place(method or "", member)
    darker, marker = divmod(place.member, len(MARKERS))
    return shade(HUES.get(place.method, OTHER), DARK if darker else 1.0), MARKERS[marker]


def put_behind(style: Style) -> Style:
    """The look of an estimator that others are set before."""
    return style._replace(colour=BEHIND, behind=True)


def assign(subjects: Mapping[str, Subject]) -> dict[str, Style]:
    """The style of each estimator, by the label that a report gives it."""
    return {
        label: Style(label if subject.unbiased else f"{label} {DAGGER}", *look(subject), subject.unbiased)
        for label, subject in subjects.items()
    }
