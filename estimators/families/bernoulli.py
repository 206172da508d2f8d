"""Binary latents: Bernoulli(logits), independent, [*B, D]; draws are 0 or 1.

Scores are logits plus logistic noise, the logarithm of a uniform number's odds; a bit is 1 where its score is positive.
Chances come as sigmoid(x) and sigmoid(-x), never as one minus another: that would lose the digits of rare outcomes.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution
from torch.nn import functional as F

from estimators.families.base import Relaxed
from estimators.families.logits import CERTAIN, above, bounded
from estimators.families.registry import register_family
from estimators.noise import Noise, exponential_of


@register_family
class Bernoulli(Relaxed):
    """Binary latents, with logits."""

    name = "bernoulli"
    distribution = TorchBernoulli
    sharpness = "|logit|"
    sweep = "logits"

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        return (cast(TorchBernoulli, q).logits,)

    def build(self, *values: Tensor) -> Distribution:
        return TorchBernoulli(logits=values[0], validate_args=False)

    def from_raw(self, *raw: Tensor) -> Distribution:
        return self.build(*raw)

    def finite(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Bits that are certain keep a finite logit."""
        return (bounded(values[0]),)

    def joint_states(self, event: tuple[int, ...]) -> int:
        return int(2 ** event[0])

    def values_of_a_latent(self, like: Tensor, event: tuple[int, ...]) -> Tensor:
        return torch.arange(2, dtype=like.dtype, device=like.device)

    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """1 where a uniform number is below sigmoid(logits), 0 elsewhere."""
        logits = self.parameters(q)[0].detach()
        return noise.odds_to_compare(samples, logits).lt_(logits.exp())

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        """Affine between 0 and 1.

        Both logarithms keep the score's digits where q is nearly certain: z * logits - softplus(logits) loses the
        likely value's, of size exp(-|logit|), to rounding, and above |logit| 20 altogether.
        """
        (logits,) = self.parameters(q)
        return torch.lerp(F.logsigmoid(-logits), F.logsigmoid(logits), z).sum(-1)

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """z - sigmoid(logits), with the digits of a likely value's score."""
        (logits,) = self.parameters(q)
        return (torch.lerp(-logits.sigmoid(), (-logits).sigmoid(), z),)

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """From the likelier value's term, as 1 - sigmoid, and with it the gradient, would be lost to rounding.

        torch's own takes no p of other dims, and masks infinities in a way that waits for the device.
        """
        (given,), (given_p,) = self.parameters(q), self.parameters(p)
        own, other = bounded(given), bounded(given_p)
        on = F.logsigmoid(own) - F.logsigmoid(other)
        off = F.logsigmoid(-own) - F.logsigmoid(-other)
        up = own > 0
        rare = torch.where(up, -own, own).sigmoid()
        likely, unlikely = torch.where(up, on, off), torch.where(up, off, on)
        divergence = likely + rare * (unlikely - likely)
        if other is not given_p:
            divergence = divergence.masked_fill((given_p.abs() == torch.inf) & (given != given_p), torch.inf)
        return divergence.sum(-1)

    def chances(self, q: Distribution) -> Tensor:
        return self.mean_of(self.parameters(q)[0])

    def is_rare(self, logits: Tensor, z: Tensor) -> Tensor:
        """Whether each bit is the less likely one."""
        return (z > 0.5) != (logits > 0)

    def rarity(self, logits: Tensor) -> Tensor:
        return (-logits.abs()).sigmoid()

    def neighbours(self, z: Tensor) -> Tensor:
        """Every bit flipped in turn, [D, S, *B, D]."""
        size = z.shape[-1]
        flip = torch.eye(size, dtype=z.dtype, device=z.device).reshape(-1, *[1] * (z.dim() - 1), size)
        return (z - flip).abs()

    def local_gradient(self, q: Distribution, z: Tensor, points: Tensor, change: Tensor) -> Tensor:
        """theta (1 - theta) (f(b_i = 1) - f(b_i = 0)), bit by bit."""
        logits = self.parameters(q)[0].detach()
        rise = change.movedim(0, -1) * (1 - 2 * z)
        return logits.sigmoid() * (-logits).sigmoid() * rise

    def mean_of(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def score_noise(self, odds: Tensor) -> Tensor:
        return odds.log()

    def scores_given(self, logits: Tensor, z: Tensor, odds: Tensor) -> Tensor:
        """Logistic numbers cut off at 0."""
        away, near = odds.log1p(), exponential_of(odds)  # minus the logarithms of 1 - v and of v, the uniform number
        positive = F.softplus(logits - away) + near
        negative = -near - F.softplus(-logits - away)
        return torch.where(z > 0.5, positive, negative)

    def scores_again(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Given the sign of a score, the v that leads to it in `scores_given` is uniform, and may be taken for v.

        At that v the derivative is sigmoid(logit) (1 - exp(-score)) for a positive score, and the mirror image for a
        negative one.
        """
        fixed = scores.detach()
        probability = torch.where(fixed > 0, logits, -logits).detach().sigmoid()
        return fixed - torch.expm1(-fixed.abs()) * probability * (logits - logits.detach())

    def hard(self, scores: Tensor) -> Tensor:
        """Signs as bits."""
        return above(scores, scores.new_zeros(()))

    def log_prob_of_latents(self, logits: Tensor, z: Tensor) -> Tensor:
        return z * F.logsigmoid(logits) + (1 - z) * F.logsigmoid(-logits)

    def mean_change(self, logits: Tensor, change: Tensor, towards: Tensor | None = None) -> Tensor:
        """p (1 - p) times the change, both factors with all their digits."""
        one, zero = logits.sigmoid(), (-logits).sigmoid()
        if towards is not None:
            one, zero = (towards + one) / 2, (1 - towards + zero) / 2
        return one * zero * change

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        return (moderate_logits(self.parameters(q)[0].detach(), noise),)

    def spread_out(self, q: Distribution, count: int, noise: Noise) -> Tensor:
        """The second point is the first with every bit flipped."""
        logits = self.parameters(q)[0].detach()
        z = (noise.uniform(count, logits) < 0.5).to(logits)
        z[1] = 1 - z[0]
        return torch.where(logits.abs() > CERTAIN / 2, (logits > 0).to(logits), z)

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Logits of alternating sign, down to a third of the level in the other latents."""
        uneven = torch.linspace(1, 1 / 3, event[0], dtype=level.dtype)
        return (level[:, None] * uneven * (1 - 2 * (turn % 2)),)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Logits of this size and alternating sign."""
        return self.build(sharpness * (1 - 2 * (torch.arange(event[0]) % 2).double())[None])

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """A bit of every row is certain, of either value."""
        certain = values[0] / 50
        certain[..., 0] = -torch.inf
        certain[::2, 0] = torch.inf
        return {**super().extremes(*values), "infinite logits": (certain,)}

    def noise_shift(self, *values: Tensor) -> Tensor:
        """|logit|, where that is large."""
        return shift_of(values[0].abs())


def moderate_logits(logits: Tensor, noise: Noise) -> Tensor:
    """Logits near those given, within 1.5 or so, but for outcomes that are certain or cannot come."""
    nudge = noise.normal(1, logits)[0]
    return torch.where(logits.abs() > CERTAIN / 2, logits, 1.5 * (logits / 3).tanh() + 0.5 * nudge)


def shift_of(gap: Tensor) -> Tensor:
    """What a latent's noise is shifted by, from the gap between its logits: 0 where no outcome is rare."""
    return torch.where(gap > 3, gap, 0.0)
