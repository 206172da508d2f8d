"""Counts by the inversion of their distribution function, and sums over all of them that matter.

One uniform number u makes a count: it is k or more where the odds u / (1 - u) are below the odds of that outcome,
P(z >= k) / P(z < k). Both chances are sums of positive numbers, taken from their own end, so that the odds keep their
digits in both tails.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from estimators.families.logits import watchable
from estimators.families.quadrature import MAX_STATES, tuples
from estimators.noise import Noise

DOUBLE = torch.float64
FEW = 8.0
"""Rate up to which the chances of all counts are summed up; above it only those near the quantile are."""
MOST_OF_FEW = 54
"""Count that a Poisson number of rate `FEW` exceeds with a chance below 2^-54, as is no noise."""
MARGIN = 2
"""Counts on each side of an approximate quantile that are looked at; it is off by one and a fraction at most."""
NUMBERS_AT_ONCE = {"cpu": 2**15}
"""Of a table by device: on a CPU it is to stay in its cache, on others it is to fill them."""
MANY_AT_ONCE = 2**21
LEFT_OUT = 1e-17
"""Chance of the counts that a sum leaves out, under the law itself and under one whose rate is `TILT` times that."""
TILT = 2.718281828459045


def log_poisson(rate: Tensor, z: Tensor) -> Tensor:
    """log of e^-rate rate^z / z!, for z that need not be whole; 0 log 0 is 0."""
    return torch.xlogy(z, rate) - rate - (z + 1).lgamma()


def poisson(rate: Tensor, samples: int, noise: Noise) -> Tensor:
    """Draws [samples, *rate.shape] in rate's dtype, from one uniform number each; outside any graph.

    Exact to 1e-8 of each chance, down to 1e-15 at either end, at rates up to 10^4. At rates of millions counts that
    are more than 4.5 standard deviations above the mean come some counts too small: torch's incomplete gamma function
    leaves its asymptotic series there for one that ends too early. Time and memory do not grow with the rate.

    Args:
        rate: positive and finite.
        samples: S.
        noise: of the call.
    """
    wide = rate.detach().to(DOUBLE)
    # Where rates can be looked at, only as many chances are summed up as are needed; no draw depends on that.
    seen = wide.device.type == "cpu" and watchable(wide) and wide.numel() > 0
    all_few = seen and float(wide.max()) <= FEW
    most = _reach(float(wide.max())) if all_few else MOST_OF_FEW

    def places(rows: Tensor) -> Tensor:
        return odds_of_few(rows, most) if all_few else rows.new_empty(0, *rows.shape)

    odds = noise.odds_among(samples, wide, places)
    flat, drawn = wide.reshape(-1), odds.reshape(samples, -1)
    found = torch.empty_like(drawn)
    step = max(1, NUMBERS_AT_ONCE.get(wide.device.type, MANY_AT_ONCE) // (most + samples))
    for start in range(0, flat.numel(), step):
        part, here = flat[start : start + step], slice(start, start + step)
        if all_few:
            found[:, here] = _among_few(part, drawn[:, here], most)
        elif seen and float(part.min()) > FEW:
            found[:, here] = _near_quantile(part, drawn[:, here])
        else:
            few, near = _among_few(part, drawn[:, here], most), _near_quantile(part, drawn[:, here])
            found[:, here] = torch.where(part > FEW, near, few)
    return found.reshape(odds.shape).to(rate.dtype)


def _reach(rate: float) -> int:
    """A count that is exceeded with a chance below 2^-54, for rates up to `FEW`."""
    return int(15 + 4.8 * rate)


def odds_of_few(rate: Tensor, most: int) -> Tensor:
    """P(z >= k) / P(z < k) of k = 1, ..., `most`: [most, *rate.shape]; beyond them all is taken for `most`."""
    k = torch.arange(most + 8, dtype=DOUBLE, device=rate.device).reshape(-1, *[1] * rate.dim())
    chance = (k * rate.log() - rate - (k + 1).lgamma()).exp()
    above = chance.flip(0).cumsum(0).flip(0)  # P(z >= k), to the last of the table
    return above[1 : most + 1] / chance.cumsum(0)[:most]


def _among_few(rate: Tensor, odds: Tensor, most: int) -> Tensor:
    """Draws [S, M] of rates [M] up to `FEW`, by a table of the odds of all counts."""
    table = odds_of_few(rate.clamp_max(FEW), most).flip(0).T.contiguous()  # M x most, rising
    below = torch.searchsorted(table, odds.T.contiguous(), right=True)
    return (most - below).T.to(odds)


def _near_quantile(rate: Tensor, odds: Tensor) -> Tensor:
    """Draws [S, M] of rates [M] above `FEW`: Cornish and Fisher's quantile, then the odds of the counts around it."""
    rate = rate.clamp_min(FEW)
    upper, lower = odds / (1 + odds), 1 / (1 + odds)
    w = torch.where(odds < 1, -torch.special.ndtri(upper), torch.special.ndtri(lower))
    guess = rate + rate.sqrt() * w + (w.square() - 1) / 6 + (w - w.pow(3)) / (72 * rate.sqrt())
    least = (guess.round() - MARGIN).clamp_min(0)
    last = least + 2 * MARGIN
    k = least + torch.arange(1, 2 * MARGIN + 1, dtype=DOUBLE, device=odds.device).reshape(-1, 1, 1)  # N x S x M
    chance = torch.cat((log_poisson(rate, least).exp()[None], rate / k)).cumprod(0)
    at_least = torch.special.gammainc(last + 1, rate.expand_as(last)) + chance.flip(0).cumsum(0).flip(0)
    under = torch.where(least > 0, torch.special.gammaincc(least.clamp_min(1), rate.expand_as(least)), 0.0)
    less = under + chance.cumsum(0)
    found: Tensor = least + (odds < at_least[1:] / less[:-1]).sum(0)
    return found


def reach(exceeded: Callable[[Tensor], Tensor], start: Tensor, allowed: float = LEFT_OUT) -> Tensor:
    """The least count that is exceeded with less than the allowed chance, or one a little above it.

    Args:
        exceeded: chances P(z > k) of k [...].
        start: [...], a count that is exceeded more often.
        allowed: chance.
    """
    step = torch.ones_like(start)
    for _ in range(60):
        short = exceeded(start + step) >= allowed
        if not bool(short.any()):
            break
        step = torch.where(short, 2 * step, step)
    low, high = start, start + step
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        short = exceeded(middle) >= allowed
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high


def product(least: Tensor, most: Tensor, log_prob: Callable[[Tensor], Tensor], what: str) -> tuple[Tensor, Tensor]:
    """Every tuple of counts from `least` to `most`, latent by latent, with their chances.

    Args:
        least: [*B, D], first count of each latent that matters.
        most: [*B, D], the last one.
        log_prob: of points [N, *B, D], to [N, *B].
        what: q in words, for the message.

    Returns:
        Points [N, *B, D] and chances [N, *B].

    Raises:
        ValueError: too many tuples.
    """
    size, count = least.shape[-1], int((most - least).max()) + 1
    if count**size > MAX_STATES:
        raise ValueError(f"{what}: {count}^{size} counts matter, too many to sum over (at most {MAX_STATES})")
    steps = tuples(torch.arange(count, dtype=least.dtype, device=least.device), size)  # N x D
    z = least + steps.reshape(-1, *[1] * (least.dim() - 1), size)
    return z, log_prob(z).exp()
