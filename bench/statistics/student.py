"""Student's t without scipy, which is not installed on every node that runs a suite."""

import math


def two_sided(t: float, freedom: float) -> float:
    """Chance that Student's t is as far from 0, by the transformation to a Gaussian number of D. L. Wallace, Bounds on
    normal approximations to Student's and the chi-square distributions, Ann. Math. Statist. 30, 1959.

    Far out, where it is asked for coordinates by the hundred, a Gaussian law of t from a hundred draws is too small
    by a factor of three and more.
    """
    z = t
    if math.isfinite(freedom):
        z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return math.erfc(z / math.sqrt(2))
