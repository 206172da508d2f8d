"""LAX: the score function with a learned control variate, whose own gradient is put back along the path.

W. Grathwohl, D. Choi, Y. Wu, G. Roeder, D. Duvenaud, Backpropagation through the void, 2017, arXiv:1711.00123:
(f(z) - c(z)) grad log q(z) + grad c(z(loc, scale)), z = loc + scale * eps, with c a network of z and, as f differs from
row to row, of the context. Both terms of c have the same mean, whatever c is. It is trained to make the square of the
estimate small, which is its variance up to a constant; f itself is never differentiated in z.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import normal, parameters, scored, stopped
from estimators.network import Network
from estimators.registry import one_a_sample, register


@register(
    "lax",
    families=("gaussian",),
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
        self.context_size = 0

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """See `Estimator.bind`."""
        self.context_size = context_size
        if event:
            self.network.size(event[0] + context_size, stack, generator)
        return self

    def _control(self, z: Tensor, context: Tensor | None) -> Tensor:
        """c at z [S, *B, D]: [S, *B]."""
        if self.network.first is None:
            self.network.size(z.shape[-1] + self.context_size)
            self.network.to(z.device)
        if self.context_size and context is None:
            raise ValueError("lax was bound to a context, and got none")
        control: Tensor = self.network(z, context=context if self.context_size else None)
        return control

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        loc, scale = parameters(q)
        noise = normal(q, self.samples, generator)
        path = loc + scale * noise
        z = path.detach()
        cost = f(z, stopped(q))  # S x *B
        with torch.enable_grad():
            leaf = z.clone().requires_grad_()
            control = self._control(leaf, context)
            learns = any(p.requires_grad for p in self.network.parameters())
            (slope,) = torch.autograd.grad(control.sum(), leaf, create_graph=learns)
            signal = cost.detach() - control
            loss = None
            if learns:
                # The estimate in q's parameters written out, a function of c's weights alone.
                score = signal.unsqueeze(-1) / scale.detach()
                of_loc = (score * noise + slope).mean(0)
                of_scale = (score * (noise.square() - 1) + slope * noise).mean(0)
                loss = (of_loc.square() + of_scale.square()).sum(-1)
        surrogate = scored(q, z, signal / self.samples) + ((slope.detach() * path).sum(-1) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0), loss)
