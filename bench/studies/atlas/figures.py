"""Who wins where, and what each estimator's error does over sharpness, made of the table of the atlas alone."""

import string
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.atlas.table import Averaged
from bench.report.figures import marks
from bench.report.figures.canvas import (
    LINE,
    PAGE,
    Entry,
    Plot,
    blank,
    key,
    key_height,
    key_width,
    log_axis,
    log_limits,
    text_width,
)
from bench.report.style import COLOURS, FAINT, Style, Subject, assign, tint
from bench.report.text import number
from bench.studies.atlas.problems import SHOWN
from bench.studies.atlas.ranks import BUDGETS, FLOOR, SEVERAL, Cells, levels, typical, unbiased, winner

SHAPES = {"bernoulli": "4", "categorical": "2x3", "gaussian": "2"}
"""Of the lines, by family."""
MOST_LINES = 12
SWEPT = {
    "bernoulli": "|logit| of every latent",
    "categorical": "logit of each latent's favoured class",
    "gaussian": "s, of scales 2 / 10^(s/8)",
}
LATENTS = {"bernoulli": "{} bits", "categorical": "{} (latents x classes)", "gaussian": "{} numbers"}
ALIKE = f"objective {SHOWN}; exact, by integrals over the noise: there are no error bars"


def plots(averages: Sequence[Averaged]) -> Iterator[Plot]:
    """Three plots a family: winners, deviations of the unbiased, biases of the biased."""
    cells = unbiased(averages)
    spent = " and ".join(map(str, BUDGETS))
    for family in dict.fromkeys(problem[0] for problem, _ in cells):
        yield Plot(
            f"winners-{family}",
            family,
            f"The unbiased estimator with the least standard deviation at {spent} evaluations of f, {family} q over "
            f"its {SWEPT[family]} and the number of latents; {ALIKE}. Letter and colour name the estimator, the number "
            "is its standard deviation relative to the length of the exact gradient. No number: it has no noise. "
            "White: none that takes so few evaluations was integrated. Of a tie, the first by name. An estimator that "
            "could not be integrated at a point is not compared there, so that one that wins at single points of a row "
            "may be the best at others too.",
            partial(winners, cells, family),
        )
        size = LATENTS[family].format(SHAPES[family])
        own = [a for a in averages if a.of.family == family and a.of.latents == SHAPES[family]]
        chosen = typical(averages, family, SHAPES[family], MOST_LINES)
        if chosen:
            yield Plot(
                f"deviation-{family}",
                family,
                f"Standard deviation relative to the length of the exact gradient over the {SWEPT[family]}, q of "
                f"{size}, at {spent} evaluations of f; {ALIKE}. At most {MOST_LINES} unbiased estimators with their "
                f"defaults, those of the best mean rank at {max(BUDGETS)} evaluations; one that needs more evaluations "
                "than a panel's is absent from it.",
                partial(_deviations, own, chosen, SWEPT[family]),
            )
        biased = [a for a in own if not a.of.unbiased and not a.of.options and a.f_evals == min(BUDGETS)]
        if any(not a.of.reason and a.of.bias > FLOOR and a.of.objective == SHOWN for a in biased):
            yield Plot(
                f"bias-{family}",
                family,
                f"Length of the bias relative to that of the exact gradient over the {SWEPT[family]}, q of {size}, of "
                f"the estimators declared biased, with their defaults; {ALIKE}. 1 is the bias of the estimate 0.",
                partial(_biases, biased, SWEPT[family]),
            )


def winners(cells: Cells, family: str) -> Figure:
    """A panel for each number of evaluations, coloured by the best estimator."""
    latents, sharpness = levels(cells, family)
    best = {
        (budget, shape, level): winner(found)
        for budget in BUDGETS
        for shape in latents
        for level in sharpness
        if (found := cells.get(((family, shape, SHOWN, level), budget)))
    }
    labels = sorted({label for label, _ in best.values()} - {SEVERAL})
    colours = {label: tint(COLOURS[i % len(COLOURS)], 0.45) for i, label in enumerate(labels)}
    letters = dict(zip(labels, string.ascii_uppercase, strict=False))
    if any(label == SEVERAL for label, _ in best.values()):
        labels, colours[SEVERAL], letters[SEVERAL] = [*labels, SEVERAL], "#dddddd", "0"
    entry = text_width(labels) + 0.36
    across = max(1, int((PAGE - 0.5) / entry))
    below = 0.42 + LINE * 1.5 * -(-len(labels) // across)
    figure, axes = blank(PAGE, 0.27 * len(latents) + below + 0.26, 0.42, 0.08, below, 0.26, len(BUDGETS))
    for panel, budget in zip(axes, BUDGETS, strict=True):
        for row, shape in enumerate(latents):
            for column, level in enumerate(sharpness):
                label, deviation = best.get((budget, shape, level), ("", 0.0))
                colour = colours.get(label, "white")
                panel.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=1))
                if label:
                    text = f"{letters[label]}\n{number(deviation, 2)}" if deviation else letters[label]
                    panel.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=5.5, linespacing=1.05)
        panel.set(xlim=(0, len(sharpness)), ylim=(len(latents), 0))
        panel.set_xticks(np.arange(len(sharpness)) + 0.5, labels=[f"{level:g}" for level in sharpness])
        panel.set_yticks(np.arange(len(latents)) + 0.5, labels=latents if panel is axes[0] else [])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        panel.set_xlabel(SWEPT[family])
        panel.set_title(f"{budget} evaluations of f", loc="left", pad=3)
    axes[0].set_ylabel("latents")
    height = figure.get_figheight()
    for i, label in enumerate(labels):
        x, y = 0.42 + entry * (i % across), below - 0.42 - LINE * 1.5 * (i // across) - LINE / 2
        at = (x / PAGE, (y - 0.06) / height)
        box = Rectangle(at, 0.16 / PAGE, 0.12 / height, facecolor=colours[label], transform=figure.transFigure)
        figure.add_artist(box)
        figure.text((x + 0.08) / PAGE, y / height, letters[label], ha="center", va="center_baseline", fontsize=5.5)
        figure.text((x + 0.22) / PAGE, y / height, label, va="center_baseline")
    return figure


def _deviations(own: Sequence[Averaged], chosen: Sequence[str], swept: str) -> Figure:
    looks = assign({label: Subject(label) for label in chosen})
    panels = [
        (f"{budget} evaluations of f", [a for a in own if a.f_evals == budget and a.of.label in looks])
        for budget in BUDGETS
    ]
    return _lines(panels, looks, lambda a: a.deviation, swept, "standard deviation / gradient's length")


def _biases(own: Sequence[Averaged], swept: str) -> Figure:
    names = {a.of.label for a in own if not a.of.reason and a.of.objective == SHOWN and a.of.bias > FLOOR}
    looks = assign({label: Subject(label, unbiased=False) for label in sorted(names)})
    panels = [("", [a for a in own if a.of.label in looks])]
    return _lines(panels, looks, lambda a: a.of.bias, swept, "bias / gradient's length")


def _lines(
    panels: Sequence[tuple[str, list[Averaged]]],
    looks: dict[str, Style],
    value: Callable[[Averaged], float],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Lines over sharpness, which is spread like its square root: most levels are small."""
    top = 0.24 if len(panels) > 1 else 0.08
    beside = key_width(looks.values())
    height = max(2.4, key_height(looks.values()) + 0.36 + top)
    width = PAGE if len(panels) > 1 else 3.0 + beside
    figure, axes = blank(width, height, 0.66, beside, top=top, panels=len(panels))
    shown = [[a for a in own if a.of.objective == SHOWN and not a.of.reason] for _, own in panels]
    limits = log_limits([value(a) for own in shown for a in own if value(a) > FLOOR])
    ends: list[Entry] = []
    for panel, (title, _), own in zip(axes, panels, shown, strict=True):
        log_axis(panel, "y", *limits)
        ends = _curves(panel, own, looks, value)
        panel.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
        panel.set_title(title, loc="left", pad=3)
        panel.set_xlabel(xlabel)
        if panel is not axes[0]:
            panel.set_yticklabels([])
    axes[0].set_ylabel(ylabel)
    key(axes[-1], ends)
    return figure


def _curves(
    panel: Axes, own: Sequence[Averaged], looks: dict[str, Style], value: Callable[[Averaged], float]
) -> list[Entry]:
    sharpness = sorted({a.of.sharpness for a in own})
    ends = []
    for label, style in looks.items():
        points = [(a.of.sharpness**0.5, value(a)) for a in own if a.of.label == label and value(a) > FLOOR]
        if points:
            points.sort()
            marks.strokes(panel, [np.array(points)], [style.colour], 0.9)
            marks.glyphs(panel, [marks.Glyph(x, y, style, 3.4) for x, y in points])
            ends.append(Entry(style, points[-1][1]))
    panel.set_xlim(-0.12, max(sharpness) ** 0.5 + 0.12)
    panel.set_xticks([level**0.5 for level in sharpness], labels=[f"{level:g}" for level in sharpness])
    return ends
