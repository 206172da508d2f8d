"""Rao-Blackwell top-k: the likeliest classes of a latent summed exactly, the others sampled once.

R. Liu, J. Regier, N. Tripuraneni, M. I. Jordan, J. McAuliffe, Rao-Blackwellized stochastic gradients for discrete
distributions, 2018, arXiv:1810.04777. For one categorical q, T its k likeliest classes and v drawn from the others,

    sum_{c in T} q(c) f(c) grad log q(c) + (1 - q(T)) f(v) grad log q(v).

The paper has one latent. For L of them this is done latent by latent, the other latents at a common draw z ~ q, which
is unbiased because q factorises; the joint states are never enumerated. `samples` is the number of classes tried of
each latent, k + 1, so that f is evaluated L * samples times a row, and with samples >= C it is the local expectation:
no noise but that of the other latents. With baseline = top, f's mean over the classes in T is subtracted from f,
which costs nothing and keeps the mean, for it does not depend on v.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, sample, stopped
from estimators.errors import BadInput, unknown
from estimators.families.logits import log_softmax
from estimators.noise import Noise
from estimators.registry import register

BASELINES = ("none", "top")


@register(
    "rao-blackwell-top-k",
    families=("categorical",),
    method="summation",
    unbiased=True,
    samples=(2, 2),
    f_evals=lambda samples, event: event[0] * min(samples, event[1]),
    needs="neither",
    variants=({"baseline": "top"},),
    summary="the samples - 1 likeliest classes of each latent summed, the rest sampled",
    paper="Liu, Regier, Tripuraneni, Jordan and McAuliffe 2018, arXiv:1810.04777",
)
class RaoBlackwellTopK(Estimator):
    """REINFORCE, Rao-Blackwellized over the samples - 1 likeliest classes of each latent."""

    def __init__(self, samples: int = 2, baseline: str = "none") -> None:
        super().__init__(samples)
        if samples < 2:
            raise ValueError(f"samples, the classes tried of each latent, must be at least 2, got samples={samples}")
        if baseline not in BASELINES:
            raise BadInput(unknown("baseline", baseline, BASELINES))
        self.baseline = baseline

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """`value` is the mean over the latents of what each of them estimates."""
        (logits,) = parameters(q)
        latents, classes = logits.shape[-2:]
        k = min(self.samples, classes) - 1
        with torch.no_grad():
            z = sample(q, 1, noise)  # 1 x *B x L x C
            fixed = log_softmax(logits)
            top = fixed.topk(k, -1).indices  # *B x L x k
            rest = fixed.scatter(-1, top, -torch.inf)
            v = (rest + noise.gumbel(1, logits)[0]).argmax(-1, keepdim=True)
            tried = torch.cat((top, v), -1)  # *B x L x (k + 1)
            mass = torch.cat((fixed.gather(-1, top), rest.logsumexp(-1, keepdim=True)), -1).exp()
            # z with one latent at a time replaced: (k + 1) x L x *B x L x C, the first L for the one replaced
            one_hot = (
                torch.zeros_like(fixed).expand(k + 1, *fixed.shape).scatter(-1, tried.movedim(-1, 0).unsqueeze(-1), 1)
            )
            own = torch.eye(latents, dtype=z.dtype, device=z.device)
            own = own.reshape(latents, *[1] * (logits.dim() - 2), latents, 1)
            states = (1 - own) * z + own * one_hot.unsqueeze(1)
        cost = f(states.flatten(0, 1), stopped(q)).unflatten(0, (k + 1, latents)).movedim((0, 1), (-1, -2))
        signal = cost.detach()  # *B x L x (k + 1)
        if self.baseline == "top":
            weight = mass[..., :k] / mass[..., :k].sum(-1, keepdim=True)
            signal = signal - (weight * signal[..., :k]).sum(-1, keepdim=True)
        score = (mass * signal * log_softmax(logits).gather(-1, tried)).sum((-2, -1))
        value = (mass * cost).sum(-1).mean(-1)  # carries theta's gradient
        return Estimate(score + value, value.detach())
