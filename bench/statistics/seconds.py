"""Seconds: their quartiles, and the standard error of a median ratio of what was timed side by side."""

import math

import numpy as np
from numpy.typing import ArrayLike

from bench.statistics.interval import array, normal_quantile


def quartiles(values: ArrayLike) -> dict[str, float]:
    """Median, quartiles and number of some seconds or ratios, as records hold them."""
    x = array(values)
    q25, median, q75 = np.quantile(x, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "q25": q25, "q75": q75, "n": x.size}


STRETCHES = {3: 4.302653, 5: 2.776445}
"""Into how many stretches rounds are cut, with Student's quantile of 95 % for so many: timing needs no scipy."""


def median_log_se(rounds: ArrayLike) -> float:
    """Standard error of the logarithm of the median of ratios that were taken one after another.

    Neighbouring rounds of a noisy machine are alike, so that they count for less than as many independent ones. The
    rounds are cut into 3 and into 5 stretches, whose medians depend on each other only at their ends; the wider of the
    two Student intervals from them counts, since a burst about as long as a stretch hides from one of them. A test
    simulates its coverage for independent lognormal clocks, for bursts, and for neighbours that correlate.

    Args:
        rounds: [n] positive ratios, in the order in which they were taken.

    Returns:
        The half-width of that 95 % interval over the Gaussian quantile, so that it combines with other standard errors;
        infinity for fewer than 5 rounds.
    """
    logs = np.log(array(rounds))
    if logs.size < max(STRETCHES):
        return math.inf
    halves = []
    for count, quantile in STRETCHES.items():
        medians = [np.median(stretch) for stretch in np.array_split(logs, count)]
        halves.append(float(quantile * np.std(medians, ddof=1) / math.sqrt(count)))
    return max(halves) / normal_quantile(0.95)
