"""The best of several learning rates, by the final test ELBO of seeds trained with each.

One rule for whoever chooses a rate: the run that widens its grid, and the report that shows each estimator at its best.
"""

import math
from collections.abc import Mapping, Sequence

Ends = Sequence[float | None]
"""Final test ELBO of each seed in nats; None or NaN for one that diverged."""


def merit(ends: Ends) -> tuple[float, float]:
    """How good a rate is, as pairs that compare.

    A diverged seed has no ELBO to average, and leaving it out would favour a rate that most seeds do not survive. So a
    rate is better where a larger share of its seeds ended, whatever the ELBO of those, and of equal shares the higher
    mean ELBO is better.

    Returns:
        The share of seeds that ended and their mean ELBO; (0, -infinity) where none did.
    """
    ended = [end for end in ends if end is not None and math.isfinite(end)]
    return (len(ended) / len(ends), math.fsum(ended) / len(ended)) if ended else (0.0, -math.inf)


def best_rate(ends: Mapping[float, Ends]) -> float | None:
    """The rate of the highest merit, of equal ones the lowest; None where no seed ended at any."""
    rate = max(sorted(ends), key=lambda rate: merit(ends[rate]), default=None)
    return None if rate is None or merit(ends[rate])[0] == 0 else rate


def beyond(rates: Sequence[float], best: float) -> float | None:
    """The rate that follows the best one where that lies at an edge of the grid.

    It is as far from the edge, by their ratio, as the edge is from its neighbour; of six significant digits, since it
    becomes a part of a cell's id.

    Returns:
        The rate; None where the best one lies inside, or there is no second one to tell the ratio.
    """
    ordered = sorted(rates)
    if len(ordered) < 2 or best not in (ordered[0], ordered[-1]):
        return None
    neighbour = ordered[1] if best == ordered[0] else ordered[-2]
    return float(f"{best * (best / neighbour):.6g}")
