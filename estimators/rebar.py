"""REBAR: the score function, with f at a relaxed draw as a control variate whose mean is known by reparameterization.

G. Tucker, A. Mnih, C. J. Maddison, D. Lawson, J. Sohl-Dickstein, REBAR: low-variance, unbiased gradient estimates for
discrete latent variable models, 2017, arXiv:1703.07370. With relaxed scores z, b = H(z), z~ drawn anew given b, and
c(z) = eta f(relax(z / temperature)), the estimate is (f(b) - c(z~)) grad log q(b) + grad c(z) - grad c(z~). It is
unbiased for any eta and temperature, which learn by its square; the gradient through z~, which depends on q given b,
must be kept. z~ is drawn with common random numbers, as the authors do: of the noise that led to z it takes what b does
not decide, which makes it z itself, but another function of the logits. Then most of the last two terms cancels, and
one evaluation of f serves them both.
"""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, OneHotCategorical

from estimators.base import Estimate, Estimator, Objective
from estimators.controls import derivative, learns, rows_of, weighted
from estimators.distributions import event_dims, mean_of, odds, over_event, parameters, row_shape, scores, stopped
from estimators.registry import register
from estimators.relaxed import (
    conditional_gumbel_scores,
    conditional_logistic_scores,
    coupled_gumbel_scores,
    coupled_logistic_scores,
    gumbel_scores,
    hard,
    logistic_scores,
)
from estimators.sizes import Resizable


class RelaxedDraws:
    """Hard draws b, their relaxed scores z, and the scores z~ drawn anew given b, as functions of the logits.

    Coupled, z~ is z in value, so that what is evaluated at the one is evaluated at the other.
    """

    def __init__(self, q: Distribution, samples: int, generator: Generator | None, coupled: bool = True) -> None:
        categorical = isinstance(q, OneHotCategorical)
        u = odds(q, samples, generator)
        v = None if coupled else odds(q, samples, generator)
        with torch.enable_grad():
            self.logits = parameters(q)[0].detach().expand(u.shape).clone().requires_grad_()
            first = (gumbel_scores if categorical else logistic_scores)(self.logits, u)
            self.b = hard(first, categorical=categorical)
            if v is None:
                again = (coupled_gumbel_scores if categorical else coupled_logistic_scores)(self.logits, first)
                self.difference = first - again  # 0, with the gradient of z minus that of z~
                points = first
            else:
                conditional = conditional_gumbel_scores if categorical else conditional_logistic_scores
                again = conditional(self.logits, self.b, v)
                self.difference = torch.cat((first, -again))
                points = torch.cat((first, again))
        self.points = points.detach().requires_grad_()
        self.q = stopped(q)
        (self.score,) = scores(q, self.b)

    def control(self, c: Objective, log_temperature: Tensor, *, create_graph: bool) -> Tensor:
        """What the control variate c of a relaxed draw adds to the estimate, [S, *B, *event].

        Args:
            c: of relaxed draws [S, *B, *event], or [2 S, *B, *event] where they are not coupled, as f.
            log_temperature: [*B].
            create_graph: whether to keep the graph of what c and the temperature depend on.
        """
        with torch.enable_grad():
            relaxed = mean_of(self.q, self.points * over_event((-log_temperature).exp(), self.q))
            value = c(relaxed, self.q)
            slope = derivative(value, self.points, create_graph=create_graph)
            (path,) = torch.autograd.grad(
                self.difference, self.logits, slope, create_graph=create_graph, retain_graph=True
            )
            return path - over_event(value[-len(self.b) :], self.q) * self.score


class Relaxing(Resizable, Estimator):
    """Base of the estimators with a control variate of the relaxed draw, at a temperature that can be learned."""

    def __init__(self, samples: int, temperature: float, learn: bool, coupled: bool) -> None:
        super().__init__(samples)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature, self.coupled = temperature, coupled
        self.log_temperature = nn.Parameter(torch.full((1,), math.log(temperature)), requires_grad=learn)

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """See `Estimator.bind`."""
        self.resize(self.log_temperature, torch.full((*stack, 1), math.log(self.temperature)))
        return self

    def made_of_f(self, draws: RelaxedDraws, f: Objective, log_temperature: Tensor, create_graph: bool) -> Tensor:
        """The part of the control that evaluates f, before it is scaled, [S, *B, *event]."""
        return torch.zeros_like(draws.b)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        """The whole control [S, *B, *event], given that part, in the graph of own parameters."""
        raise NotImplementedError

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """See `Estimator.forward`."""
        learning = learns(self)
        draws = RelaxedDraws(q, self.samples, generator, self.coupled)
        cost = f(draws.b, stopped(q))  # S x *B
        # f holds theta, which the loss of own parameters must not reach. So its part stands for itself, detached, and
        # the slope that it gives to each row's temperature is taken here.
        own = rows_of(self.log_temperature, row_shape(q)).to(draws.b)
        log_temperature = own.detach().requires_grad_(learning)
        of_f = self.made_of_f(draws, f, log_temperature, learning)
        stand_in = of_f.detach().requires_grad_(learning)
        control = self.control(draws, stand_in, context, learning)
        estimate = over_event(cost.detach(), q) * draws.score + control  # S x *B x *event
        loss = None
        if learning:
            loss = estimate.square().sum(event_dims(q)).mean(0)
            slope = derivative(derivative(loss, stand_in) * of_f, log_temperature)
            loss = loss + slope * (own - own.detach())
        return Estimate(weighted(estimate.mean(0), q) + cost.mean(0), cost.detach().mean(0), loss)


@register(
    "rebar",
    families=("bernoulli", "categorical"),
    unbiased=True,
    own_parameters=True,
    f_evals=lambda samples, event, options: (2 if options.get("coupled", True) else 3) * samples,
    needs="relaxed f",
    variants=({"learn": False}, {"coupled": False}),
    summary="score function with f at a relaxed draw as control; temperature and scale learned or fixed",
    paper="Tucker et al. 2017, arXiv:1703.07370",
)
class REBAR(Relaxing):
    """REBAR; temperature and scale are where learning starts, or what they stay at without `learn`.

    Without `coupled`, z~ has noise of its own.
    """

    def __init__(
        self,
        samples: int = 1,
        temperature: float = 0.5,
        scale: float = 1.0,
        learn: bool = True,
        coupled: bool = True,
    ) -> None:
        super().__init__(samples, temperature, learn, coupled)
        self.initial_scale = float(scale)
        self.scale = nn.Parameter(torch.full((1,), self.initial_scale), requires_grad=learn)

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """See `Estimator.bind`."""
        self.resize(self.scale, torch.full((*stack, 1), self.initial_scale))
        return super().bind(stack=stack, context_size=context_size, event=event, generator=generator)

    def made_of_f(self, draws: RelaxedDraws, f: Objective, log_temperature: Tensor, create_graph: bool) -> Tensor:
        """See `Relaxing.made_of_f`."""
        return draws.control(f, log_temperature, create_graph=create_graph)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        """See `Relaxing.control`."""
        scale = rows_of(self.scale, row_shape(draws.q)).to(of_f)
        return over_event(scale, draws.q) * of_f
