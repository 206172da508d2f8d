"""Figures that a person questions on the page: their data, beside specifications that all of a kind share.

A chart stands in the place of a figure of the same quantity on the same problem; a figure without one stays a picture.
"""

from dataclasses import replace
from typing import Any

import pandas as pd

from bench.report.charts import kinds
from bench.report.charts.values import Chart
from bench.report.charts.words import words
from bench.report.facts import Facts
from bench.report.figures import phrases
from bench.report.figures.canvas import Plot
from bench.report.summary import Summary
from bench.report.text import slug

__all__ = ["Chart", "charts", "specifications", "words"]


def charts(plots: list[Plot], summary: Summary, facts: Facts) -> dict[str, Chart]:
    """The charts of a report, by the names of the figures whose places they take."""
    found: dict[str, Chart] = {}
    for plot in plots:
        kind = plot.name.partition(f"-{slug(plot.section)}")[0]
        if kind in kinds.KINDS and (chart := kinds.KINDS[kind](summary, plot.section, facts)):
            names = (
                _names(getattr(summary, kinds.NAMED_BY[kind]), plot.section, summary, facts)
                if kind in kinds.NAMED_BY
                else {}
            )
            found[plot.name] = replace(chart, names=names)
    return found


def _names(frame: pd.DataFrame, section: str, summary: Summary, facts: Facts) -> dict[int, str]:
    """Names that say more than those of the report, as the captions expect them: with evaluations of f."""
    looks = phrases.looks(frame[frame["section"] == section], summary.styles)
    named = {place: looks[label].label for label, place in facts.place.items()}
    return {place: name for place, name in named.items() if name != facts.known[place].label}


def specifications() -> dict[str, Any]:
    """The Vega-Lite specifications that charts share, by the name of their frame."""
    from bench.report.charts import specs  # Altair takes a quarter of a second to import

    return specs.frames()
