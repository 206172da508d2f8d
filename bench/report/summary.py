"""What a report is made from: the wide tables, the curves and the look of each estimator."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from bench.records.record import Record
from bench.report import frames as records_frames
from bench.report.frames import Frames
from bench.report.style import Style, Subject, assign
from bench.report.tables import bias, elbo, published, rates, time, variance

RELATIVE_TO = "rloo"  # the reference of ratios and relative efficiencies, where a problem has it


class Summary(NamedTuple):
    """A whole report as data."""

    frames: Frames
    variance: pd.DataFrame
    bias: pd.DataFrame
    elbo: pd.DataFrame
    rates: pd.DataFrame
    published: pd.DataFrame
    time: pd.DataFrame
    styles: dict[str, Style]
    relative_to: str
    width: float | None = None
    """Inches of every figure; None for what each needs."""

    @property
    def tables(self) -> tuple[pd.DataFrame, ...]:
        """The wide tables."""
        return self.variance, self.bias, self.elbo, self.rates, self.published, self.time

    def where(self, column: str, values: Collection[str]) -> "Summary":
        """The summary with those rows of its wide tables alone that hold one of these values in a column."""
        kept = [rows[rows[column].isin(values)].reset_index(drop=True) if len(rows) else rows for rows in self.tables]
        variance, bias, elbo, rates, published, time = kept
        return self._replace(variance=variance, bias=bias, elbo=elbo, rates=rates, published=published, time=time)


def _ranks(frames: Frames) -> dict[tuple[str, str], int]:
    """Place of each (problem, label): problems with data first, estimators by variance at the last point."""
    columns = ["problem", "label", "position", "variance"]
    measured = frames.moments.reindex(columns=columns).dropna(subset=["variance"])
    last = measured.groupby("problem")["position"].transform("max")
    at_last = measured[measured["position"] == last].groupby(["problem", "label"])["variance"].min()
    known: Mapping[Any, float] = at_last.to_dict()
    pairs = frames.heads[["problem_kind", "problem", "label"]].drop_duplicates().itertuples(index=False)
    keys = [
        (kind == "toy", problem, known.get((problem, label), float("inf")), label) for kind, problem, label in pairs
    ]
    return {(problem, label): rank for rank, (_, problem, _, label) in enumerate(sorted(keys))}


def _sorted(frame: pd.DataFrame, ranks: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    """Rows of a problem together, settings and points in order, estimators by rank; failed cells last."""
    if frame.empty:
        return frame
    pairs = list(zip(frame["problem"], frame["label"], strict=True))
    first: dict[str, int] = {}
    for problem, label in pairs:
        first[problem] = min(first.get(problem, ranks[problem, label]), ranks[problem, label])
    keys = frame.assign(
        _problem=[first[problem] for problem, _ in pairs],
        _empty=~frame["measured"],
        _rank=[ranks[pair] for pair in pairs],
    )
    by = [key for key in ("_problem", "section", "_empty", "position", "_rank", "learning_rate", "cell") if key in keys]
    return frame.loc[keys.sort_values(by, kind="stable").index].reset_index(drop=True)


def _subjects(heads: pd.DataFrame) -> dict[str, Subject]:
    """Of each label all that its look depends on; biased where any of its cells is declared so."""
    unbiased = heads.groupby("label")["unbiased"].all()
    first = heads.drop_duplicates("label").sort_values("label")
    columns = (first[name] for name in ("label", "estimator", "method_family"))
    return {
        str(label): Subject(str(estimator), bool(unbiased[label]), method)
        for label, estimator, method in zip(*columns, strict=True)
    }


def summarise(records: Iterable[Record | Mapping[str, Any]], relative_to: str = RELATIVE_TO) -> Summary:
    """Everything a report states, from its records.

    Args:
        records: whole records, or their plain values.
        relative_to: label or name of the estimator that ratios are relative to, where a problem has it.

    Raises:
        ValueError: no records, or one of a later release or an unknown kind.
    """
    frames = records_frames.build(records, relative_to)
    ranks = _ranks(frames)
    return Summary(
        frames,
        _sorted(variance.build(frames), ranks),
        _sorted(bias.build(frames), ranks),
        _sorted(elbo.build(frames), ranks),
        _sorted(rates.build(frames), ranks),
        _sorted(published.build(frames), ranks),
        _sorted(time.build(frames), ranks),
        assign(_subjects(frames.heads)),
        relative_to,
    )
