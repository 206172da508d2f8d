"""The figures of a report, one kind a file; each kind gives one plot a problem."""

import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

# isort: split
from collections.abc import Iterator

from bench.report.figures import (
    bias,
    budgets,
    efficiency,
    elbo,
    logit,
    rates,
    time,
    total,
    trajectory,
    variance,
)
from bench.report.figures.canvas import Plot
from bench.report.summary import Summary

KINDS = (variance, trajectory, logit, budgets, total, bias, elbo, rates, efficiency, time)


def plots(summary: Summary) -> Iterator[Plot]:
    """Every plot the records carry, kind by kind; their names are unique."""
    names: dict[str, int] = {}
    for kind in KINDS:
        for plot in kind.plots(summary):
            names[plot.name] = names.get(plot.name, 0) + 1
            count = names[plot.name]
            yield plot if count == 1 else plot._replace(name=f"{plot.name}-{count}")
