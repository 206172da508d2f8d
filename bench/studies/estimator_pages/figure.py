"""The figure of a page: exact deviation, and bias where there is one, over sharpness, beside the references'."""

import io
import re
from collections.abc import Sequence

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.atlas.table import Averaged
from bench.report.figures.canvas import log_axis, log_limits
from bench.report.matplotlib_alone import own_settings
from bench.report.style import FAINT, RC, Subject, look
from bench.report.text import plural
from bench.studies.atlas.figures import SWEPT
from bench.studies.atlas.ranks import FLOOR
from bench.studies.estimator_pages.moments import Beside

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 3.0, 2.1, 0.56, 0.4, 0.22
"""Inches of a panel, and of its margins."""
# A label stays text, in whatever font the reader has: as outlines it would be most of the file.
SETTINGS = {**RC, "svg.fonttype": "none", "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8}
FAMILIES = ("system-ui", "sans-serif")
DASHES = ("--", ":")
"""Of the references, the family's own first; colours are those that an estimator has in every figure."""


def svg(name: str, found: Sequence[Beside]) -> bytes:
    """The figure as a file, the same bytes for the same numbers: a panel a family."""
    with own_settings(SETTINGS):
        width = WIDTH * len(found)
        figure = Figure(figsize=(width, HEIGHT))
        for number, beside in enumerate(found):  # each with room for its own scale
            place = ((number * WIDTH + LEFT) / width, BOTTOM / HEIGHT)
            panel = figure.add_axes((*place, (WIDTH - LEFT - 0.08) / width, (HEIGHT - BOTTOM - TOP) / HEIGHT))
            seaborn.despine(ax=panel)
            _panel(panel, name, beside)
        figure.axes[0].set_ylabel("deviation / gradient's length")
        return _bytes(figure)


def _panel(panel: Axes, name: str, beside: Beside) -> None:
    curves = [(name, "-", _colour(name), _deviations(beside.own), 1.6)]
    biases = {level: average.of.bias for level, average in beside.own.items()}
    if any(average.of.bias > FLOOR and not average.of.unbiased for average in beside.own.values()):
        curves.append((f"{name}, bias", "-.", _colour(name), biases, 1.0))
    for (other, own), dash in zip(reversed(beside.references.items()), DASHES, strict=False):
        curves.append((other, dash, _colour(other), _deviations(own), 1.0))
    shown = [value for *_, values, _ in curves for value in values.values() if value > FLOOR]
    log_axis(panel, "y", *log_limits(shown))
    for label, dash, colour, values, width in curves:
        points = sorted((level**0.5, value) for level, value in values.items() if value > FLOOR)
        if points:
            panel.plot(*zip(*points, strict=True), dash, color=colour, linewidth=width, label=label)
    levels = sorted({level for *_, values, _ in curves for level in values})
    ticks = [level for level in levels if level in (0, 1, 3, 6, 10, 15)]
    panel.set_xticks([level**0.5 for level in ticks], labels=[f"{level:g}" for level in ticks])
    panel.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.6)
    panel.set_title(f"{beside.family} {beside.latents}, {plural(beside.f_evals, 'evaluation')} of f", loc="left", pad=3)
    panel.set_xlabel(SWEPT[beside.family])
    panel.legend(frameon=False, handlelength=1.8, borderpad=0.1, labelspacing=0.2)


def _colour(name: str) -> str:
    return look(Subject(name))[0]


def _deviations(found: dict[float, Averaged]) -> dict[float, float]:
    return {level: average.deviation for level, average in found.items()}


def _bytes(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _small(buffer.getvalue().decode()).encode()


def _small(text: str) -> str:
    """The same picture in a third of the letters: each style once, and no digits beyond a hundredth of a point."""
    text = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"|<g id="[^"]*"(?=>)', lambda f: "<g" * f[0].startswith("<"), text)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    styles = {style: f"s{n}" for n, style in enumerate(dict.fromkeys(re.findall(r' style="([^"]*)"', text)))}
    text = re.sub(r' style="([^"]*)"', lambda found: f' class="{styles[found[1]]}"', text)
    rules = f"text{{font-family:{','.join(FAMILIES)}}}" + "".join(f".{n}{{{style}}}" for style, n in styles.items())
    text = re.sub(r'<style type="text/css">', lambda found: f"<style>{rules}", text)
    return re.sub(r"\s*\n\s*", "\n", text)
