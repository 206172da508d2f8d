"""Total noise of an encoder's gradient: that of the estimator, and that of the choice of the minibatch."""

import math
from typing import NamedTuple

import pandas as pd

from bench.report.tables.view import Row, ends, rows_of, with_ends
from bench.statistics import Interval, normal_quantile, ratio_interval, replicated, replicated_ratio

PARTS = with_ends("encoder_variance", "minibatch_variance")
REPLICATES = ["encoder_replicates", "minibatch_replicates"]
COLUMNS = with_ends("noise_ratio", "total_variance", "gain")
_QUANTILE = normal_quantile(0.95)
_NOTHING = Interval(math.nan, math.nan, math.nan)


class Total(NamedTuple):
    """Variances of the gradient with respect to the encoder's weights, with their logarithms' standard errors.

    Both fall as 1 / rows, so that what one is of the other does not depend on the size of the minibatch.
    """

    estimator: float
    estimator_log_se: float
    minibatch: float
    minibatch_log_se: float

    @property
    def known(self) -> bool:
        """Whether both were measured, and rows vary at all."""
        return self.minibatch > 0 and not math.isnan(self.estimator)

    @property
    def variance(self) -> float:
        """By the law of total variance."""
        return self.estimator + self.minibatch


def _log_se(estimate: float, low: float, high: float) -> float:
    """From the ends of an interval that is symmetrical on the logarithm; infinite where one of them is 0 or infinite.

    NaN where there are none.
    """
    if math.isnan(low) or math.isnan(high) or estimate == 0:
        return 0.0 if estimate == 0 else math.nan
    return math.log(high / low) / (2 * _QUANTILE) if low > 0 and high < math.inf else math.inf


def total_of(row: Row) -> Total:
    """The two parts of a row."""
    own, minibatch = ([row[column] for column in ends(f"{name}_variance")] for name in ("encoder", "minibatch"))
    return Total(own[0], _log_se(*own), minibatch[0], _log_se(*minibatch))


def _error(*parts: tuple[float, float]) -> float:
    """Of (weight, error), independent of each other, in all; what has no weight adds nothing, however uncertain."""
    return math.hypot(*(weight * error for weight, error in parts if weight != 0))


def ratio_of_totals(above: Total, below: Total, factor: float, log_se: float) -> Interval:
    """Total noise of one estimator over another's at the same rows, whose minibatch noise is one and the same.

    Args:
        above, below: the two.
        factor: what the ratio is multiplied by, such as that of two costs.
        log_se: standard error of the factor's logarithm.
    """
    common = above.minibatch / above.variance - below.minibatch / below.variance
    own = _error(
        (above.estimator / above.variance, above.estimator_log_se),
        (below.estimator / below.variance, below.estimator_log_se),
        (common, above.minibatch_log_se),
        (1.0, log_se),
    )
    return ratio_interval(factor * above.variance, own, below.variance, 0.0)


def _columns(row: Row) -> dict[str, float]:
    total, own, minibatch = total_of(row), row["encoder_replicates"], row["minibatch_replicates"]
    found = [_NOTHING] * 3
    if own is not None and minibatch is not None:
        ratio = replicated_ratio(own, minibatch)
        found = [ratio, replicated(own + minibatch), Interval(*map(_share, ratio))]
    elif total.known:
        ratio = ratio_interval(total.estimator, total.estimator_log_se, total.minibatch, total.minibatch_log_se)
        share = total.estimator / total.variance
        error = _error((share, total.estimator_log_se), (1 - share, total.minibatch_log_se))
        found = [ratio, ratio_interval(total.variance, error, 1.0, 0.0), Interval(*map(_share, ratio))]
    return dict(zip(COLUMNS, (end for interval in found for end in interval), strict=True))


def _share(ratio: float) -> float:
    return 1.0 if math.isinf(ratio) else ratio / (1 + ratio)


def total_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """For each row of moments with an encoder, each with the ends of its interval.

    `noise_ratio` is the estimator's variance over the minibatch's, `total_variance` their sum, and `gain` the share of
    it that would go if the estimator had no noise.
    """
    return pd.DataFrame([_columns(row) for row in rows_of(frame[[*PARTS, *REPLICATES]])], columns=COLUMNS)
