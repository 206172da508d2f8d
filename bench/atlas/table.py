"""The atlas as data: what was integrated, a row for each number of samples, and estimators at equal evaluations of f.

An average of r independent estimates costs r times the evaluations and has exactly 1 / r of the variance, with the
same bias, so that the integrals at a few numbers of samples are all that is kept. To read them needs neither torch nor
pandas.
"""

import csv
import gzip
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SHARPNESS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0)
"""Of q: |logit| of all latents or, for Gaussians, s with scale 2 / 10^(s/8)."""
EVALUATIONS = (1, 2, 3, 4, 6, 8)
"""Evaluations of f at which estimators are compared."""
PUBLISHED = Path(__file__).with_name("integrals.csv.gz")
"""The table that comes with the package."""


class Integral(NamedTuple):
    """An estimator's exact moments on one problem, or why they were not found."""

    estimator: str
    """Its name."""
    options: str
    """As a person types them, without samples; empty for the defaults."""
    unbiased: bool
    """Whether it is declared so with these options."""
    needs: str
    """What it asks of f beyond its values: gradient of f, relaxed f, neither; empty where its tag does not say."""
    settled: bool
    """Whether it holds running means of f, which settled at the same q by evaluations that are not counted."""
    family: str
    latents: str
    """The event's shape: 4, or 2x3."""
    objective: str
    """Its name; of a bound over draws with their number, `mlp-iwae-2`."""
    sharpness: float
    samples: int
    cost: int
    """Evaluations of f that one estimate takes; those of its gradient are not counted apart."""
    bias: float
    """Length of the bias, relative to that of the exact gradient of q's parameters."""
    deviation: float
    """Square root of the trace of the covariance, relative to the same."""
    tolerance: float
    """Of the two, whichever is known less well."""
    nodes: int
    reason: str
    """Why there is no number; empty where it was found."""

    @property
    def label(self) -> str:
        """The estimator as a person types it."""
        return f"{self.estimator}[{self.options}]" if self.options else self.estimator

    @property
    def problem(self) -> tuple[str, str, str, float]:
        """What it was integrated on."""
        return self.family, self.latents, self.objective, self.sharpness


class Averaged(NamedTuple):
    """The best average of independent estimates that some evaluations of f pay for."""

    of: Integral
    f_evals: int
    """What may be spent."""
    repeats: int
    """Independent estimates of which the mean is taken."""

    @property
    def deviation(self) -> float:
        """Relative standard deviation of the average."""
        return self.of.deviation / math.sqrt(self.repeats)

    @property
    def error(self) -> float:
        """Root of the mean squared error, relative to the exact gradient's length."""
        return math.hypot(self.of.bias, self.deviation)


def at_equal_evaluations(integrals: Iterable[Integral], evaluations: Sequence[int] = EVALUATIONS) -> Iterator[Averaged]:
    """For each estimator, problem and number of evaluations, the number of samples with the least error.

    Where none was found that the evaluations pay for, the cheapest stands, with its reason. Of equal errors, the fewest
    samples win: an estimator that is itself a mean of independent terms is as good either way.
    """
    groups: dict[tuple[object, ...], list[Integral]] = {}
    for one in integrals:
        groups.setdefault((one.label, *one.problem), []).append(one)
    for own in groups.values():
        for budget in evaluations:
            paid = [Averaged(one, budget, budget // one.cost) for one in own if one.cost <= budget]
            found = [average for average in paid if not average.of.reason]
            if found:
                best = min(average.error for average in found)
                yield next(average for average in found if average.error <= best * (1 + 1e-9))
            elif paid:
                yield paid[0]


def written(integrals: Iterable[Integral]) -> bytes:
    """As compressed CSV, the same bytes for the same rows; numbers to six digits, tolerances to one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Integral._fields)
    for one in integrals:
        small = "" if one.reason else _bias(one)
        numbers = ("", "", "") if one.reason else (small, f"{one.deviation:.6g}", f"{one.tolerance:.0e}")
        problem = (*one.problem[:3], f"{one.sharpness:g}")
        declared = one.estimator, one.options, int(one.unbiased), one.needs, int(one.settled)
        writer.writerow((*declared, *problem, one.samples, one.cost, *numbers, one.nodes, one.reason))
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _bias(one: Integral) -> str:
    """Rounding, below a millionth, has no digits worth a place."""
    return f"{one.bias:.6g}" if one.bias > 1e-6 else f"{one.bias:.0e}"


def read(path: Path = PUBLISHED) -> list[Integral]:
    """The integrals in a file."""
    with gzip.open(path, "rt", newline="") as lines:
        return [_parsed(row) for row in csv.DictReader(lines)]


def _parsed(row: dict[str, str]) -> Integral:
    return Integral(
        estimator=row["estimator"],
        options=row["options"],
        unbiased=row["unbiased"] == "1",
        needs=row["needs"],
        settled=row["settled"] == "1",
        family=row["family"],
        latents=row["latents"],
        objective=row["objective"],
        sharpness=float(row["sharpness"]),
        samples=int(row["samples"]),
        cost=int(row["cost"]),
        bias=float(row["bias"] or "nan"),
        deviation=float(row["deviation"] or "nan"),
        tolerance=float(row["tolerance"] or "nan"),
        nodes=int(row["nodes"]),
        reason=row["reason"],
    )
