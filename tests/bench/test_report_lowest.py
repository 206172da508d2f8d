"""Which estimators a report says have the lowest variance: cases by hand, and suites in which all are one estimator."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from bench.report.findings import findings
from bench.report.lowest import Lowest, at_point, may_be_lowest
from bench.report.summary import summarise
from bench.report.text import interval
from bench.statistics import best, replicated
from tests.bench.drawn import DIGITS
from tests.bench.pools import DRAWS, LABELS, pools
from tests.bench.records import Made, Record, record

Z = 1.959963984540054
TOPIC = "Lowest variance"
SUITES, POINTS = 20, 66


def log_se(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jackknife standard errors of log variances, for squared distances [labels, n] of draws from their mean.

    Infinite where one draw carries all of it.
    """
    n, total = d.shape[1], d.sum(1, keepdims=True)
    without = total - n / (n - 1) * d
    alone = without.min(1) <= 1e-12 * total[:, 0]
    logs = np.log(np.where(alone[:, None], 1.0, without))
    return np.where(alone, math.inf, np.sqrt((n - 1) * logs.var(1)))


def places(d: NDArray[np.float64], rare: float, step: int) -> Iterator[Record]:
    """A point for each label, as records hold them, from squared distances [labels, n]."""
    n, half = d.shape[1], d.shape[1] // 2
    errors, errors_of_half, variances = log_se(d), log_se(d[:, half:]), d.sum(1) / (n - 1)
    halves = np.stack([d[:, :half].mean(1), d[:, half:].mean(1)], 1) * n / (n - 1)
    alone = np.isinf(errors_of_half)
    kurtosis = n * np.square(d).sum(1) / np.square(d.sum(1))
    factors = np.exp(Z * errors)
    for i, variance in enumerate(variances.tolist()):
        ends = {"estimate": variance, "low": variance / factors[i], "high": variance * factors[i], "log_se": errors[i]}
        q = {
            "variance": ends, "kurtosis": kurtosis[i], "rare_events": rare, "halves": halves[i].tolist(),
            "halves_log_se": [None, None if alone[i] else errors_of_half[i]], "gradient_norm": 1.0, "mse": variance,
        }  # fmt: skip
        yield {"step": step, "draws": n, "rows": 1, "f_evals": 2, "q": q, "bias": {}, "encoder": None}


def suite(order: np.random.Generator) -> tuple[list[Record], int]:
    """Twenty labels of one estimator at 66 points, each a pool of real draws dealt to the labels anew.

    And the number of points at which half of the draws hold rare outcomes enough.
    """
    found = pools()
    chosen = [*found, *(found[i] for i in order.choice(len(found), POINTS - len(found), replace=False))]
    points: list[list[Record]] = [[] for _ in range(LABELS)]
    for step, pool in enumerate(chosen):
        dealt = places(pool.distances(order.permutation(LABELS * DRAWS)), pool.rare, step)
        for label, point in zip(points, dealt, strict=True):
            label.append(point)
    names = ["rloo", *(f"same-{i}" for i in range(1, LABELS))]
    told = sum(not pool.rare < 16 for pool in chosen)  # NaN where none is rare
    return [moments(name, *own) for name, own in zip(names, points, strict=True)], told


def moments(label: str, *points: Record, biased: bool = False) -> Record:
    return record(
        {"kind": "moments", "draws": DRAWS}, DIGITS, Made(label, 2, not biased, 0, 0, 0), {"points": [*points]}
    )


def test_one_estimator_under_twenty_labels_wins_in_no_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told apart from the first is so falsely, at a twentieth of points at most; and margins hold 1."""
    monkeypatch.setattr(best, "SIMULATIONS", 0)
    monkeypatch.setattr(best, "OF_EACH", 500)  # a twentieth of the draws; a level moves by .01 from point to point
    order, points, falsely, margins, held, told = np.random.default_rng(17), 0, 0, 0, 0, 0
    for _ in range(SUITES):
        records, known = suite(order)
        told += known
        (finding,) = findings(summarise(records))[TOPIC]
        assert len(finding.points) == POINTS
        for point in finding.points:
            ties = re.search(r"\(not told apart from (.*?)( and (\d+) more)?\)", point)
            assert ties is not None, f"a single winner: {point}"
            named = 1 + ties[1].count("`") // 2 + int(ties[3] or 0)
            points, falsely = points + 1, falsely + (named < LABELS)
            if margin := re.search(r"\S+ \[(\S+), (\S+)\] of rloo$", point):
                margins, held = margins + 1, held + (float(margin[1]) <= 1 <= float(margin[2].replace("∞", "inf")))
    assert points == SUITES * POINTS
    assert falsely <= 0.05 * points
    assert 0.8 * points < told and 0.9 * told < margins <= told, (
        "the reference is chosen at one point in twenty, and has no margin there"
    )
    assert held >= 0.93 * margins


def one(label: str, variance: float, error: float | None = 0.1, *, halves: Any = None, rare: float | None = None,
        exact: bool = False, biased: bool = False, heavy: bool = False, step: int | None = 0) -> Record:  # fmt: skip
    """A record of one point; its second half says the same as the whole unless halves are given."""
    if exact:
        ends: Record = {"estimate": variance, "low": None, "high": None, "log_se": 0.0}
        how: Record = {"method": "exact", "tolerance": 1e-12, "draws": None}
    else:
        ends = {"estimate": variance, "low": 0.0, "high": None if error is None else 99.0, "log_se": error}
        how = {"draws": DRAWS, "bias": {"untestable": 1} if rare == 0 else {}}
    q: Record = {"variance": ends, "kurtosis": 1e3 if heavy else 3.0, "heavy_tailed": heavy, "gradient_norm": 1.0,
                 "mse": variance, "rare_events": rare}  # fmt: skip
    if not exact and halves != ():
        q |= {"halves": halves or [variance, variance], "halves_log_se": [0.2, 0.2]}
    return moments(label, {"step": step, "rows": 1, "f_evals": 2, "bias": {}, **how, "q": q}, biased=biased)


def lowest_of(*records: Record) -> Lowest:
    frame = summarise(records).variance
    found = at_point(frame, frame)
    assert found is not None
    return found


def test_one_alone_or_several_that_are_not_told_apart() -> None:
    found = lowest_of(one("rloo", 8.0), one("disarm", 2.0), one("arms", 4.0))
    factor = math.exp(Z * math.hypot(0.2, 0.2))
    told = f"0.250 [{0.25 / factor:.3f}, {0.25 * factor:.3f}]"
    assert found[:5] == ("step 0", "`disarm`", told, pytest.approx(0.25), "draws")
    ties = lowest_of(one("rloo", 2.2), one("disarm", 2.0), one("arms", 8.0), one("st", 0.1, biased=True))
    assert ties.words == "`disarm` (not told apart from `rloo`)", "biased ones have no place"
    many = lowest_of(*(one(f"e{i}", 2 + i / 100) for i in range(9)))
    names = ", ".join(f"`e{i}`" for i in range(1, 7))
    assert many.words == f"`e0` (not told apart from {names} and 2 more)"
    assert (many.shown, many.judges) == ("", ""), "there is no reference"
    assert lowest_of(one("rloo", 2.0, heavy=True)).words == "`rloo`, with heavy tails"
    assert lowest_of(one("rloo", 2.0)).shown == ""


def test_the_draws_that_chose_do_not_judge() -> None:
    """By the whole disarm is first, its first half chooses arms, and arms is judged by the second: 3 of 9."""
    records = [
        one("rloo", 8.0, halves=[7.0, 9.0]),
        one("disarm", 2.0, halves=[2.5, 1.5]),
        one("arms", 2.5, halves=[2.0, 3.0]),
    ]
    found = lowest_of(*records)
    assert found.words == "`disarm` (not told apart from `arms`)"
    assert found.shown.startswith("`arms` 0.333 [0.19") and found.ratio == pytest.approx(1 / 3)
    first = lowest_of(one("rloo", 8.0, halves=[1.0, 9.0]), *records[1:])
    assert (first.shown, first.judges) == ("", ""), "the reference was chosen, and has no margin over itself"
    assert math.isnan(first.ratio)
    older = lowest_of(one("rloo", 8.0, halves=()), *records[1:])
    assert (older.words, older.shown) == ("`disarm` (not told apart from `arms`)", ""), "its halves are not known"


def test_halves_without_rare_outcomes_neither_choose_nor_judge() -> None:
    """Of 15 that are expected among all draws a half holds 7.5, and 8 are enough."""
    records = [one("rloo", 8.0, rare=16), one("disarm", 2.0, rare=15), one("arms", 2.5, rare=16)]
    found = lowest_of(*records)
    assert found.words == "`disarm` (not told apart from `arms`)"
    assert found.shown.startswith("`arms` 0.313 [")
    assert lowest_of(one("rloo", 8.0, rare=15), *records[1:]).shown == ""
    frame = summarise([one("rloo", 1.0, rare=15), *records[1:]]).variance
    assert at_point(frame[frame["label"] == "disarm"], frame)[1:3] == ("`disarm`", "")  # type: ignore[index]


def test_a_reference_of_another_budget_judges_and_is_not_chosen() -> None:
    reference, chosen = one("rloo", 1.0), one("disarm", 2.0)
    for point in reference["measurements"]["points"]:
        point["f_evals"] = 6
    frame = summarise([reference, chosen, one("arms", 9.0)]).variance
    found = at_point(frame[frame["budget"] == 2], frame)
    assert found is not None and found.words == "`disarm`"
    assert found.shown.startswith("2.00 [1.15, 3.48]")


def test_exact_rows_tie_up_to_their_tolerance_and_judge_sampled_ones() -> None:
    equal = lowest_of(one("rloo", 4.0, exact=True), one("b", 2.0, exact=True), one("a", 2.0 + 1e-12, exact=True))
    assert equal[1:5] == ("`a` and `b`", "0.5000 (exact)", pytest.approx(0.5), "")
    mixed = lowest_of(one("rloo", 4.0, exact=True), one("sampled", 2.0, halves=[2.1, 1.9]))
    factor = math.exp(Z * 0.2)
    assert mixed.shown == f"0.475 [{0.475 / factor:.3f}, {0.475 * factor:.3f}]", "only the sampled one has an error"
    near = lowest_of(one("rloo", 2.0, exact=True), one("sampled", 2.1))
    assert near.words == "`rloo` (not told apart from `sampled`)"


def test_what_lacks_rare_outcomes_ranks_nowhere_beside_exact_ones() -> None:
    """And beside sampled ones it is a tie with whatever is first, as nothing is known of it."""
    records = [one("rloo", 4.0, exact=True), one("rebar", 1e-9, None, rare=0)]
    (finding,) = findings(summarise(records))[TOPIC]
    assert finding.points == ("step 0: `rloo`",)
    assert "(not ranked, as rare outcomes were too few among the draws: `rebar` at step 0)" in finding.text
    assert lowest_of(one("rloo", 4.0), one("rebar", 1e-9, None, rare=0)).words == "`rloo` (not told apart from `rebar`)"


def test_trajectories_choose_and_judge_where_there_are_four() -> None:
    """Ratios of 1/2 on each of the first two; 1/3 and 1/4 on those that judge. Three trajectories tell no margin."""
    factors, grid = np.array([[2.0], [2.0], [3.0], [4.0]]), np.array([[1.0, 1.2], [9.0, 7.0], [0.2, 0.1], [30.0, 40.0]])

    def replicated(label: str, values: NDArray[np.float64]) -> Record:
        points = []
        for (t, m), value in np.ndenumerate(values):
            (point,) = one(label, float(value))["measurements"]["points"]
            points.append(point | {"trajectory": t, "minibatch": m})
        return moments(label, *points)

    found = lowest_of(replicated("rloo", grid * factors), replicated("disarm", grid))
    mean, half = -math.log(12) / 2, 12.7062 * math.log(4 / 3) / 2
    assert (found.words, found.judges, found.ratio) == ("`disarm`", "trajectories", pytest.approx(math.exp(mean)))
    assert found.shown == interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    three = lowest_of(replicated("rloo", (grid * factors)[:3]), replicated("disarm", grid[:3]))
    assert (three.words, three.shown) == ("`disarm`", "")
    apart = np.log(grid.mean(1)).std(ddof=1) / 2
    assert best.lowest([-math.log(12) / 2, 0.0], [apart, apart]).worse == (), "unpaired, nothing would be told"


def several(label: str, grid: NDArray[np.float64], rare: float | None = None, step: int = 0) -> list[Record]:
    """Points of [trajectories, minibatches] variances."""
    points = []
    for (t, m), value in np.ndenumerate(grid):
        (point,) = one(label, float(value), None if rare else 0.1, rare=rare)["measurements"]["points"]
        points.append(point | {"trajectory": t, "minibatch": m, "step": step})
    return points


def test_what_has_no_interval_takes_none_from_the_others() -> None:
    """On every trajectory twice and thrice as much, though trajectories differ tenfold; of rebar nothing is known."""
    grid = np.array([[1.0, 1.2], [9.0, 7.0], [0.2, 0.1], [30.0, 40.0], [3.0, 2.0]])
    records = {"disarm": grid, "rloo": 2 * grid, "arms": 3 * grid}
    without = [moments(label, *several(label, own)) for label, own in records.items()]
    found = lowest_of(*without, moments("rebar", *several("rebar", 1e-9 * grid, rare=1e-3)))
    assert found.words == "`disarm` (not told apart from `rebar`)"
    assert (found.shown, found.judges) == (lowest_of(*without).shown, "trajectories") and found.shown


def test_one_estimator_on_three_trajectories_beside_one_without_an_interval() -> None:
    """Student's tails, not those of a law for draws: of 100 points at most 5 % say anything, and their spread."""
    rng, falsely = np.random.default_rng(9), 0
    for _ in range(100):
        rows: list[dict[str, Any]] = [{"variance": 1.0, "log_se": math.inf, "draws": 9.0, "replicates": None}]
        for grid in np.exp(0.1 * rng.normal(size=(20, 3, 1))):
            mean, _, high = replicated(grid)
            rows.append({"variance": mean, "log_se": math.log(high / mean) / Z, "draws": 9.0, "replicates": grid})
        falsely += len(may_be_lowest(rows)) < 21
    assert falsely <= scipy.stats.binom.ppf(0.999, 100, 0.05)


def test_a_run_of_points_says_whose_ratio_it_tells() -> None:
    """At the first point the first half chooses disarm, .25 of rloo, and at the next one arms, .75."""
    other = one("arms", 2.1, halves=[3.0, 2.1]), one("arms", 2.1, halves=[1.0, 6.0], step=9)
    own, base = one("disarm", 2.0), one("rloo", 8.0)
    records = [moments(label, *both) for label, both in (
        ("disarm", [own["measurements"]["points"][0], own["measurements"]["points"][0] | {"step": 9}]),
        ("arms", [record["measurements"]["points"][0] for record in other]),
        ("rloo", [base["measurements"]["points"][0], base["measurements"]["points"][0] | {"step": 9}]),
    )]  # fmt: skip
    (finding,) = findings(summarise(records))[TOPIC]
    assert finding.points == ("step 0 to 9: `disarm` (not told apart from `arms`), 0.250 and `arms` 0.750 of rloo",)


def test_one_estimator_of_few_draws_is_seldom_told_from_itself() -> None:
    """Five draws tell a standard error badly, however many coordinates they have."""
    rng, falsely = np.random.default_rng(5), 0
    for _ in range(60):
        g = rng.normal(size=(20, 5, 64))
        d = np.square(g - g.mean(1, keepdims=True)).sum(2)
        columns = zip(d.sum(1) / 4, log_se(d), strict=True)
        rows = [{"variance": one, "log_se": error, "draws": 5.0, "replicates": None} for one, error in columns]
        falsely += len(may_be_lowest(rows)) < 20
    assert falsely <= scipy.stats.binom.ppf(0.999, 60, 0.05)
