"""What `compare` returns: records of estimators at one point, as a frame, a figure, a sentence or a run's folder."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bench.library.ranking import QUANTILE, Ranked, in_order, ranked, worse
from bench.records.record import Record
from bench.records.results import Moments, Time
from bench.report.rows import interval_columns
from bench.report.text import DAGGER, count, interval, percent_interval, plural, slug
from bench.run.folder import content_of_suite
from bench.run.planned import write_plan
from bench.run.store import Store, write_atomic
from bench.statistics import LEAST_RARE_EVENTS, no_interval
from bench.suite.toml import dumps
from estimators.errors import BadInput, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Criterion = Literal["mse", "variance", "bias", "mse x f_evals", "mse x seconds"]
CRITERIA: tuple[Criterion, ...] = ("mse", "variance", "bias", "mse x f_evals", "mse x seconds")


HEAVY = " Its draws have heavy tails, so that its interval is optimistic: take more draws."
NO_INTERVAL = (
    " There is no interval: q is so sharp that only {events:.2g} rare outcomes can be expected among the {draws:g} "
    "draws, and {least:g} must be; take at least {enough}."
)


FIGURES = ("variance", "bias", "efficiency")


class Best(NamedTuple):
    """The estimator that is best by a criterion, with its evidence."""

    label: str
    """As `create` takes it."""
    samples: int
    by: str
    value: float
    low: float
    high: float
    """Ends of the value's 95 % interval; NaN where it is exact or has none."""
    ties: tuple[str, ...]
    """Others that the draws do not tell from it, the better ones first."""
    reason: str
    """A sentence."""

    def __str__(self) -> str:
        return self.reason


class Comparison:
    """Estimators at one point.

    Args:
        records: of moments, times and a person's own measurements.
        skipped: labels of those that were not measured, each with the reason in half a sentence.
    """

    def __init__(self, records: Sequence[Record], skipped: dict[str, str]) -> None:
        self.records = tuple(records)
        failed = [record for record in records if not record.went_well]
        self.skipped = skipped | {_what(record): str(record.reason) for record in failed}
        """Labels of those that were not measured, each with the reason; what failed beside moments is in brackets."""

    @property
    def name(self) -> str:
        """What the point is called."""
        return self.records[0].config.problem.label

    @property
    def _minibatches(self) -> int:
        """How many were drawn; 1 for a point that was given."""
        return int((self.records[0].config.problem.model_extra or {}).get("minibatches", 1))

    def frame(self) -> "pd.DataFrame":
        """A row an estimator, least mean squared error first.

        Columns end in `_low` and `_high` for the ends of 95 % intervals (quartiles of seconds). `variance` is the trace
        of the covariance, `bias_squared` free of its noise floor and so perhaps negative, `relative_bias` its root as a
        share of the gradient's norm; `cosine` is that between a draw and the reference, `snr` the reference's norm over
        a draw's standard deviation. `weights_variance` and `minibatch_variance` are of the weights behind q, where they
        were given or minibatches were drawn. `seconds` are those of a call and its backward pass, `time_ratio` theirs
        over the plain step's.
        """
        import pandas as pd

        times = {record.config.estimator: record.result(Time) for record in self._of("time")}
        rows = []
        for record in self._of("moments"):
            estimator = record.config.estimator
            (point,) = record.result(Moments).points
            q, bias, time = point.q, point.bias, times.get(estimator, Time())
            row: dict[str, object] = {
                "estimator": estimator.label,
                "samples": estimator.samples,
                "unbiased": record.tags.unbiased,
                "f_evals": int(point.f_evals),
                "draws": point.draws,
                "rare_events": q.rare_events,
                **interval_columns("variance", q.variance),
                "relative_bias": bias.relative,
                "relative_bias_low": bias.relative_low,
                "relative_bias_high": bias.relative_high,
                **interval_columns("bias_squared", bias.squared),
                **{f"{name}{end}": getattr(q, f"{name}{end}") for name in ("mse", "snr", "cosine") for end in _SIDES},
            }
            if point.encoder is not None:
                row |= interval_columns("weights_variance", point.encoder.variance)
                row |= interval_columns("minibatch_variance", point.encoder.minibatch_variance)
            if times:
                ratio = time.plain_ratio
                row |= {"seconds": time.step.median, "seconds_low": time.step.q25, "seconds_high": time.step.q75}
                row |= {
                    "time_ratio": ratio.median if ratio else math.nan,
                    "time_ratio_low": ratio.median / _factor(ratio.log_se) if ratio else math.nan,
                    "time_ratio_high": ratio.median * _factor(ratio.log_se) if ratio else math.nan,
                }
            rows.append(row | {"heavy_tailed": q.heavy_tailed, "method": point.method, "reference": bias.reference})
        if not rows:
            raise BadInput(f"nothing was measured at {self.name}: {_first(self.skipped)}")
        return pd.DataFrame(rows).sort_values("mse", kind="stable", ignore_index=True)

    def best(self, by: Criterion = "mse", *, unbiased: bool | None = None) -> Best:
        """The best estimator, and those that the draws do not tell from it.

        With a chance of 95 % none is said to be worse that is not, over all that are compared (but by bias, where
        intervals are set side by side). The draws that choose the best one flatter its value.

        Args:
            by: "mse", "variance", "bias" (by the upper end of the squared one's interval), or mean squared error times
                a cost, "mse x f_evals" or "mse x seconds": the ratio to the plain step times the median plain step, so
                that a machine that was busier for one does not count against it.
            unbiased: whether only estimators that are declared unbiased count; by default where it is by variance, as
                a constant has none.

        Raises:
            BadInput: no such criterion, or no estimator that counts.
        """
        if by not in CRITERIA:
            raise BadInput(unknown("criterion", by, CRITERIA))
        frame = self.frame()
        if unbiased if unbiased is not None else by == "variance":
            frame = frame[frame["unbiased"]]
        if by == "mse x seconds" and "seconds" not in frame:
            raise BadInput("nothing was timed: compare(..., timed=True)")
        column, _, cost = by.partition(" x ")
        column = "bias_squared" if column == "bias" else column
        rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
        plain = frame["seconds"].div(frame["time_ratio"]).median() if cost == "seconds" else math.nan
        found = in_order([ranked(row, column, *_cost(row, cost, plain)) for row in rows])
        if by == "bias":  # an estimate may be negative by chance: what can be vouched for is the upper end
            found = sorted(found, key=lambda one: math.inf if math.isnan(one.high) else one.high)
        if not found:
            raise BadInput(f"no estimator to choose among by {by}")
        first, *others = found
        apart = (
            [one for one in others if one.low > first.high]
            if by == "bias"
            else worse(found, frame["draws"].min(), self._minibatches)
        )
        ties = [one for one in others if one not in apart]
        (of_first,) = (row for row in rows if row["estimator"] == first.label)
        reason = self._sentence(by, first, others, ties)
        if not of_first["unbiased"]:
            unbiased_ones = {row["estimator"] for row in rows if row["unbiased"]}
            fair = [one for one in others if one.label in unbiased_ones]
            bias = percent_interval(*(of_first[name] for name in _BIAS))
            reason += f" It is declared biased, here by {bias} of the gradient"
            reason += f"; of the unbiased ones it is {fair[0].name}, {fair[0].text}." if fair else "."
        reason += _why_wide(of_first)
        return Best(
            first.label,
            first.samples,
            by,
            first.value,
            first.low,
            first.high,
            tuple(one.label for one in ties),
            reason,
        )

    def _sentence(self, by: str, first: Ranked, others: Sequence[Ranked], ties: Sequence[Ranked]) -> str:
        least = by.replace("mse", "mean squared error").replace("f_evals", "evaluations of f")
        least = least.replace("bias", "squared bias")  # as the numbers are
        said = f"At {self.name}, {first.name} has the least {least}, {first.text}"
        if ties:
            names = ", ".join(f"{one.label} ({one.text})" for one in ties[:3])
            more = f" and {len(ties) - 3} more" if len(ties) > 3 else ""
            said += f"; the draws do not tell it from {names}{more}"
        after = [one for one in others if one not in ties]
        if after:
            said += f"; next comes {after[0].label}, {after[0].text}"
        return f"{said} ({plural(len(others) + 1, 'estimator')} compared)."

    def plot(self, what: Literal["variance", "bias", "efficiency"] = "variance") -> "Figure":
        """A figure of the report, as matplotlib has it: variance, bias, or efficiency relative to rloo.

        Raises:
            BadInput: there is none of that, as nothing was timed or rloo was not measured.
        """
        if what not in FIGURES:
            raise BadInput(unknown("figure", what, FIGURES))
        from bench.report import fonts
        from bench.report.figures import plots
        from bench.report.matplotlib_alone import own_settings
        from bench.report.style import RC
        from bench.report.summary import summarise

        records = [record for record in self.records if record.kind in ("moments", "time")]
        drawn = [plot for plot in plots(summarise(records)) if plot.name.startswith(f"{what}-")]
        if not drawn:
            raise BadInput(f"no figure of {what} can be drawn from what was measured")
        with own_settings({**RC, "font.family": fonts.families()}):
            return drawn[0].draw()

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        import pandas as pd

        frame = self.frame()
        shown = {
            "estimator": [
                label if unbiased else f"{label} {DAGGER}"
                for label, unbiased in zip(frame["estimator"], frame["unbiased"], strict=True)
            ],
            "samples": frame["samples"],
            "f evaluations": frame["f_evals"],
        }
        for column, words in _SHOWN.items():
            if column in frame:
                sides = (frame[f"{column}{end}"] for end in _SIDES)
                shown[words] = [interval(*values) for values in zip(*sides, strict=True)]
        if frame["heavy_tailed"].any():
            few = frame["rare_events"] < LEAST_RARE_EVENTS
            notes = zip(frame["heavy_tailed"], few, strict=True)
            shown["note"] = ["too few rare outcomes" if no else "heavy tails" if heavy else "" for heavy, no in notes]
        table = pd.DataFrame(shown).to_html(index=False)
        biased = "" if frame["unbiased"].all() else f" {DAGGER} declared biased."
        skipped = f" Not measured: {len(self.skipped)} (see .skipped)." if self.skipped else ""
        if frame["heavy_tailed"].any():
            biased += " Heavy tails: the intervals are optimistic; take more draws."
            if (rare := frame.loc[frame["rare_events"] < LEAST_RARE_EVENTS]).shape[0]:
                biased += _why_wide(dict(rare.iloc[0]))
        draws = count(float(frame["draws"].max()))
        return f"{table}<p>{html.escape(self.name)}: n = {draws} draws, 95 % intervals.{biased}{skipped}</p>"

    def __repr__(self) -> str:
        """Name, number of estimators and the best."""
        measured = len(self._of("moments"))
        return f"<Comparison of {measured} estimators at {self.name}, {len(self.skipped)} skipped>"

    def save(self, directory: str | Path) -> Path:
        """Write a run's folder, which `gradest report` reads, and several of which it reads as one.

        Raises:
            BadInput: the path is no folder, or one that holds a run of a suite.
            OSError: it cannot be written.
        """
        out = Path(directory)
        if not str(directory) or (out.exists() and not out.is_dir()):
            raise BadInput(f"cannot save into {str(directory)!r}: expected a folder, there or to be made")
        suite = dumps({"name": slug(self.name), "title": f"Gradient estimators at {self.name}"})
        if (out / "suite.toml").exists() and not content_of_suite(out).startswith(_MADE_BY.encode()):
            raise BadInput(f"{str(out)!r} holds a run of a suite, which would be written over: choose another folder")
        store = Store(out)
        others = {_fingerprint(record) for record in store.whole() if record.config.problem.label == self.name}
        if others - {_fingerprint(record) for record in self.records}:
            raise BadInput(
                f"{str(out)!r} holds a comparison at another point called {self.name!r}: choose a folder or a name"
            )
        write_atomic(out / "suite.toml", f"{_MADE_BY}: what ran is a program, not this file.\n{suite}".encode())
        for record in self.records:
            store.write(record)
        write_plan(out, store.ids())
        return out

    def _of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind and record.went_well]


_MADE_BY = "# Made by gradest.compare"
"""How the suite file of a saved comparison begins."""
_SIDES = ("", "_low", "_high")
_BIAS = tuple(f"relative_bias{end}" for end in _SIDES)
_SHOWN = {
    "mse": "mean squared error",
    "variance": "variance",
    "relative_bias": "relative bias",
    "snr": "SNR",
    "cosine": "cosine",
    "weights_variance": "variance, weights",
    "minibatch_variance": "variance, minibatch",
    "time_ratio": "time / plain step",
}


def _fingerprint(record: Record) -> object:
    """Of the point that a record is of."""
    return (record.config.problem.model_extra or {}).get("fingerprint")


def _why_wide(row: dict[str, Any]) -> str:
    """Why the interval of a row is not to be trusted as it stands, or is missing; empty where neither holds."""
    if no_interval(events := float(row["rare_events"])):
        # The events grow with the draws.
        enough = count(math.ceil(float(row["draws"]) * LEAST_RARE_EVENTS / events))
        return NO_INTERVAL.format(events=events, draws=float(row["draws"]), least=LEAST_RARE_EVENTS, enough=enough)
    return HEAVY if row["heavy_tailed"] else ""


def _what(record: Record) -> str:
    """What a record that did not go well is of."""
    label = record.config.estimator.label
    return label if record.kind == "moments" else f"{label} ({record.kind})"


def _cost(row: dict[str, Any], name: str, plain: float) -> tuple[float, float]:
    """What a row is charged by, and the standard error of its logarithm.

    Args:
        row: of the frame.
        name: of the cost; empty for none.
        plain: seconds of a plain step.
    """
    if name != "seconds":
        return (float(row[name]) if name else 1.0), 0.0
    ratio, high = float(row["time_ratio"]), float(row["time_ratio_high"])
    return plain * ratio, math.log(high / ratio) / QUANTILE if ratio > 0 else 0.0


def _factor(log_se: float) -> float:
    return math.exp(QUANTILE * log_se) if math.isfinite(log_se) else math.inf


def _first(skipped: dict[str, str]) -> str:
    return "; ".join(f"{label}: {reason}" for label, reason in [*skipped.items()][:3]) or "no estimator was given"
