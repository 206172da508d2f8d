"""No interval where too few rare outcomes can be expected, and which draws would be enough."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Distribution, Normal, OneHotCategorical

import estimators
import gradest
from bench.measure import gradient_moments
from bench.measure.rare import expected_rare_events, least_draws, rare_events
from bench.records.results import Moments
from bench.suite.load import load_suite, parse_suite, suite_names
from estimators.errors import BadInput

DOUBLE = torch.float64


def bits(*logits: float, rows: int = 1) -> Distribution:
    return Bernoulli(logits=torch.tensor([logits] * rows, dtype=DOUBLE))


def cost(z: torch.Tensor, q: Distribution, /) -> torch.Tensor:
    return (z.sum(-1) - 0.45).square()


def test_rare_outcomes_of_like_units_add_up() -> None:
    """100 draws of four bits at 6 leave their likeliest value once in all, as often as two draws of two rows each."""
    p = 1 / (1 + math.exp(6))
    assert expected_rare_events(bits(6.0, -6.0, 6.0, 6.0), 100) == pytest.approx(400 * p, rel=0.01)
    assert expected_rare_events(bits(6.0, -6.0, rows=4), 50) == pytest.approx(400 * p, rel=0.01)
    assert expected_rare_events(bits(6.0), 100) == pytest.approx(100 * p * (1 - p) / (1 - 2 * p) ** 2)
    three = OneHotCategorical(logits=torch.tensor([[[6.0, 0.0, 0.0]]], dtype=DOUBLE))
    off = 2 / (2 + math.exp(6))
    assert expected_rare_events(three, 100) == pytest.approx(100 * off * (1 - off) / (1 - 2 * off) ** 2)


def test_what_is_not_rare_is_not_counted() -> None:
    for q in (bits(0.0, 0.0), Normal(torch.zeros(1, 2), torch.ones(1, 2)), bits(-math.inf, math.inf)):
        assert math.isnan(expected_rare_events(q, 10))
        assert least_draws(q, 1) == 3
    many = OneHotCategorical(logits=torch.zeros(1, 2, 10))
    assert math.isnan(expected_rare_events(many, 10))
    assert math.isnan(rare_events(estimators.create("exact"), bits(6.0, 6.0), 10))
    assert rare_events(estimators.create("rloo", samples=4), bits(6.0), 10) == expected_rare_events(bits(6.0), 40)


def test_almost_certain_bits_cry_no_wolf_among_many_others_and_do_alone() -> None:
    """200 bits of 50 rows, a quarter of which hardly ever flip; a bit beside three sharp ones, whose costs it shows."""
    logits = torch.linspace(-4, 4, 200, dtype=DOUBLE).repeat(50, 1)
    logits[:, ::4] = 14.0
    assert expected_rare_events(Bernoulli(logits=logits), 100) > 1000
    assert expected_rare_events(bits(0.0, 6.0, 6.0, 6.0), 1000) == pytest.approx(
        3 * expected_rare_events(bits(6.0), 1000), rel=0.05
    )


def test_a_variance_without_enough_rare_outcomes_has_no_interval() -> None:
    """At 100 draws of four bits at 6; one that sums over all outcomes has one, and so do ten times as many draws."""
    q = bits(6.0, 6.0, 6.0, 6.0)
    for draws, narrow in ((100, False), (1000, True)):
        found = gradient_moments(estimators.create("rloo"), q, cost, draws=draws, seed=4).total
        assert (math.isfinite(found.high), found.low > 0) == (narrow, narrow)
    assert gradient_moments(estimators.create("exact"), q, cost, draws=100).total == (0, 0, 0)


def test_compare_says_why_there_is_no_interval() -> None:
    comparison = gradest.compare((bits(6.0, 6.0), cost), ["rloo", "exact"], draws=100, timed=False)
    frame = comparison.frame().set_index("estimator")
    row = frame.loc["rloo"]
    assert (row["variance_low"], row["variance_high"], row["mse_low"], row["mse_high"]) == (0, math.inf, 0, math.inf)
    assert row["heavy_tailed"] and row["rare_events"] == pytest.approx(1, rel=0.02)
    assert not frame.loc["exact", "heavy_tailed"]
    assert "<td>too few rare outcomes</td>" in comparison._repr_html_()
    words = "only 1 rare outcomes can be expected among the 100 draws, and 8 must be; take at least 803"
    assert words in comparison._repr_html_()
    sharp = gradest.compare((bits(6.0, 6.0), cost), ["rloo"], draws=100, timed=False)
    assert words in str(sharp.best())
    (point,) = sharp.records[0].result(Moments).points
    assert (point.q.variance.log_se, point.q.halves_log_se) == (math.inf, (math.inf, math.inf))


def test_minibatches_at_a_sharp_q_have_no_interval_either() -> None:
    """Student's t over minibatches, none of which met anything, is no interval of what none met."""

    def points(logit: float) -> object:
        return gradest.compare(lambda: (bits(logit, logit), cost), ["rloo"], draws=25, minibatches=5, timed=False)

    assert math.isinf(points(6.0).frame()["variance_high"][0])  # type: ignore[attr-defined]
    assert math.isfinite(points(0.5).frame()["variance_high"][0])  # type: ignore[attr-defined]


SHARP = """
name = "sharp"
samples = 2
problems = [{kind = "toy", objective = "cubic", family = "bernoulli", latents = 4, logits = [0, 6]}]
estimators = ["rloo", "reinforce"]

[moments]
draws = 100
"""


def test_a_suite_with_too_few_draws_for_its_toys_is_refused(tmp_path) -> None:
    """But for one that already ran, whose records are to be read, and for points that are exact."""
    path = tmp_path / "sharp.toml"
    path.write_text(SHARP)
    with pytest.raises(BadInput) as refused:
        load_suite(str(path))
    assert str(refused.value) == (
        "sharp.toml: moments.draws = 100 is too few for cubic/bernoulli-4 at |logit| 6: 2 rare outcomes are expected "
        "among them, and an interval takes 8; take at least 402 draws, a smaller |logit|, or exact = true"
    )
    assert parse_suite(SHARP.encode(), "sharp.toml").name == "sharp"
    for change in (("draws = 100", "draws = 402"), ("draws = 100", "draws = 100\nexact = true"), ("[0, 6]", "[0, 3]")):
        path.write_text(SHARP.replace(*change))
        assert load_suite(str(path)).name == "sharp"
    path.write_text(SHARP.replace('["rloo", "reinforce"]', '["exact"]'))  # which draws nothing
    assert load_suite(str(path)).name == "sharp"
    path.write_text(SHARP.replace("draws = 100", "draws = 401"))
    with pytest.raises(BadInput, match="take at least 402 draws"):
        load_suite(str(path))


def test_the_suites_that_come_along_have_enough_draws() -> None:
    assert all(load_suite(name).name == name for name in suite_names())


def test_a_mean_that_met_no_rare_outcome_has_no_interval_of_its_bias() -> None:
    """All draws agree that the gradient is 0, which is off by all of it; an estimator without noise is the better."""
    q = bits(9.0, 9.0)
    comparison = gradest.compare((q, cost), ["rloo", "exact"], draws=50, timed=False)
    frame = comparison.frame().set_index("estimator")
    row = frame.loc["rloo"]
    assert row["relative_bias"] == pytest.approx(1, abs=1e-6) and math.isnan(row["relative_bias_high"])
    assert math.isnan(row["bias_squared_low"]) and math.isnan(row["bias_squared_high"])
    assert comparison.best("bias").label == "exact"
    several = gradest.compare(lambda: (bits(9.0, 9.0), cost), ["rloo"], draws=50, minibatches=5, timed=False)
    assert math.isnan(several.frame()["bias_squared_high"][0])
