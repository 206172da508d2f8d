"""How many rare outcomes draws can be expected to hold: what the interval of a variance rests on where q is sharp.

At a sharp q the variance of a gradient is made by the few draws in which a unit leaves its likeliest value. Draws that
met none of them look alike, and their jackknife interval is narrow and far too low; so how many can be expected, which
q says beforehand, decides whether there is an interval at all. How many were met does not: to keep the intervals of
those draws that met many is to keep the wrong ones (see `tox -e audit`).
"""

import math

from torch.distributions import Distribution

from bench.statistics import LEAST_RARE_EVENTS
from estimators.base import Estimator
from estimators.distributions import parameters
from estimators.families import Enumerated, family_of


def expected_rare_events(q: Distribution, outcomes: float) -> float:
    """Expected number of rare outcomes among the outcomes of q, each unit counting by its part in the variance.

    Units with chances p_i to leave their likeliest value, which contribute shares w_i, have as a whole the events
    (sum w)^2 / sum(w^2 / e), the number of equal ones that would make a variance as uncertain. Here e_i is N p_i where
    p_i is small, and N p_i (1 - p_i) / (1 - 2 p_i)^2 throughout: one over the relative variance of the unit's own mean
    square, so that a unit that is as likely as not, whose square is always the same, has no rare outcome. Of two
    numbers the smaller counts, with v_i = p_i (1 - p_i):

        w_i = v_i                          a unit's gradient rests on its own flips (score function, coupled pairs)
        w_i = v_i sum_{j != i} v_j^2       the others' gradients rest on them (a unit's own value is summed over)

    So a unit that hardly ever flips counts only where it is among its like: hundreds of almost certain bits beside
    others take nothing away.

    Args:
        q: rows *B.
        outcomes: N, draws times samples.

    Returns:
        The number; NaN where no outcome is rare, as of continuous q, of units that are certain, or as likely as not.
    """
    family = family_of(q)
    if not isinstance(family, Enumerated):
        return math.nan
    (logits,) = parameters(q)
    p = family.rarity(logits.detach().double().cpu())
    p = p.reshape(-1, p.shape[-1])  # rows x units
    v = p * (1 - p)
    events = outcomes * v / (1 - 2 * p.clamp_max(0.5)).square()  # infinite from one half on
    numbers = []
    for weights in (v, v * (v.square().sum(-1, keepdim=True) - v.square())):
        flips = (p > 0) & (weights > 0)
        share = weights[flips] / weights[flips].sum()
        if share.numel():
            uncertain = float((share.square() / events[flips]).sum())
            numbers += [1 / uncertain] if uncertain > 0 else []
    return min(numbers, default=math.nan)


def rare_events(estimator: Estimator, q: Distribution, draws: int) -> float:
    """Expected number among some draws of an estimator; NaN for one that sums over all outcomes."""
    if estimator.entry is not None and estimator.entry.enumerates:
        return math.nan
    return expected_rare_events(q, draws * estimator.samples)


def least_draws(q: Distribution, samples: int) -> int:
    """The smallest number of draws for which a variance has an interval at q."""
    each = expected_rare_events(q, samples)
    return 3 if math.isnan(each) else max(3, math.ceil(LEAST_RARE_EVENTS / each))
