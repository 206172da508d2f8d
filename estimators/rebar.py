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

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import event_dims, mean_of, over_event, parameters, row_shape, scores, stopped
from estimators.families import Relaxed, capable
from estimators.noise import Noise
from estimators.parts.controls import learns, rows_of, weighted
from estimators.parts.pullback import pullback, pullback_beside
from estimators.parts.sizes import Resizable, Sizes
from estimators.registry import register


class RelaxedDraws:
    """Hard draws b, their relaxed scores z, and the scores z~ drawn anew given b, as functions of the logits.

    Coupled, z~ is z in value, so that what is evaluated at the one is evaluated at the other.
    """

    def __init__(self, q: Distribution, samples: int, noise: Noise, coupled: bool = True) -> None:
        family = capable(q, Relaxed)
        logits = parameters(q)[0].detach()
        u = noise.odds(samples, logits)

        def difference(each: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            first = family.scores_from(each, u)
            b = family.hard(first)
            if coupled:
                again = family.scores_again(each, first)
                return first - again, (b, first)  # 0, with the gradient of z minus that of z~
            again = family.scores_given(each, b, noise.odds(samples, logits))
            return torch.cat((first, -again)), (b, torch.cat((first, again)))

        _, (b, points), self.path = pullback_beside(difference, logits.expand(u.shape).clone())
        self.b, self.points = b, points.detach()
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
            sharper = over_event((-log_temperature).exp(), self.q)
            value, pull = pullback(lambda points: c(mean_of(self.q, points * sharper), self.q), self.points)
            path = self.path(pull(create_graph=create_graph), create_graph=create_graph)
            return path - over_event(value[-len(self.b) :], self.q) * self.score


class Relaxing(Resizable, Estimator):
    """Base of the estimators with a control variate of the relaxed draw, at a temperature that can be learned."""

    def __init__(self, samples: int, temperature: float, learn: bool, coupled: bool) -> None:
        super().__init__(samples)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature, self.coupled = temperature, coupled
        self.log_temperature = nn.Parameter(torch.full((1,), math.log(temperature)), requires_grad=learn)

    def set_sizes(self, sizes: Sizes) -> None:
        self.resize(self.log_temperature, torch.full((*sizes.stack, 1), math.log(self.temperature)))

    def made_of_f(self, draws: RelaxedDraws, f: Objective, log_temperature: Tensor, create_graph: bool) -> Tensor:
        """The part of the control that evaluates f, before it is scaled, [S, *B, *event]."""
        return torch.zeros_like(draws.b)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        """The whole control [S, *B, *event], given that part, in the graph of own parameters."""
        raise NotImplementedError

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        learning = learns(self)
        draws = RelaxedDraws(q, self.samples, noise, self.coupled)
        cost = f(draws.b, stopped(q))  # S x *B
        # f holds theta, which the loss of own parameters must not reach. So the loss is made from a detached copy of
        # what f contributes, and how it depends on each row's temperature through f is worked out here by hand.
        own = rows_of(self.log_temperature, row_shape(q)).to(draws.b)

        def of_temperature(log_temperature: Tensor) -> Tensor:
            return self.made_of_f(draws, f, log_temperature, learning)

        def squared(of_f: Tensor) -> tuple[Tensor, Tensor]:
            control = self.control(draws, of_f, noise.context, learning)
            estimate = over_event(cost.detach(), q) * draws.score + control  # S x *B x *event
            return estimate.square().sum(event_dims(q)).mean(0), estimate

        loss = None
        if learning:
            of_f, to_temperature = pullback(of_temperature, own.detach())
            loss, estimate, to_f = pullback_beside(squared, of_f.detach())
            loss = loss + to_temperature(to_f()) * (own - own.detach())
        else:
            estimate = squared(of_temperature(own.detach()).detach())[1]
        return Estimate(weighted(estimate.mean(0), q) + cost.mean(0), cost.detach().mean(0), loss)


@register(
    "rebar",
    capability="relaxation",
    method="control variate",
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

    def set_sizes(self, sizes: Sizes) -> None:
        self.resize(self.scale, torch.full((*sizes.stack, 1), self.initial_scale))
        super().set_sizes(sizes)

    def made_of_f(self, draws: RelaxedDraws, f: Objective, log_temperature: Tensor, create_graph: bool) -> Tensor:
        return draws.control(f, log_temperature, create_graph=create_graph)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        scale = rows_of(self.scale, row_shape(draws.q)).to(of_f)
        return over_event(scale, draws.q) * of_f
