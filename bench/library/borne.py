"""Whether a bias can be borne: how many steps may be averaged before it outweighs the noise that it saves.

The mean of n independent gradients has the squared error variance / n + |bias|^2. An estimator of variance V and
squared bias B is nearer to the gradient than an unbiased one of variance U while n < (U - V) / B. Momentum averages:
with a decay m of the first moment the variance of the average is (1 - m) / (1 + m) of one gradient's, so that it acts
as the mean of (1 + m) / (1 - m) of them, 19 at m = 0.9; a falling learning rate averages more.
"""

import math
from typing import NamedTuple

from bench.report.text import interval, number, percent, percent_interval
from bench.statistics import Interval

MOMENTUM = 0.9
"""Adam's, by default."""
AVERAGED = (1 + MOMENTUM) / (1 - MOMENTUM)
"""Gradients that it acts as the mean of."""


class Measured(NamedTuple):
    """An estimator at a point."""

    name: str
    variance: Interval
    bias_squared: Interval
    relative_bias: Interval


def steps_borne(biased: Measured, unbiased: Measured) -> Interval:
    """(U - V) / B, 0 where the biased one has no lower variance; its ends are those of the three intervals together.

    Where each of the three holds at 95 %, it holds at 85 % at least. Without intervals, of exact values, the ends are
    the number itself.
    """
    parts = (unbiased.variance, biased.variance, biased.bias_squared)
    ends = [(one.estimate,) * 2 if math.isnan(one.low) else (one.low, one.high) for one in parts]
    (u_low, u_high), (v_low, v_high), (b_low, b_high) = ends
    estimate = _steps(unbiased.variance.estimate - biased.variance.estimate, biased.bias_squared.estimate)
    return Interval(estimate, _steps(u_low - v_high, b_high), _steps(u_high - v_low, b_low))


def _steps(saved: float, squared: float) -> float:
    if saved <= 0:
        return 0.0
    return saved / squared if squared > 0 else math.inf


def verdict(biased: Measured, unbiased: Measured, place: str) -> str:
    """Sentences: the bias, in how long a mean it can be borne, and whether momentum takes a longer one."""
    found = steps_borne(biased, unbiased)
    said = f"{biased.name} at {place}: its bias is {size(biased.relative_bias)} of the gradient."
    if found.high == 0:
        return f"{said} Its variance is not lower than that of {unbiased.name}, so that the bias buys nothing."
    beside = f"{unbiased.name}, the best unbiased one,"
    if biased.bias_squared.low <= 0:  # of what is not exact
        said += " None was seen; were it as large as its interval allows, it "
        if found.low < 1:
            said += f"might serve worse than {beside} at a single step already"
        else:
            said += f"would serve better than {beside} in means of up to {number(found.low)} steps"
    elif found.high < 1:
        said += f" It serves worse than {beside} at a single step already"
    else:
        steps = f"up to {number(found.estimate) if found.low == found.high else interval(*found)}"
        said += (
            f" It serves better than {beside} in means of {'any number of' if math.isinf(found.low) else steps} steps"
        )
    verdicts = {found.low > AVERAGED: "no problem while the learning rate is high", found.high < AVERAGED: "a problem"}
    judged = verdicts.get(True, "not told by so many draws")
    return f"{said}; momentum of {MOMENTUM} acts as a mean of {AVERAGED:.0f}: {judged}."


def size(bias: Interval) -> str:
    """A relative bias with its interval, or marked as exact."""
    return f"{percent(bias.estimate)} (exact)" if math.isnan(bias.low) else percent_interval(*bias)
