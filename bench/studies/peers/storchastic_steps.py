"""A step with storchastic 0.3.7: RLOO, its score function with `batch_average`; Gumbel-softmax; reparameterization.

Importing storch wraps `Tensor.to`, `le` and `gt` for the whole process, which slows ours too, by about 3 % of a step on
digits, and is left so. It also turns off the validation of torch's distributions, as ours always does.
"""

import math

import storch
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal, kl_divergence
from torch.distributions.utils import clamp_probs
from torch.nn import functional as F

from bench.studies.peers.cases import TEMPERATURE, Comparison
from bench.studies.peers.networks import Network, PeerStep


def _method(comparison: Comparison) -> storch.method.Method:
    methods, n = storch.method, comparison.samples
    match comparison.method:
        case "RLOO":  # "uses the average over the other samples as baseline", its batch_average
            return methods.ScoreFunction("z", n_samples=n, baseline_factory="batch_average")
        case "Gumbel-sigmoid":  # the temperature stays, as ours does
            return methods.GumbelSoftmax("z", n_samples=n, initial_temperature=TEMPERATURE, annealing_rate=0.0)
        case "Pathwise":
            return methods.Reparameterization("z", n_samples=n)
    raise ValueError(f"storchastic has no step for {comparison.method}")


class ExampleStep(PeerStep):
    """A step as in storchastic's example of a VAE, with the sizes of ours.

    Two costs, the closed-form KL divergence and the reconstruction; encoder and decoder are deterministic, the
    distributions are made of wrapped tensors. Its example has plain Adam; fused is faster, and what ours has.
    """

    def __init__(self, comparison: Comparison, network: Network, x: Tensor) -> None:
        super().__init__(network, x)
        self.method, self.gaussian = _method(comparison), comparison.family == "gaussian"
        self.encode = storch.deterministic(network.encoder.forward)
        self.decode = storch.deterministic(lambda z: network.decoder(z).sigmoid())

    def _posterior_and_prior(self, raw: Tensor) -> tuple[Distribution, Distribution]:
        if self.gaussian:
            latents = self.network.latents
            q = Normal(raw[..., :latents], torch.exp(0.5 * raw[..., latents:]))
            return q, Normal(torch.zeros_like(q.loc), torch.ones_like(q.scale))
        bits = Bernoulli(probs=clamp_probs(raw.sigmoid()))
        return bits, Bernoulli(probs=torch.ones_like(bits.probs) / 2.0)

    def add_costs(self, raw: Tensor, data: Tensor) -> None:
        """Sample z and tell storchastic what to minimise."""
        q, prior = self._posterior_and_prior(raw)
        storch.add_cost(kl_divergence(q, prior).sum(-1), "KL-divergence")
        reconstruction = storch.nn.b_binary_cross_entropy(self.decode(self.method(q)), data, reduction="sum")
        storch.add_cost(reconstruction, "reconstruction")

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        self.optimiser.zero_grad()
        storch.reset()
        data = storch.denote_independent(self.x, 0, "data")
        self.add_costs(self.encode(data), data)
        loss: Tensor = storch.backward()
        return loss


class TunedStep(ExampleStep):
    """The same two costs with as little as possible left to storchastic's wrappers, and q from logits.

    Each operation on a wrapped tensor is checked, unwrapped and wrapped again; a function under
    `storch.deterministic` is so once. Its documentation advises this for speed.
    """

    def __init__(self, comparison: Comparison, network: Network, x: Tensor) -> None:
        super().__init__(comparison, network, x)
        self.kl = storch.deterministic(_gaussian_kl if self.gaussian else _bernoulli_kl)
        self.reconstruction = storch.deterministic(self._reconstruction)
        self.gaussian_parameters = storch.deterministic(_gaussian_parameters)

    def _reconstruction(self, z: Tensor, x: Tensor) -> Tensor:
        logits = self.network.decoder(z)
        cost: Tensor = (F.softplus(logits) - x * logits).sum(-1)
        return cost

    def add_costs(self, raw: Tensor, data: Tensor) -> None:
        """Sample z and tell storchastic what to minimise."""
        storch.add_cost(self.kl(raw), "KL-divergence")
        z = self.method(Normal(*self.gaussian_parameters(raw)) if self.gaussian else Bernoulli(logits=raw))
        storch.add_cost(self.reconstruction(z, data), "reconstruction")


def _bernoulli_kl(logits: Tensor) -> Tensor:
    """KL divergence from fair bits, [B]."""
    return (logits.sigmoid() * logits - F.softplus(logits) + math.log(2)).sum(-1)


def _gaussian_parameters(raw: Tensor) -> tuple[Tensor, Tensor]:
    loc, log_variance = raw.chunk(2, -1)
    return loc, (0.5 * log_variance).exp()


def _gaussian_kl(raw: Tensor) -> Tensor:
    """KL divergence from a standard normal, [B]."""
    loc, log_variance = raw.chunk(2, -1)
    return 0.5 * (loc.square() + log_variance.exp() - log_variance - 1).sum(-1)
