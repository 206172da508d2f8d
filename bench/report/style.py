"""How an estimator looks, alike in every figure of a report, and the type sizes of a paper column."""

import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

# isort: split
from collections import Counter
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import seaborn

from bench.report.text import DAGGER

# Seaborn's colour-blind safe palette without its pale pink and yellow, which vanish on white, and with black.
COLOURS = [seaborn.color_palette("colorblind").as_hex()[i] for i in (0, 1, 2, 3, 4, 9, 5, 7)] + ["#000000"]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")  # all of them can be drawn hollow

INK = "#222222"
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


def tint(colour: str, strength: float) -> str:
    """A hex colour mixed with white; strength 1 leaves it as it is."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - strength * (255 - channel)):02x}" for channel in channels)


def assign(problems: Mapping[str, Set[str]], unbiased: Mapping[str, bool]) -> dict[str, Style]:
    """A look for every estimator.

    In sorted order each label takes the colour and the marker least used among those it meets in a problem;
    no two labels share both while the 117 pairs last.

    Args:
        problems: problem -> the labels measured on it.
        unbiased: label -> whether it is declared unbiased, for all labels.
    """
    looks: dict[str, tuple[int, int]] = {}
    for label in sorted(unbiased):
        met = {other for members in problems.values() if label in members for other in members if other in looks}
        colours, markers = Counter(looks[o][0] for o in met), Counter(looks[o][1] for o in met)
        pairs = Counter(looks.values())
        looks[label] = min(
            ((c, m) for c in range(len(COLOURS)) for m in range(len(MARKERS))),
            key=lambda look: (pairs[look], colours[look[0]] + markers[look[1]], *look),
        )
    return {
        label: Style(label if unbiased[label] else f"{label} {DAGGER}", COLOURS[c], MARKERS[m], unbiased[label])
        for label, (c, m) in looks.items()
    }
