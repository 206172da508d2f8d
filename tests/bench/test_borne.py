"""Whether a bias can be borne: against the simulated error of means, and in the words of a verdict."""

import math

import numpy as np
import pytest

from bench.library.borne import AVERAGED, Measured, steps_borne, verdict
from bench.statistics import Interval


def exactly(name: str, variance: float, bias: float, gradient: float = 1.0) -> Measured:
    """An estimator of which everything is exact."""
    alone = [Interval(x, math.nan, math.nan) for x in (variance, bias**2, bias / gradient)]
    return Measured(name, *alone)


def test_a_mean_of_that_many_steps_is_where_the_unbiased_one_takes_over() -> None:
    """By the simulated mean squared error of means of n gradients, one fewer and one more than the number."""
    biased, fair = exactly("sly", 1.0, 0.5), exactly("fair", 3.6, 0.0)
    steps = steps_borne(biased, fair).estimate
    assert steps == pytest.approx(10.4)
    rng = np.random.default_rng(0)
    errors = {}
    for n in (10, 11):
        for name, variance, bias in (("sly", 1.0, 0.5), ("fair", 3.6, 0.0)):
            means = rng.normal(bias, math.sqrt(variance), (200_000, n)).mean(1)
            errors[name, n] = float(np.square(means).mean())
    assert errors["sly", 10] < errors["fair", 10] and errors["sly", 11] > errors["fair", 11]


def test_momentum_acts_as_a_mean_of_as_many() -> None:
    """The variance of an exponential average of independent gradients is that of a mean of nineteen."""
    weights = 0.1 * 0.9 ** np.arange(1000)
    assert 1 / float(np.square(weights).sum()) == pytest.approx(AVERAGED, rel=1e-9)


def test_the_verdict_is_that_of_the_interval() -> None:
    fair = exactly("fair", 101.0, 0.0)
    assert "a problem." in verdict(exactly("sly", 1.0, 4.0), fair, "here")  # 100 / 16
    said = verdict(exactly("sly", 1.0, 1.0), fair, "here")
    assert said.startswith("sly at here: its bias is 100 % (exact) of the gradient. It serves better than fair, ")
    assert "means of up to 100 steps; momentum of 0.9 acts as a mean of 19: no problem while" in said
    assert "the bias buys nothing" in verdict(exactly("sly", 101.0, 1.0), fair, "here")
    unsure = Measured("sly", Interval(1, 0.9, 1.1), Interval(5.0, 1.0, 9.0), Interval(2.2, 1.0, 3.0))
    found = steps_borne(unsure, fair)
    assert found == pytest.approx((20.0, (101 - 1.1) / 9, (101 - 0.9) / 1))
    assert "not told by so many draws" in verdict(unsure, fair, "here")


def test_where_there_is_no_bias_any_mean_will_do() -> None:
    said = verdict(exactly("sly", 1.0, 0.0), exactly("fair", 101.0, 0.0), "here")
    assert "the best unbiased one, in means of any number of steps; momentum" in said and "no problem" in said


def test_a_bias_that_was_not_seen_is_bounded() -> None:
    fair = exactly("fair", 101.0, 0.0)
    unseen = Measured("sly", Interval(1.0, 1.0, 1.0), Interval(0.0, -0.5, 2.0), Interval(0.0, 0.0, 1.4))
    said = verdict(unseen, fair, "here")
    assert "None was seen; were it as large as its interval allows" in said and "up to 50.0 steps" in said
    assert "no problem" in said


def test_what_serves_worse_at_one_step_serves_better_in_no_mean() -> None:
    """A mean of less than one step there is not."""
    fair = exactly("fair", 2.0, 0.0)
    assert steps_borne(exactly("sly", 1.0, 2.0), fair).estimate == 0.25
    said = verdict(exactly("sly", 1.0, 2.0), fair, "here")
    assert said.endswith(
        "It serves worse than fair, the best unbiased one, at a single step already; momentum of 0.9 acts as a mean of "
        "19: a problem."
    )
    unseen = Measured("sly", Interval(1.9, 1.5, 2.3), Interval(0.0, -0.5, 2.0), Interval(0.0, 0.0, 1.4))
    said = verdict(unseen, fair, "here")
    assert "None was seen; were it as large as its interval allows, it might serve worse than fair, the best " in said
    assert said.endswith("not told by so many draws.")
