"""`gradest recommend`: a problem measured at the points that matter, and the estimator to take, with its evidence.

What is measured is a suite like any other, so that its records can be reported, compared and gone on with.
"""

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from bench.library.borne import Measured, size, verdict
from bench.library.ranking import Ranked, in_order, told_apart
from bench.problems.base import PROBLEMS
from bench.records.record import Record
from bench.records.results import Moments, Point
from bench.report.text import number, plural, slug
from bench.statistics import Interval
from bench.suite.faults import explain
from bench.suite.load import load_suite
from bench.suite.schema import Suite
from estimators import get
from estimators.errors import BadInput, nearest, unknown
from estimators.families import FAMILIES
from estimators.labels import read_options

ONE_TRAINING = " Measured on one training and one minibatch: intervals say nothing of others."
STEPS = 300
"""Of the reference trajectory, at whose start and end a trained problem is measured."""


STAND_IN = {"kind": "vae", "dataset": "digits"}
"""What is measured where a family of latents is all that is said."""


def problem_tables(text: str) -> list[dict[str, Any]]:
    """The problem tables of a suite that a person types: `KIND[key=value,...]`, or a path that ends in .toml.

    A value is TOML, such as `[0, 3]`, or a word. A family in the place of a kind, such as `bernoulli[latents=50]`,
    stands for a VAE of such latents on the embedded digits.

    Raises:
        BadInput: brackets or equals signs are missing, or there is no such suite.
    """
    if Path(text).suffix == ".toml":
        return [problem.model_dump(mode="json", exclude_none=True) for problem in load_suite(text).problems]
    try:
        kind, options = read_options(text, "problem", "KIND[key=value,...], or a suite that ends in .toml", _value)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if kind in FAMILIES:
        return [{**STAND_IN, "family": kind, **options}]
    if ":" not in kind and not nearest(kind, list(PROBLEMS.all())) and nearest(kind, list(FAMILIES)):
        raise BadInput(unknown("family", kind, list(FAMILIES)))
    return [{"kind": kind, **options}]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def suite_of(
    problem: str,
    *,
    f_evals: int | None,
    draws: int,
    steps: int,
    estimators: Sequence[str] = (),
    black_box: bool = False,
    unbiased: bool = False,
) -> Suite:
    """The suite that measures a problem: every estimator that fits, or those given, by their gradient moments.

    Negative controls are measured where they are given alone.

    Args:
        problem: as `problem_tables` reads it.
        f_evals: evaluations of f a row that every estimator spends; None for their default numbers of samples.
        draws: of each estimator at each point.
        steps: of the reference trajectory of a trained problem, measured before and after them.
        estimators: labels; none for all.
        black_box: whether f gives values alone, so that estimators that differentiate it are left out.
        unbiased: whether those that are declared biased are left out.

    Raises:
        BadInput: there is no such problem, or a key or value that it does not take; a given estimator needs a
            gradient of a black box, or is declared biased where only unbiased ones are wanted, or none is left.
    """
    tables = problem_tables(problem)
    data: dict[str, Any] = {
        "name": f"recommend-{slug(problem).replace('.', '-')}",
        "title": f"Estimators for {problem}",
        "problems": tables,
        "estimators": [*estimators] or "all",
        "moments": {"draws": draws, "checkpoints": [0, steps], "exact": True},
        "training": {"steps": steps},
    }
    if f_evals is not None:
        data["f_evals"] = f_evals
    suite = _validated(problem, data)
    entries = {given.label: get(given.name) for given in suite.estimators}
    biased = {given.label for given in suite.estimators if not get(given.name).claims_unbiased(given.options)}
    wrong = [label for label, entry in entries.items() if estimators and entry.needs != "neither"]
    if black_box and wrong:
        raise BadInput(f"--black-box: {wrong[0]} asks for a {entries[wrong[0]].needs}, not for values of f alone")
    if unbiased and estimators and biased:
        raise BadInput(f"--unbiased: {min(biased)} is declared biased; leave out the one or the other")
    left = [
        label
        for label, entry in entries.items()
        if estimators
        or not (entry.negative_control or (black_box and entry.needs != "neither") or (unbiased and label in biased))
    ]
    if not left:
        options = " ".join(["--black-box"] * black_box + ["--unbiased"] * unbiased)
        raise BadInput(f"{options}: no estimator for {problem} is left")
    return suite if len(left) == len(entries) else _validated(problem, {**data, "estimators": left})


def _validated(problem: str, data: dict[str, Any]) -> Suite:
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{problem}: {explain(error, data)}") from error


class Candidate(NamedTuple):
    """An estimator over all points of a problem."""

    label: str
    samples: int
    unbiased: bool
    f_evals: float
    at: dict[str, Ranked]
    """By point: its mean squared error, times its evaluations of f where those differ."""
    relative_bias: Interval
    """At the point where the upper end of its interval is the highest."""
    worst: float
    """Largest ratio to the best of a point."""
    worst_at: str
    rare: bool
    """Whether at some point an outcome is too rare for the draws."""
    trained: bool
    """Whether its points lie along a training."""
    moments: dict[str, Measured]
    """By point: its variance and its bias."""


class Answer(NamedTuple):
    """What to take."""

    sentence: str
    candidates: list[Candidate]
    """The best first."""
    biases: list[str]
    """Whether the bias of each one that was asked about can be borne, a sentence each."""


def answer(
    records: Sequence[Record], *, budget: int | None, unbiased: bool = False, about: Sequence[str] = ()
) -> Answer:
    """The estimator that is nearest to the best at every point, from the records of moments.

    Estimators are ranked by their largest ratio to the best, over the points at which all are measured: one that is
    best at the start of training and poor at its end is not recommended.

    Args:
        records: of one problem's moments.
        budget: evaluations of f a row, where they are equal; None to charge estimators for theirs.
        unbiased: whether estimators that are declared biased are left out.
        about: labels of estimators whose bias is asked about, beside that of the one to take.

    Raises:
        BadInput: nothing was measured.
    """
    found: dict[tuple[str, int], dict[str, Point]] = {}
    tags: dict[tuple[str, int], bool] = {}
    order: dict[str, tuple[str, float]] = {}
    for record in records:
        if record.kind != "moments" or not record.went_well or (unbiased and not record.tags.unbiased):
            continue
        estimator = record.config.estimator
        key = estimator.label, estimator.samples or 0
        if record.tags.is_control and estimator.label not in about:
            continue
        tags[key] = record.tags.unbiased
        for point in record.result(Moments).points:
            place = _where(record, point)
            found.setdefault(key, {})[place] = point
            order[place] = record.config.problem.label, float(point.step or record.config.problem.place or 0)
    places = sorted(order, key=lambda place: order[place])
    if not places:
        left = " but for biased estimators" if unbiased and any(record.went_well for record in records) else ""
        raise BadInput(f"nothing was measured{left}, so that there is nothing to recommend")
    candidates = _candidates(found, tags, places, budget)
    first, *others = candidates
    sentence = _sentence(first, others, places, budget)
    labels = {record.config.problem.label for record in records}
    if missing := sorted(labels - {label for label, _ in order.values()}):
        sentence += f" Nothing was measured at {', '.join(missing)}."
    return Answer(sentence, candidates, _biases(candidates, {*about, first.label}, places))


def _biases(candidates: Sequence[Candidate], about: set[str], places: Sequence[str]) -> list[str]:
    """Of each biased one at the last point, beside the best unbiased one there."""
    last = places[-1]
    known = [one for one in candidates if one.unbiased and one.moments[last].variance.estimate >= 0]
    # No noise among draws that lack rare outcomes is not known to be none.
    fair = [one for one in known if one.moments[last].variance.estimate > 0 or not one.rare]
    wanted = [one for one in candidates if not one.unbiased and one.label in about]
    if not fair:
        names = ", ".join(one.label for one in wanted)
        words = f"Whether the bias of {names} can be borne is not told, as no unbiased one was measured beside it: name"
        return [f"{words} one too, such as -e rloo."] if names else []
    beside = min(fair, key=lambda one: one.moments[last].variance.estimate)
    said = []
    for one in wanted:
        if beside.moments[last].variance.estimate == 0:
            words = f"The bias of {one.label} buys nothing at {last}: {beside.label} has neither bias nor noise there."
        else:
            words = verdict(one.moments[last], beside.moments[last], last)
        if one.f_evals != beside.f_evals:
            spent = f"{plural(round(one.f_evals), 'evaluation')} of f a row, {beside.label} {beside.f_evals:.0f}"
            words += f" Not at equal cost: it spends {spent}; --f-evals makes them equal."
        if one.rare or beside.rare:
            words += " Some outcomes are too rare for the draws, which may hide a bias."
        said.append(words)
    return said


def _moments(label: str, point: Point) -> Measured:
    variance, bias = point.q.variance, point.bias
    if point.method == "exact":
        squared, relative = (Interval(x, math.nan, math.nan) for x in (bias.squared.estimate, bias.relative))
        return Measured(label, Interval(variance.estimate, math.nan, math.nan), squared, relative)
    squared = Interval(bias.squared.estimate, bias.squared.low, bias.squared.high)
    relative = Interval(bias.relative, bias.relative_low, bias.relative_high)
    return Measured(label, Interval(variance.estimate, variance.low, variance.high), squared, relative)


def _where(record: Record, point: Point) -> str:
    """A point of a problem in words."""
    problem = record.config.problem
    if point.step is not None:
        return f"{problem.label}, step {point.step}"
    if problem.place is None:
        return problem.label
    return f"{problem.label}, {'|logit|' if problem.logit is not None else 'scale'} {problem.place:g}"


def _candidates(
    found: dict[tuple[str, int], dict[str, Point]],
    tags: dict[tuple[str, int], bool],
    places: Sequence[str],
    budget: int | None,
) -> list[Candidate]:
    """Those that were measured everywhere, the one nearest to the best first."""
    values: dict[tuple[str, int], dict[str, Ranked]] = {}
    for key, points in found.items():
        if points.keys() != set(places):
            continue
        values[key] = {}
        for place in places:
            point = points[place]
            factor, q = 1.0 if budget is not None else float(point.f_evals), point.q
            low, high = (math.nan, math.nan) if point.method == "exact" else (q.mse_low, q.mse_high)
            values[key][place] = Ranked(*key, factor * q.mse, factor * low, factor * high)
    if not values:
        raise BadInput("no estimator was measured at every point, so that none can be recommended")
    best = {place: in_order([at[place] for at in values.values()])[0].value for place in places}
    candidates = []
    for key, at in values.items():
        ratios = {place: _ratio(at[place].value, best[place]) for place in places}
        worst_at = max(ratios, key=lambda place: ratios[place])
        points = found[key]
        biases = [point.bias for point in points.values()]
        most = max(biases, key=lambda bias: bias.relative if math.isnan(bias.relative_high) else bias.relative_high)
        bias = Interval(most.relative, most.relative_low, most.relative_high)
        evaluations = max(float(point.f_evals) for point in points.values())
        trained = any(point.step is not None for point in points.values())
        rare = any(point.bias.untestable > point.bias.seldom_moved for point in points.values())
        moments = {place: _moments(key[0], points[place]) for place in places}
        worst = ratios[worst_at]
        candidates.append(Candidate(*key, tags[key], evaluations, at, bias, worst, worst_at, rare, trained, moments))
    return sorted(candidates, key=lambda one: one.worst)


def _ratio(value: float, best: float) -> float:
    if best > 0:
        return value / best
    return 1.0 if value <= 0 else math.inf


def _sentence(first: Candidate, others: Sequence[Candidate], places: Sequence[str], budget: int | None) -> str:
    measured = "mean squared error" + ("" if budget is not None else " times evaluations of f")
    spent = f" at {budget} evaluations of f a row" if budget is not None else ""
    name = first.at[places[0]].name
    said = f"Take {name}{spent}: "
    if first.worst < 1 + 1e-6:  # of exact values, to the tolerance of an integral
        said += f"its {measured} is the least at every point" if places[1:] else f"its {measured} is the least"
    else:
        said += f"its {measured} is nowhere more than {number(first.worst)} times the least ({first.worst_at})"
    evidence = "; ".join(f"{first.at[place].text} at {place}" for place in places[:4])
    said += f": {evidence}{' and more' if places[4:] else ''}."
    if not first.unbiased:
        said += f" It is declared biased: by {size(first.relative_bias)} of the gradient where it may be largest"
        rest = [one for one in others if one.unbiased]
        said += f"; of the unbiased ones take {rest[0].at[places[0]].name}." if rest else "."
    if any(math.isnan(one.low) for one in first.at.values()):
        said += " Without an interval: exact, by integration over its noise."
    if first.rare:
        said += " Some outcomes are too rare for the draws, so that its error may be larger: take more (--draws)."
    # Over all pairs and points: which one is recommended, the same draws have said.
    pairs = len(places) * len(others) * (len(others) + 1)
    ties = [one for one in others if not any(told_apart(first.at[place], one.at[place], pairs) for place in places)]
    if ties:
        names = ", ".join(one.label for one in ties[:3])
        said += f" The draws do not tell {names} from it{f', nor {len(ties) - 3} more' if ties[3:] else ''}."
    said += ONE_TRAINING if first.trained else ""
    return f"{said} {plural(len(others) + 1, 'estimator')} compared." if others else f"{said} Compared with no other."
