"""How to read the figures of a report, said once for all of them: on its page, and at the head of the captions."""

from bench.statistics import FEW_EFFECTIVE_DRAWS

READING = (
    "Colour is the family of methods, the marker the estimator, alike in every figure of every report; hollow "
    "markers and †: declared biased, and a variance says nothing of a bias.",
    "Variance is the trace of the covariance of the gradient, over the estimator's noise alone: parameters, "
    "trajectory and minibatches are the same for all estimators. Intervals at a step of one trajectory and one "
    "minibatch say nothing of another trajectory or another minibatch.",
    f"Heavy tails: draws / kurtosis below {FEW_EFFECTIVE_DRAWS:g}, or too few rare outcomes; such intervals are "
    "optimistic or missing. What is exact is integrated over the noise, and has no interval.",
    "Estimator / minibatch variance: both fall as 1 / rows, so that the ratio holds for a minibatch of any size. "
    "At 1 half of the total noise would go without the estimator's; far to the left training would not notice.",
    "Bias: the Monte Carlo noise of the mean is taken off. Dashed from the left edge: the interval holds 0 and "
    "ends where the bar does. Grey bar: the smallest bias that would have shown.",
    "Along a dotted line variance x evaluations of f, or variance x seconds, is equal, and so is the efficiency: "
    "the lower line is the better one. What falls along it gains from more samples no more than from averaging "
    "more calls; what falls more steeply gains more.",
    "ELBO: initialisation and data order are fixed by the seed, alike for all estimators and rates; what lies "
    "below the axis is cut off, and a final value there is in the key.",
    "The time of a step is the ratio to a plain step timed beside it, times the median plain step of all "
    "estimators. Its floor, a grey bar, is a step that makes the same passes over f with all that is drawn and "
    "learned given. The Pareto front, dashed, is of the unbiased estimators alone.",
)
"""Sentences, each of one thing that all figures share or that one kind of them shows."""
