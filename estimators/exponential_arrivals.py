"""Exponential arrival times: a relaxed Poisson number is how many arrivals come before time 1, softly counted.

H. Vafaii, D. Galor, J. L. Yates, Poisson variational autoencoder, 2024, arXiv:2405.14473. The gaps between arrivals are
exponential numbers divided by the rate, so that arrival times t_1 < t_2 < ... are differentiable functions of it, and
z = sum_i sigmoid((1 - t_i) / temperature) is one too. M. Ibrahim et al., A hitchhiker's guide to Poisson gradient
estimation, 2026, arXiv:2602.03896, count by a cubic that is 1 before 1 - temperature and 0 after 1 + temperature: as
the integral of that over time is 1, E[z] is the rate, for temperatures up to 1. Biased, less so when cold, and noisier.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import live, parameters
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.families.logits import watchable
from estimators.noise import Noise, exponential_of
from estimators.parts.temperature import Relaxation
from estimators.registry import register

RARELY = 1e-3
"""Chance that a count is cut off, up to which that is let pass: the bias of a relaxation is larger."""


def smooth_step(x: Tensor) -> Tensor:
    """0 below -1, 1 above 1, and the cubic with flat ends between: 3 u^2 - 2 u^3 of u = (1 + x) / 2."""
    u = ((1 + x) / 2).clamp(0, 1)
    return u.square() * (3 - 2 * u)


INDICATORS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "cubic": smooth_step}


@register(
    "exponential-arrivals",
    families=("poisson",),
    method="relaxation",
    unbiased=False,
    f_evals=one_a_sample,
    needs="relaxed f",
    variants=({"indicator": "cubic"},),
    summary="relaxed Poisson counts by arrival times; indicator = sigmoid | cubic, temperature fixed or annealed",
    paper="Vafaii, Galor and Yates 2024, arXiv:2405.14473; Ibrahim et al. 2026, arXiv:2602.03896",
)
class ExponentialArrivals(Relaxation):
    """The pathwise gradient of relaxed counts.

    Args:
        samples: relaxed draws a row.
        temperature: the width of the threshold, in units of time; see `Temperature`.
        final_temperature: the same after annealing.
        anneal_steps: over so many training steps.
        anneal_every: how many of them have one temperature.
        indicator: sigmoid or cubic.
        arrivals: how many are simulated, and the largest count.
    """

    def __init__(
        self,
        samples: int = 1,
        temperature: float = 0.1,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
        indicator: str = "sigmoid",
        arrivals: int = 50,
    ) -> None:
        super().__init__(samples, temperature, final_temperature, anneal_steps, anneal_every)
        if indicator not in INDICATORS:
            raise BadInput(unknown("indicator", indicator, list(INDICATORS)))
        if arrivals < 1:
            raise BadInput(f"arrivals must be 1 or more, got {arrivals}")
        self.indicator, self.arrivals = INDICATORS[indicator], arrivals

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        (rate,) = parameters(q)
        self._check(rate.detach())
        odds = noise.odds(self.arrivals * self.samples, rate).unflatten(0, (self.arrivals, self.samples))
        times = exponential_of(odds).cumsum(0) / rate  # arrivals x S x *B x D
        temperature: Tensor = self.temperature()
        z = self.indicator((1 - times) / temperature.to(times)).sum(0)
        surrogate = f(z, live(q)).mean(0)
        return Estimate(surrogate, surrogate.detach())

    def _check(self, rate: Tensor) -> None:
        """Refuse rates whose counts are often cut off, where rates can be looked at.

        Raises:
            BadInput: there is one.
        """
        if rate.device.type == "cpu" and watchable(rate):
            largest = rate.max().double()
            if float(torch.special.gammainc(torch.full_like(largest, self.arrivals + 1), largest)) > RARELY:
                raise BadInput(
                    f"{self.label} simulates {self.arrivals} arrivals, too few for a rate of {float(largest):.3g}; "
                    f"give arrivals={int(largest + 5 * largest.sqrt() + 10)}"
                )
