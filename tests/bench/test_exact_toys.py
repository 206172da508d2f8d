"""Toys that are measured exactly: what is written into a record, when draws take over, and how a report says so."""

import json
import math

import pytest

import estimators
from bench.measure import exact_moments
from bench.measure.base import Common
from bench.measure.basket import MomentsSettings
from bench.measure.toy import IntegratedMoments, LongRunMoments, ToyMoments, measure_toy
from bench.problems.base import PointProblem
from bench.problems.toys import ToyConfig
from bench.records.record import Record, read
from bench.records.results import Moments, Point, Variance
from bench.records.values import plain
from bench.report.compare import quantities
from bench.report.compare.pairs import Pair
from bench.report.figures import plots
from bench.report.findings import findings
from bench.report.lowest import at_point, lacking
from bench.report.summary import summarise
from bench.report.tables import bias, render, variance
from bench.report.verdicts import AGAINST, BiasTest, verdict
from bench.run.cell import run_cell
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.training.settings import Optimisation

COMMON = Common(Optimisation(), 1, None)
SUITE = b"""
name = "exactly"
samples = 2
estimators = ["rloo", "disarm", "straight-through", "rebar"]
problems = [{kind = "toy", objective = "network", family = "bernoulli", latents = 5, logits = [0, 15]}]

[moments]
draws = 300
exact = true
"""


def toy(logit: float, objective: str = "network") -> PointProblem:
    return ToyConfig(kind="toy", objective=objective, family="bernoulli", latents=3, logits=(logit,)).points()[0]


def measured(name: str, problem: PointProblem, config: ToyMoments, seed: int = 3, **options: object) -> Point:
    (point,) = measure_toy(problem, estimators.get(name).create(**options), config, seed=seed).points
    return point


def test_only_a_cell_that_is_exact_has_another_configuration() -> None:
    """Ids of cells, and with them the noise of published records, are what they were."""
    assert MomentsSettings().of(toy(0), COMMON) == MomentsSettings(exact=False).of(toy(0), COMMON)
    assert "exact" not in MomentsSettings().of(toy(0), COMMON).model_dump()
    assert MomentsSettings(exact=True).of(toy(0), COMMON).model_dump()["exact"] is True


def test_a_point_without_an_exact_gradient_is_sampled() -> None:
    class Unknown(type(toy(0))):
        @property
        def exact_method(self) -> None:
            return None

    unknown = Unknown(**toy(0).model_dump(exclude={"bound"}))
    assert isinstance(MomentsSettings(exact=True).of(unknown, COMMON), LongRunMoments)


@pytest.mark.parametrize("logit", [0, 15])
def test_an_exact_point_has_no_draws_and_no_interval(logit: float) -> None:
    problem = toy(logit)
    point = measured("disarm", problem, IntegratedMoments())
    found = exact_moments(estimators.get("disarm").create(), problem.q(), problem.f())
    assert (point.method, point.tolerance) == ("exact", found.tolerance)
    assert point.q.variance.estimate == pytest.approx(found.total)
    assert point.bias.relative < 1e-12
    assert 0 < point.bias.smallest_visible < 1e-8
    assert point.q.snr == pytest.approx(point.q.gradient_norm / math.sqrt(found.total))
    written = json.loads(json.dumps(plain(Moments(points=(point,)))))["points"][0]
    assert written["draws"] is None
    assert written["q"]["variance"] | {"estimate": 0} == {"estimate": 0, "low": None, "high": None, "log_se": 0}
    again = Moments.model_validate({"points": [written]}).points[0]
    assert all(math.isnan(x) for x in (again.draws, again.q.variance.low, again.q.variance.high, again.bias.p_value))
    assert again.q.variance.log_se == 0
    assert Variance(estimate=1, low=0).high == math.inf  # one draw that carries all of it


def test_the_state_in_which_an_estimator_is_measured_is_settled_first() -> None:
    problem, options = toy(1), {"baseline": "moving-average"}
    cold, warm = (measured("reinforce", problem, IntegratedMoments(warm_up=n), **options) for n in (0, 100))
    sampled = measured("reinforce", problem, ToyMoments(warm_up=100, draws=20_000), **options)
    assert sampled.q.variance.low < warm.q.variance.estimate < sampled.q.variance.high
    assert warm.q.variance.estimate != pytest.approx(cold.q.variance.estimate, rel=1e-3)


def test_draws_take_over_where_the_noise_cannot_be_integrated() -> None:
    """With the numbers that they give without being asked for more, and the reason."""
    problem = toy(0)
    point = measured("arms", problem, IntegratedMoments(draws=200), samples=4, copula="gaussian")
    plainly = measured("arms", problem, ToyMoments(draws=200), samples=4, copula="gaussian")
    assert point.method == "sampled"
    assert "hard draws jump" in point.sampled_because
    assert plain(point) == {**plain(plainly), "method": "sampled", "sampled_because": point.sampled_because}


def test_a_closed_form_beside_f_counts_in_the_mean() -> None:
    class Penalised(type(toy(0))):
        def closed_form(self, q):
            return q.logits.square().sum(-1)

    point = measured("rloo", Penalised(**toy(1).model_dump(exclude={"bound"})), IntegratedMoments(), samples=2)
    bare = measured("rloo", toy(1), IntegratedMoments(), samples=2)
    assert point.bias.relative < 1e-12
    assert point.q.variance.estimate == pytest.approx(bare.q.variance.estimate)
    assert point.q.gradient_norm > 2 * bare.q.gradient_norm


def test_a_report_says_what_is_exact() -> None:
    cells = plan(parse_suite(SUITE, "exactly.toml")).cells
    records = [read(run_cell(cell).model_dump(by_alias=True, mode="json")) for cell in cells]
    assert {record.status for record in records} == {"ok"}
    summary = summarise(records)
    tables = {
        "variance": render.markdown(variance.make(summary.variance, "rloo")),
        "bias": render.markdown(bias.make(summary.bias)),
    }
    for text in tables.values():
        assert text.count("| exact |") == 6  # of 8 points
        assert "Exact: by integration over the estimator's noise, to a relative error of " in text
        assert "own parameters, of exact and of sampled points, stand still after 50 warm-up steps." in text
        assert text.count("sampled: the product over its noise has more than ") == 2
    assert "1 (reference)" in tables["variance"]
    assert tables["variance"].count("(exact)") == 6 + 4  # and ratios to rloo but its own
    assert tables["bias"].count("none: exact") == 4
    (line,) = (plot for plot in plots(summary) if plot.name.startswith("logit-"))
    assert "n = 300 draws. Exact, and so without bands: 6 points." in line.caption
    assert "Exact: by integration over the estimator's noise, to a relative error of" in line.said
    assert "Solid lines join exact points, dashed ones lead to sampled points." in line.said
    assert "a variance may be too low: rebar at |logit| 15." in line.said
    line.draw()
    told = [finding.text for found in findings(summary).values() for finding in found]
    assert any(text.startswith("No unbiased estimator is biased at the 4 points where") for text in told)
    assert any("`straight-through` †, declared biased: seen at 2 of 2 points" in text for text in told)
    lowest = findings(summary)["Lowest variance"]
    assert [point.partition(",")[0] for found in lowest for point in found.points] == ["|logit| 0 to 15: `disarm`"]
    assert lowest[-1].text.endswith("as many evaluations of f a row: `rebar` (4).")
    # Were it held against the others, rebar would be lower at 0; at 15 it lacks rare outcomes, and ranks nowhere.
    points = dict(list(summary.variance.groupby("point")))
    ranked = {point: at_point(rows, rows) for point, rows in points.items()}
    assert {point: one and one.words for point, one in ranked.items()} == {
        "|logit| 0": "`rebar`", "|logit| 15": "`disarm`"
    }  # fmt: skip
    assert lacking(summary.variance)[["label", "point"]].values.tolist() == [["rebar", "|logit| 15"]]
    assert any(text.startswith("Sampled at 2 points that were to be exact") and "`rebar`" in text for text in told)


def test_exact_variances_that_differ_by_rounding_share_the_first_place() -> None:
    suite = SUITE.replace(b"[0, 15]", b"[6]").replace(b'"disarm", "straight-through", "rebar"', b'"ugc", "bitflip"')
    cells = plan(parse_suite(suite, "exactly.toml")).cells
    summary = summarise([read(run_cell(cell).model_dump(by_alias=True, mode="json")) for cell in cells])
    variances = summary.variance.set_index("label")["variance"]
    assert variances["ugc"] == pytest.approx(variances["bitflip"], rel=1e-12)
    found = at_point(summary.variance, summary.variance)  # as though both spent equally many evaluations of f
    assert found is not None and found.words == "`bitflip` and `ugc`"
    ratio = variances["ugc"] / variances["rloo"]
    assert (found.shown, found.ratio, found.judges) == (f"{ratio:.5f} (exact)", pytest.approx(ratio, rel=1e-9), "")


def test_two_exact_variances_have_a_ratio_and_no_interval() -> None:
    def run(warm_up: int) -> Record:
        suite = SUITE.replace(b"draws = 300", b"draws = 300\nwarm_up = %d" % warm_up)
        cell = next(cell for cell in plan(parse_suite(suite, "exactly.toml")).cells if cell.estimator.name == "disarm")
        return read(run_cell(cell).model_dump(by_alias=True, mode="json"))

    (row,) = quantities.rows_of(Pair(run(0), run(1)))
    assert (row.estimate, row.remark, row.likeness) == (pytest.approx(1), "both exact", "equal")
    assert math.isnan(row.low) and math.isnan(row.high)


def test_verdicts_of_what_is_exact() -> None:
    def said(unbiased: bool, relative: float, floor: float = 1e-14) -> str:
        return verdict(BiasTest(unbiased, math.nan, relative, math.nan, math.nan, floor, False, False, exact=True), 1)

    assert said(True, 1e-13) == "none: exact"
    assert said(True, 1e-6) == AGAINST
    assert said(True, 1e-6, floor=2e-6) == "none: exact"
    assert said(False, 0.031) == "biased by 3.1 %: exact"
    assert said(False, 0.0) == "declared biased, none here: exact"
    assert said(True, math.nan) == "not told: the gradient is 0"
