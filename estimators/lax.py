"""LAX: the score function with a learned control variate, whose own gradient is put back along the path.

W. Grathwohl, D. Choi, Y. Wu, G. Roeder, D. Duvenaud, Backpropagation through the void, 2017, arXiv:1711.00123:
(f(z) - c(z)) grad log q(z) + grad c(z(loc, scale)), z = loc + scale * eps, with c a network of z and, as f differs from
row to row, of the context. Both terms of c have the same mean, whatever c is. It is trained to make the square of the
estimate small, which is its variance up to a constant; f itself is never differentiated in z.
"""

import torch
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, scored, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.network import Network
from estimators.parts.pullback import pullback
from estimators.parts.sizes import Sizes
from estimators.registry import register


@register(
    "lax",
    families=("gaussian",),
    method="control variate",
    unbiased=True,
    own_parameters=True,
    f_evals=one_a_sample,
    needs="neither",
    summary="score function, learned control variate by a network of z",
    paper="Grathwohl et al. 2017, arXiv:1711.00123",
)
class LAX(Estimator):
    """A control variate of one tanh layer with `hidden` units."""

    def __init__(self, samples: int = 1, hidden: int = 32) -> None:
        super().__init__(samples)
        self.network = Network(hidden)

    def set_sizes(self, sizes: Sizes) -> None:
        self.network.set_sizes(sizes)

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        self.network.ready(q)
        loc, scale = parameters(q)
        eps = noise.normal(self.samples, loc)
        path = loc + scale * eps
        z = path.detach()
        cost = f(z, stopped(q))  # S x *B
        with torch.enable_grad():
            control, pull = pullback(lambda leaf: self.network(leaf, context=noise.context), z)  # S x *B
            learns = any(p.requires_grad for p in self.network.parameters())
            gradient = pull(create_graph=learns)
            signal = cost.detach() - control
            loss = None
            if learns:
                # The estimate in q's parameters written out, a function of c's weights alone.
                score = signal.unsqueeze(-1) / scale.detach()
                of_loc = (score * eps + gradient).mean(0)
                of_scale = (score * (eps.square() - 1) + gradient * eps).mean(0)
                loss = (of_loc.square() + of_scale.square()).sum(-1)
        surrogate = scored(q, z, signal / self.samples) + ((gradient.detach() * path).sum(-1) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0), loss)
