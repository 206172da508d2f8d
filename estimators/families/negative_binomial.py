"""Negative binomial latents: NegativeBinomial(total_count, logits=), independent, [*B, D]; draws are 0, 1, 2, ...

With r = exp(logits) the mean is total_count r, the variance total_count r (1 + r), and the chance of another success
after one is p = sigmoid(logits). Gradients are of total_count, any positive number, and of logits. A draw is a Poisson
number whose rate is r times a gamma number of shape total_count: not one uniform number, and so not integrated over.
"""

import math
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.nn import functional as F

from estimators.errors import BadInput
from estimators.families.base import Counted
from estimators.families.counts import poisson, product, reach
from estimators.families.logits import watchable
from estimators.families.poisson import LARGEST, SMALLEST
from estimators.families.registry import register_family
from estimators.noise import Noise

LEAST_LOGIT, MOST_LOGIT = math.log(SMALLEST), math.log(LARGEST)
"""In the place of infinite logits."""


@register_family
class NegativeBinomial(Counted):
    """Counts, with total counts and logits."""

    name = "negative-binomial"
    distribution = TorchNegativeBinomial
    parameter_names = ("total_count", "logits")
    sharpness = "sharpness s, logits -3/2 - s/5 and -3/2 + s/60"
    sweep = "scales"
    certified_events = ((1,), (2,))
    kl_of_any_two = False

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        """(total_count, logits), of one shape."""
        q = cast(TorchNegativeBinomial, q)
        return q.total_count, q.logits

    def build(self, *values: Tensor) -> Distribution:
        return TorchNegativeBinomial(values[0], logits=values[1], validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        """From (log total count, logits); the prior is geometric, of mean 1."""
        return self.build(raw[0].exp(), raw[1])

    def finite(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Total counts of 0 and of infinity, and infinite logits, become finite numbers."""
        total, logits = values
        if all(p.device.type == "cpu" and watchable(p) and p.numel() for p in values):
            (least, most), (low, high) = ([float(x) for x in p.detach().aminmax()] for p in values)
            if least >= SMALLEST and most <= LARGEST and low >= LEAST_LOGIT and high <= MOST_LOGIT:
                return values
        return F.hardtanh(total, SMALLEST, LARGEST), F.hardtanh(logits, LEAST_LOGIT, MOST_LOGIT)

    @torch.no_grad()
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """A Poisson number of a gamma rate."""
        total, logits = self.parameters(q)
        rate = (noise.gamma(samples, total) + logits.double()).exp()
        return poisson(rate.clamp(SMALLEST, LARGEST), 1, noise)[0].to(total)

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        """log gamma(z + n) - log gamma(n) - log gamma(z + 1) + z log p + n log(1 - p), also between whole numbers."""
        total, logits = self.parameters(q)
        ways = (z + total).lgamma() - total.lgamma() - (z + 1).lgamma()
        return (ways + z * F.logsigmoid(logits) + total * F.logsigmoid(-logits)).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """digamma(z + n) - digamma(n) + log(1 - p), and z - (z + n) p."""
        total, logits = self.parameters(q)
        of_total = torch.where(z > 0, (z + total).digamma() - total.digamma(), 0.0) + F.logsigmoid(-logits)
        return of_total, z * (-logits).sigmoid() - total * logits.sigmoid()

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """Of equal total counts n: n r log(p / p') + n log((1 - p) / (1 - p')).

        Raises:
            BadInput: total counts differ, of which no closed form is known.
        """
        (total, logits), (other_total, other) = self.parameters(q), self.parameters(p)
        same = total is other_total or (watchable(total) and bool((total == other_total).all()))
        if not same:
            raise BadInput(
                "KL of two negative binomials has a closed form for equal total_count alone; give both the same, or "
                'take log q(z) - log p(z) at draws (entropy = "sampled")'
            )
        gain = total * logits.exp() * (F.logsigmoid(logits) - F.logsigmoid(other))
        return (gain + total * (F.logsigmoid(-logits) - F.logsigmoid(-other))).sum(-1)

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """A sum over all counts but those that make up less than 1e-17 of the fourth factorial moment.

        So it is right for f that grow as a polynomial of that degree; `nodes` plays no role.
        """
        total, logits = (p.detach().double() for p in self.parameters(q))
        # z (z - 1) (z - 2) (z - 3) times a chance is, but for a factor, that of z - 4 under total count n + 4.
        shifted = total + 4

        def exceeded(k: Tensor) -> Tensor:
            """Bound on P(z > k): beyond the mode's side terms fall at least as a geometric series does."""
            z = k - 3
            ratio = (z + shifted) / (z + 1) * logits.sigmoid()
            ways = (z + shifted).lgamma() - shifted.lgamma() - (z + 1).lgamma()
            chance = (ways + z * F.logsigmoid(logits) + shifted * F.logsigmoid(-logits)).exp()
            return torch.where(ratio < 1, chance / (1 - ratio), 1.0)

        most = reach(exceeded, (shifted * logits.exp()).floor() + 4)
        least = torch.zeros_like(most)
        what = f"means up to {(total * logits.exp()).max():.3g}"
        return product(least.to(logits), most.to(logits), lambda z: self.log_prob(q, z), what)

    def jumps(self, q: Distribution, samples: int, noise: Noise) -> tuple[Tensor, tuple[Tensor, ...]]:
        """z is a sum of jumps, a Poisson number of rate n log(1 + r), of the logarithmic law p^x / (x log(1 + r)).

        So in total_count the mean of f changes as that rate does, by log(1 + r) E[f(z + x) - f(z)]. In logits the rate
        of jumps of size x changes by x (1 - p) of itself, and the mean by n log(1 + r) (1 - p) E[x (f(z + x) - f(z))].
        Given a uniform u, x is geometric of parameter 1 - (1 - p)^u (A. W. Kemp, Applied Statistics 30, 1981).
        """
        total, logits = (p.detach() for p in self.parameters(q))
        wide = logits.double()
        rate = F.softplus(wide)  # log(1 + r), which is also -log(1 - p)
        again = -torch.expm1(-rate * noise.uniform(samples, wide))  # the chance of one more
        jump = (1 + noise.uniform(samples, wide).log() / again.log()).floor().clamp(1, LARGEST)
        of_logits = total.double() * rate * (-wide).sigmoid() * jump
        return jump.to(logits), (rate.to(logits), of_logits.to(logits))

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Total counts of a third or more, logits near those given and below 2; what is always 0 is kept."""
        total, logits = (p.detach() for p in self.parameters(q))
        still = (total <= SMALLEST) | (logits <= LEAST_LOGIT)
        a, b = (noise.normal(1, p)[0] for p in (total, logits))
        near = total.clamp_min(1 / 3) * (0.25 * a).exp(), 2 * (logits / 4).tanh() + 0.25 * b
        return torch.where(still, total, near[0]), torch.where(still, logits, near[1])

    def spread_out(self, q: Distribution, count: int, noise: Noise) -> Tensor:
        """The second point is the first plus 1."""
        z = self.sample(q, count, noise)
        total, logits = self.parameters(q)
        z[1] = z[0] + ((total > SMALLEST) & (logits > LEAST_LOGIT)).to(z)
        return z

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Logits below and above -3/2 by turns; total counts of 1, or up to twice that in the other latents."""
        uneven = torch.linspace(1, 1 / 3, event[0], dtype=level.dtype)
        own = level[:, None] * uneven
        logits = -1.5 + torch.where(turn % 2 == 0, own / 60, -own / 5)
        return (1 / uneven).sqrt().expand_as(logits), logits

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Means of this size, of total count 1 and 2 by turns; what sweeps of other families call scale."""
        total = 1 + (torch.arange(event[0]) % 2).double()[None]
        return self.build(total, (sharpness / total).log())

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Large means, and a latent of every row that stays at 0."""
        total, logits = values
        still = logits / 50
        still[..., 0] = -torch.inf
        return {
            **super().extremes(*values),
            "logit 9": (total, torch.full_like(logits, 9)),
            "infinite logits": (total, still),
        }
