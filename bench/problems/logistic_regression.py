"""Bayesian logistic regression: a mean-field Normal q over the weights of a data set, which all rows share.

S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, Monte Carlo gradient estimation in machine learning, 2019, arXiv 1906.10652.
The prior is a standard normal. The loss is minus the ELBO of all train rows, in nats, estimated from the rows of a
batch: f(z) = -(N / B) sum of log p(y|x, z), with KL(q || p) added in closed form or, sampled, as log q(z) - log p(z).
A row's logit is Normal under q, so that E_q[f] is a sum of integrals over one number each: gradients are held against
their exact values, and what evaluation reports has no noise of draws.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import bench.datasets
from bench.bounds import AtMost
from bench.datasets import Dataset
from bench.problems.base import TrainedProblem, register_problem, row
from bench.problems.model import Model
from bench.problems.widths import Widths
from estimators.base import Objective
from estimators.distributions import kl, log_prob, parameters
from estimators.families.quadrature import trapezoid


@register_problem("logistic-regression")
class LogisticRegression(TrainedProblem):
    """One Bayesian logistic regression in a suite."""

    kind: Literal["logistic-regression"]
    family: Literal["gaussian"] = "gaussian"
    latents: Annotated[int, Field(ge=0), AtMost(10**6, "q holds numbers for each of them")] = 0
    """The weights of the features and a bias, as many as the data set has them, which fills them in."""
    entropy: Literal["sampled", "analytic"] = "analytic"

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_features(cls, given: Any) -> Any:
        name = given.get("dataset") if isinstance(given, dict) else None
        info = bench.datasets.described(name) if isinstance(name, str) else None
        if info is None:
            return given
        if info.images:
            raise ValueError(
                f"data set {name!r} holds images, and a logistic regression takes features and a class, such as "
                "breast-cancer: name another data set, or say images=False in the description of your own"
            )
        return {"latents": info.pixels} | given

    @model_validator(mode="after")
    def _complete(self) -> "LogisticRegression":
        features = bench.datasets.info(self.dataset).pixels - 1
        if self.latents != features + 1:
            raise ValueError(
                f"latents are the weights of the {features} features of {self.dataset} and a bias, {features + 1}, not "
                f"{self.latents}: leave them out"
            )
        if self.bound == "iwae":
            raise ValueError('bound = "iwae" is of latents that a row has of its own; these are shared: leave it out')
        return self

    def default_label(self) -> str:
        """Data set, kind and latents, and whether the entropy is sampled."""
        sampled = "/sampled" * (self.entropy == "sampled")
        return f"{self.dataset}/logistic-regression/{self.size_words()}{sampled}"

    @property
    def shares_latents(self) -> bool:
        """Always."""
        return True

    @property
    def exact_method(self) -> str:
        """Over each row's logit."""
        return "quadrature"

    def widths(self, evaluations: float) -> Widths:
        """A logit of each row at each draw."""
        return Widths(2 * self.latents, 2 * self.latents, self.latents, 6, 6, self.latents)

    def model(self, data: Dataset, seeds: Sequence[int]) -> "Posterior":
        """Starts at the prior, whatever the seed.

        Raises:
            ValueError: the last number of a row is no class, 0 or 1.
        """
        classes = torch.cat([part[:, -1] for part in (data.train, data.test)])
        if not ((classes == 0) | (classes == 1)).all():
            other = next(each for each in classes.tolist() if each not in (0, 1))
            raise ValueError(
                f"the last number of a row of {data.name} is its class, 0 or 1, and one is {other:g}: make the classes "
                "0 and 1 where the rows are read"
            )
        return Posterior(self, len(data.train), len(seeds))

    @classmethod
    def listed(cls, kind: str) -> list[dict[str, Any]]:
        """Its data and its factors."""
        summary = "Bayesian logistic regression, one q for all rows; factor: entropy sampled | analytic"
        return [row(kind, kind, summary, ["gaussian"])]


class Posterior(Model):
    """E posteriors over the weights of a logistic regression, of one row each.

    Args:
        config: the problem.
        count: N, train rows.
        stack: E.
    """

    def __init__(self, config: LogisticRegression, count: int, stack: int) -> None:
        super().__init__()
        self.config, self.count, self.stack = config, count, stack
        self.event, self.context_size = config.event, 0
        self.loc = nn.Parameter(torch.zeros(stack, 1, config.latents))
        self.log_scale = nn.Parameter(torch.zeros(stack, 1, config.latents))

    def encode(self, x: Tensor) -> Normal:
        """q of rows [E, 1], whatever the rows x are."""
        return Normal(self.loc, self.log_scale.exp(), validate_args=False)

    def prior(self) -> Normal:
        """p(z), of rows [E, 1]."""
        return Normal(torch.zeros_like(self.loc), torch.ones_like(self.loc), validate_args=False)

    def context(self, x: Tensor) -> None:
        """None: q depends on no row."""
        return

    def objective(self, x: Tensor) -> Objective:
        """f for the rows x [E, B, X]: z [S, E, 1, D] and q to [S, E, 1]."""
        signs, inputs = _signs(x), _inputs(x)

        def f(z: Tensor, q: Distribution, /) -> Tensor:
            logits = (z @ inputs.mT).squeeze(-2)  # S x E x B
            cost = -self.count * F.logsigmoid(signs * logits).mean(-1, keepdim=True)
            if self.config.entropy == "analytic":
                return cost
            return cost + log_prob(q, z) - log_prob(self.prior(), z)

        return f

    def closed_form(self, q: Distribution) -> Tensor | None:
        """KL(q || p), [E, 1], where the entropy is analytic, else None."""
        return kl(q, self.prior()) if self.config.entropy == "analytic" else None

    def expectation(self, x: Tensor, q: Distribution) -> Tensor:
        """E_q[f] for the rows x, [E, 1], in double precision."""
        cost = -self.count * self._log_likelihood(x, q).mean(-1, keepdim=True)
        return cost if self.config.entropy == "analytic" else cost + kl(q, self.prior())

    def bounds(self, x: Tensor, samples: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Each row's share of the ELBO, [E, B], without draws. Rows that share latents have no log weights: NaN."""
        q = self.encode(x)
        elbo = self._log_likelihood(x, q) - kl(q, self.prior()) / self.count
        return elbo, torch.full_like(elbo, torch.nan).expand(samples, *elbo.shape)

    def _log_likelihood(self, x: Tensor, q: Distribution) -> Tensor:
        """E_q[log p(y|x, z)] of each row, [E, B]: an integral over its logit, which is Normal."""
        loc, scale = (p.double() for p in parameters(q))
        inputs, shape = _inputs(x).double(), x.shape[:-1]
        mean = _signs(x) * (inputs * loc).sum(-1)
        deviation = (inputs.square() * scale.square()).sum(-1).sqrt()
        parts = zip(*(part.flatten().split(ROWS_AT_ONCE) for part in (mean, deviation)), strict=True)
        return torch.cat([_part(*part) for part in parts]).reshape(shape)


ROWS_AT_ONCE = 2**12
"""Rows over whose logits is integrated at once: of each some hundreds of numbers are held, several times."""


def _part(mean: Tensor, deviation: Tensor) -> Tensor:
    """`log_sigmoid` of some rows, whose points a gradient makes anew, so that those of one part at most are held."""
    if not torch.is_grad_enabled():
        return log_sigmoid(mean, deviation)
    found: Tensor = checkpoint(log_sigmoid, mean, deviation, use_reentrant=False, preserve_rng_state=False)
    return found


WIDE = 5.0
"""Standard deviation of a logit from which its density is smooth where log sigmoid bends."""


def log_sigmoid(mean: Tensor, deviation: Tensor) -> Tensor:
    """E[log sigmoid(u)] of u ~ Normal(mean, deviation^2), to ten digits or more, however narrow or wide; in double.

    Of a narrow u by the trapezoidal rule over its density. Of a wide one log sigmoid has a kink, which the points of
    such a rule would pass over; E min(0, u + w), w ~ Normal(0, 1), is known, and log sigmoid(u) less E_w min(0, u + w)
    is smooth and nothing far from 0: that is integrated over u, by the same rule.

    Args:
        mean: [n].
        deviation: [n].
    """
    points, chances = (part.to(mean.device) for part in trapezoid(9.0, 0.08))
    narrow = (F.logsigmoid(mean[:, None] + deviation.clamp_max(WIDE)[:, None] * points) * chances).sum(-1)

    wide = deviation.clamp_min(WIDE)
    u, step = torch.arange(-40.0, 40.2, 0.4, dtype=mean.dtype, device=mean.device), 0.4
    rest = F.logsigmoid(u) - _lesser(u, torch.ones_like(u))
    density = torch.exp(Normal(mean[:, None], wide[:, None], validate_args=False).log_prob(u))
    smoothed = _lesser(mean, (wide.square() + 1).sqrt()) + (density * rest).sum(-1) * step
    return torch.where(deviation < WIDE, narrow, smoothed)


def _lesser(mean: Tensor, deviation: Tensor) -> Tensor:
    """E[min(0, u)] of u ~ Normal(mean, deviation^2)."""
    ratio = mean / deviation
    below: Tensor = torch.special.ndtr(-ratio)
    return mean * below - deviation * torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)


def _inputs(x: Tensor) -> Tensor:
    """The features, and a 1 for the bias."""
    return torch.cat([x[..., :-1], torch.ones_like(x[..., -1:])], -1)


def _signs(x: Tensor) -> Tensor:
    """1 of class 1, and -1 of class 0."""
    return 2 * x[..., -1] - 1
