"""Categorical latents: OneHotCategorical(logits), L independent latents of C classes, [*B, L, C]; draws are one-hot.

`parameters` gives log probabilities. Scores are log probabilities plus Gumbel noise; a draw is their argmax.
"""

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution, OneHotCategorical
from torch.nn import functional as F

from estimators.families.base import Relaxed
from estimators.families.bernoulli import moderate_logits, shift_of
from estimators.families.logits import CERTAIN, bounded, log_softmax, one_hot_argmax, softmax
from estimators.families.registry import register_family
from estimators.noise import Noise, exponential_of, gumbel_of


class OneHot(OneHotCategorical):
    """One-hot classes whose log_prob is that of the drawn class, and affine between: torch's own takes the largest.

    f is given such a q: with torch's, log q inside f would change in steps between the vertices, and the gradient of a
    relaxation would lack it.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q of each latent, [..., C] to [...]."""
        return (value * self.logits).sum(-1)


def _one_hot(logits: Tensor) -> OneHot:
    """OneHot of log probabilities, which its own constructor would normalise again.

    It would also validate them, whatever validate_args says, and so wait for the device.
    """
    inner = TorchCategorical.__new__(TorchCategorical)
    inner.logits = inner._param = logits
    inner._num_events = logits.shape[-1]
    Distribution.__init__(inner, logits.shape[:-1], validate_args=False)
    q = OneHot.__new__(OneHot)
    q._categorical = inner
    Distribution.__init__(q, logits.shape[:-1], logits.shape[-1:], validate_args=False)
    return q


@register_family
class Categorical(Relaxed):
    """One-hot latents, with logits."""

    name = "categorical"
    distribution = OneHotCategorical
    mistaken = {TorchCategorical: "write OneHotCategorical(logits=...), whose draws are one-hot"}  # noqa: RUF012
    latent_dims = 1
    sharpness = "|logit|"
    sweep = "logits"
    certified_events = ((1, 2), (2, 2), (1, 4), (3, 3))
    small_event = (2, 4)

    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        """(log probabilities,)."""
        return (cast(OneHotCategorical, q).logits,)

    def build(self, *values: Tensor) -> Distribution:
        return _one_hot(log_softmax(values[0]))

    def again(self, *values: Tensor) -> Distribution:
        """From (log probabilities,)."""
        return _one_hot(values[0])

    def from_raw(self, *raw: Tensor) -> Distribution:
        return self.build(*raw)

    def finite(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Classes that cannot come keep a finite log probability."""
        return (bounded(values[0]),)

    def normalised(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Log probabilities that were rounded do not sum to 1."""
        return (log_softmax(values[0]),)

    def joint_states(self, event: tuple[int, ...]) -> int:
        return int(event[1] ** event[0])

    def values_of_a_latent(self, like: Tensor, event: tuple[int, ...]) -> Tensor:
        return torch.eye(event[-1], dtype=like.dtype, device=like.device)

    @torch.no_grad()
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """The argmax of log probabilities plus Gumbel noise."""
        (logits,) = self.parameters(q)
        return one_hot_argmax(logits + noise.gumbel(samples, logits))

    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        """Affine between one-hot vectors (torch's own takes the argmax of z, and so has no gradient)."""
        return (z * self.parameters(q)[0]).sum((-2, -1))

    @torch.no_grad()
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """z minus the probabilities."""
        return (z - self.parameters(q)[0].exp(),)

    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """Infinite where p has no mass, and q has."""
        (given,), (given_p,) = self.parameters(q), self.parameters(p)
        own, other = bounded(given), bounded(given_p)
        divergence = own.exp() * (own - other)
        if other is not given_p:
            divergence = divergence.masked_fill((given_p == -torch.inf) & (given != -torch.inf), torch.inf)
        return divergence.sum((-2, -1))

    def chances(self, q: Distribution) -> Tensor:
        return self.parameters(q)[0].softmax(-1)

    def is_rare(self, logits: Tensor, z: Tensor) -> Tensor:
        """Whether each latent has another class than its likeliest."""
        return z.argmax(-1) != logits.argmax(-1)

    def rarity(self, logits: Tensor) -> Tensor:
        """The likeliest class's share of the sum is the 1 that is taken away."""
        rest = (logits - logits.amax(-1, keepdim=True)).exp().sum(-1) - 1
        return rest / (1 + rest)

    def is_outcome(self, logits: Tensor, z: Tensor) -> Tensor:
        """All classes of all latents, [..., B, L C]."""
        return z.flatten(-2)

    def outcome_chances(self, logits: Tensor) -> Tensor:
        return softmax(logits).flatten(-2)

    def neighbours(self, z: Tensor) -> Tensor:
        """Every other class of every latent in turn, [L (C - 1), S, *B, L, C]."""
        latents, classes = z.shape[-2:]
        others = [z.roll(k, -1) for k in range(1, classes)]
        rolled = torch.stack(others) if others else z.new_zeros(0, *z.shape)  # (C - 1) x S x *B x L x C
        mask = torch.eye(latents, dtype=z.dtype, device=z.device)
        mask = mask.reshape(latents, *[1] * (z.dim() - 1), latents, 1)  # L x 1 x S x *B x L x 1
        return (z * (1 - mask) + rolled * mask).flatten(0, 1)

    def local_gradient(self, q: Distribution, z: Tensor, points: Tensor, change: Tensor) -> Tensor:
        """p_c (f_c - sum_k p_k f_k), latent by latent, f being counted from its value at the draw."""
        probs = softmax(self.parameters(q)[0].detach())
        # A neighbour's only class that z does not have is the one that was put in.
        gain = (change[..., None, None] * points * (1 - z)).sum(0)  # S x *B x L x C
        return probs * (gain - (probs * gain).sum(-1, keepdim=True))

    def mean_of(self, logits: Tensor) -> Tensor:
        return softmax(logits)

    def score_noise(self, odds: Tensor) -> Tensor:
        return gumbel_of(odds)

    def scores_given(self, logits: Tensor, z: Tensor, odds: Tensor) -> Tensor:
        """The largest score is a standard Gumbel number, whichever class has it; the others are cut off there."""
        log_probs = log_softmax(logits)
        exponential = exponential_of(odds)
        chosen = (exponential * z).sum(-1, keepdim=True).log()  # minus the largest score
        others = -torch.logaddexp(exponential.log() - log_probs, chosen)
        return torch.where(z > 0.5, -chosen, others)

    def scores_again(self, logits: Tensor, scores: Tensor) -> Tensor:
        """With the noise that leads to these scores, a log probability moves its score by 1 - exp(z - max z)."""
        fixed, log_probs = scores.detach(), log_softmax(logits)
        return fixed - torch.expm1(fixed - fixed.amax(-1, keepdim=True)) * (log_probs - log_probs.detach())

    def hard(self, scores: Tensor) -> Tensor:
        """The one-hot vector of the argmax."""
        return one_hot_argmax(scores.detach())

    def log_prob_of_latents(self, logits: Tensor, z: Tensor) -> Tensor:
        return (z * log_softmax(logits)).sum(-1, keepdim=True)

    def mean_change(self, logits: Tensor, change: Tensor, towards: Tensor | None = None) -> Tensor:
        """p * (change - p . change), latent by latent."""
        p = softmax(logits)
        if towards is not None:
            p = (towards + p) / 2
        return p * (change - (p * change).sum(-1, keepdim=True))

    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        return (moderate_logits(self.parameters(q)[0].detach(), noise),)

    def spread_out(self, q: Distribution, count: int, noise: Noise) -> Tensor:
        """The first two points have different classes wherever two are possible."""
        p = self.parameters(q)[0].detach()
        u, possible = noise.uniform(count, p), p > -CERTAIN / 2
        best, worst = u.masked_fill(~possible, -1), (-u).masked_fill(~possible, -2)
        return torch.cat((one_hot_argmax(best[:1]), one_hot_argmax(worst[:1]), one_hot_argmax(best[2:]))).to(p)

    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """One class of each latent is favoured by the level, down to a third of it in the other latents.

        No two of the other classes are equally likely, but at level 0, and their order is not that of their numbers.
        """
        latents, classes = event
        uneven = torch.linspace(1, 1 / 3, latents, dtype=level.dtype)
        favoured = F.one_hot(turn % classes, classes).to(level)
        others = -torch.tensor([0.4, 0.1, 0.7, 0.2], dtype=level.dtype)[:classes]
        others = others * level.clamp_max(1)[:, None, None] * (1 - favoured)
        return (level[:, None, None] * uneven[:, None] * favoured + others,)

    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """Latent i favours class i mod C by this logit."""
        latents, classes = event
        return self.build(sharpness * F.one_hot(torch.arange(latents) % classes, classes).double()[None])

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """A class of every row cannot come."""
        masked = values[0] / 50
        masked[..., 0, 0] = -torch.inf
        return {**super().extremes(*values), "infinite logits": (masked,)}

    def noise_shift(self, *values: Tensor) -> Tensor:
        """The gap between the likeliest and the least likely class, where that is large."""
        (logits,) = values
        return shift_of(logits.amax(-1) - logits.amin(-1))
