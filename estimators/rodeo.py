"""RODEO: leave-one-out, with control variates made by a Stein operator of q from learned functions of the other draws.

J. Shi, Y. Zhou, J. Hwang, M. K. Titsias, L. Mackey, Gradient estimation with discrete Stein operators, 2022,
arXiv:2202.09497. For bits, (A h)(b) = sum_i q(b_i flipped | others) (h(b with b_i flipped) - h(b)), the Gibbs operator
times D, has mean zero for any h. With h_k fixed by the draws but the k-th, leave-one-out takes f(b_j) + alpha
(A h_j)(b_j) as the others' costs, and beta (A h'_k grad log q)(b_k) is added. h_k and h'_k read the others' mean cost
and what f's linear extrapolations from them to b add to it, in mean, so that f is evaluated at the draws only: each is
what they add plus a network. alpha and beta start at 0, which is leave-one-out, and learn with the networks by the
square of the estimate.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import parameters, row_shape, sample, scores, stopped
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.controls import costs_and_derivatives, learns, rows_of, weighted
from estimators.parts.network import Network
from estimators.parts.sizes import Resizable, Sizes
from estimators.registry import register


@register(
    "rodeo",
    families=("bernoulli",),
    method="control variate",
    unbiased=True,
    own_parameters=True,
    samples=(2, 2),
    f_evals=one_a_sample,
    needs="gradient of f",
    summary="leave-one-out with learned controls made by a discrete Stein operator",
    paper="Shi, Zhou, Hwang, Titsias and Mackey 2022, arXiv:2202.09497",
)
class RODEO(Resizable, Estimator):
    """RODEO with the Gibbs operator; `scale` is where alpha and beta start, `hidden` the networks' width."""

    def __init__(self, samples: int = 2, scale: float = 0.0, hidden: int = 32) -> None:
        super().__init__(samples)
        self.scale = float(scale)
        self.alpha, self.beta = (nn.Parameter(torch.full((1,), self.scale)) for _ in range(2))
        self.of_costs, self.of_scores = Network(hidden, inputs=2), Network(hidden, inputs=2)

    def set_sizes(self, sizes: Sizes) -> None:
        for own in (self.alpha, self.beta):
            self.resize(own, torch.full((*sizes.stack, 1), self.scale))
        for network in (self.of_costs, self.of_scores):
            network.make(2, sizes.stack, sizes.generator)

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        count, logits = self.samples, parameters(q)[0].detach()
        b = sample(q, count, noise)
        cost, gradient = costs_and_derivatives(f, b, stopped(q))  # S x *B, S x *B x D
        costs, (score,) = cost.detach(), scores(q, b)
        flip = 1 - 2 * b  # what flipping a bit adds to it
        probability = (flip * logits).sigmoid()  # of the other value, given the other bits

        def of_others(x: Tensor) -> Tensor:
            return (x.sum(0) - x) / (count - 1)

        direction = of_others(gradient)
        here = (direction * b).sum(-1) - of_others((gradient * b).sum(-1))  # S x *B
        # Extrapolations to the draw and to its D neighbours, with the mean cost beside: (1 + D) x S x *B x 2.
        linear = torch.cat((here.unsqueeze(0), (here.unsqueeze(-1) + direction * flip).movedim(-1, 0)))
        inputs = torch.stack((of_others(costs).expand_as(linear), linear), -1)
        learning = learns(self)
        with torch.set_grad_enabled(learning):

            def operator(h: Tensor) -> Tensor:
                return (probability * (h[1:] - h[0]).movedim(0, -1)).sum(-1)  # S x *B

            alpha, beta = (rows_of(p, row_shape(q)).to(costs) for p in (self.alpha, self.beta))
            for_costs, for_scores = (linear + network(inputs) for network in (self.of_costs, self.of_scores))
            others = of_others(costs + alpha * operator(for_costs))
            # The operator on h times the score: a neighbour's score is the draw's, but for the flipped bit.
            product = operator(for_scores).unsqueeze(-1) * score + probability * flip * for_scores[1:].movedim(0, -1)
            estimate = ((costs - others).unsqueeze(-1) * score + beta.unsqueeze(-1) * product).mean(0)
            loss = estimate.square().sum(-1) if learning else None
        return Estimate(weighted(estimate, q) + cost.mean(0), cost.detach().mean(0), loss)
