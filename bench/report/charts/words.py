"""A figure in words, for those who do not see it."""

from bench.report.charts.values import Chart
from bench.report.facts import Facts
from bench.report.text import number, plural

_NAMES = 3
_FORMS = {"dots": "Dot plot", "scatter": "Scatter plot"}


def words(chart: Chart, problem: str, facts: Facts) -> str:
    """What a chart shows, and who is best and worst at its last place."""
    form = _FORMS.get(chart.frame, "Line plot")
    against = f" against {chart.place}" if chart.place else ""
    size = plural(len(set(chart.e)), "estimator")
    said = f"{form} of {chart.value}{against} on {problem}, {size}"
    ends = _ends(chart)
    if not ends:
        return f"{said}."
    ordered = sorted(ends.items(), key=lambda pair: pair[1], reverse=chart.best == "highest")
    named = [f"{chart.names.get(e, facts.known[e].label)} {number(value)}" for e, value in ordered]
    place = "at the end " if chart.frame.startswith("lines") else ""
    place = f"at {chart.points[-1]} " if chart.frame == "dots" and chart.points[-1] else place
    worst = "lowest" if chart.best == "highest" else "highest"
    more = f"; {worst} {named[-1]}" if len(named) > _NAMES else ""
    return f"{said}: {place}{chart.best} {'; '.join(named[:_NAMES])}{more}."


def _ends(chart: Chart) -> dict[int, float]:
    """The value of each estimator at its last place; for dots, at the last point alone."""
    last: dict[int, tuple[float, float]] = {}
    for i, (e, value) in enumerate(zip(chart.e, chart.y, strict=True)):
        place = chart.x[i] if chart.frame.startswith("lines") else chart.p[i]
        if value is None or place is None or (chart.part and chart.part[i] != "test set"):
            continue
        if chart.frame == "dots" and chart.p[i] != len(chart.points) - 1:
            continue
        if e not in last or place >= last[e][0]:
            last[e] = (float(place), value)
    return {e: value for e, (_, value) in last.items()}
