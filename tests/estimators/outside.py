"""Correct estimators that are not ours, as third parties write them: every one must be certified."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from estimators import Entry, Estimate, Estimator
from estimators.distributions import from_parameters, live, log_prob, parameters, sample, stopped
from estimators.entry import entry_of
from estimators.parts.sizes import Resizable, is_unsized, unsized
from tests.estimators.drawing import conditional_logistic_scores, hard, logistic_scores, normal, uniform

CORRECT: list[Entry] = []
OWN_NOISE: set[str] = set()
"""Names of those whose noise comes in a way that no registered estimator has."""


def correct(
    *, families: tuple[str, ...], unbiased: bool = True, own_noise: bool = False, **tags: Any
) -> Callable[[type[Estimator]], type[Estimator]]:
    """Collect a class with the tags of `register`, without registering it."""

    def decorate(cls: type[Estimator]) -> type[Estimator]:
        CORRECT.append(entry_of(cls, cls.__name__, families=families, unbiased=unbiased, **tags))
        if own_noise:
            OWN_NOISE.add(cls.__name__)
        return cls

    return decorate


@correct(families=("gaussian",))
class OnlyRequiredTags(Estimator):
    """The pathwise gradient, with no tag but those that are required."""

    def forward(self, q, f, *, generator=None, context=None):
        z = q.loc + q.scale * normal(q, self.samples, generator)
        surrogate = f(z, q).mean(0)
        return Estimate(surrogate, surrogate.detach())


@correct(families=("bernoulli",))
class TextbookScore(Estimator):
    """The score function as a textbook writes it: f sees q itself, and no tag says that it does not."""

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, q)
        surrogate = cost.detach() * q.log_prob(z).sum(-1) + cost
        return Estimate(surrogate.mean(0), cost.detach().mean(0))


@correct(families=("bernoulli",), samples=(2, 2), own_noise=True)
class ByTorchBernoulli(Estimator):
    """Leave-one-out, with draws by torch.bernoulli, one sample after the other."""

    def __init__(self, samples=2):
        super().__init__(samples)

    def forward(self, q, f, *, generator=None, context=None):
        probs = q.probs.detach()
        z = torch.stack([torch.bernoulli(probs, generator=generator) for _ in range(self.samples)])
        cost = f(z, stopped(q))
        baseline = (cost.sum(0) - cost) / (self.samples - 1)
        surrogate = ((cost - baseline).detach() * log_prob(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


@correct(families=("categorical",), own_noise=True)
class ByMultinomial(Estimator):
    """The score function with draws by torch.multinomial, whose noise cannot be forced."""

    def forward(self, q, f, *, generator=None, context=None):
        logits = q.logits
        index = torch.multinomial(
            logits.detach().softmax(-1).flatten(0, -2), self.samples, replacement=True, generator=generator
        )
        z = F.one_hot(index.T.reshape(self.samples, *logits.shape[:-1]), logits.shape[-1]).to(logits)
        cost = f(z, stopped(q))
        surrogate = (cost.detach() * log_prob(q, z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


@correct(families=("gaussian", "bernoulli", "categorical"))
class RunningMean(Estimator):
    """A moving-average baseline in one buffer, without any thought of stacked seeds."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        surrogate = ((cost - self.mean).detach() * log_prob(q, z) + cost).mean(0)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * cost.detach().mean()
        return Estimate(surrogate, cost.detach().mean(0))


def relaxed_pair(logits: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A hard draw b, its scores, and the scores drawn anew given b."""
    z = logistic_scores(logits, u / (1 - u))
    b = hard(z, categorical=False)
    return b, z, conditional_logistic_scores(logits, b, v / (1 - v))


@correct(families=("bernoulli",), f_evals=lambda s: 3 * s, needs="relaxed f")
class REBAR(Estimator):
    """Tucker et al. 2017, arXiv:1703.07370, at a fixed temperature and scale."""

    scale, temperature = 0.7, 0.5

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        u, v = uniform(q, self.samples, generator), uniform(q, self.samples, generator)
        b, z, again = relaxed_pair(logits, u, v)
        hard = f(b, stopped(q))
        soft, soft_again = (f(torch.sigmoid(x / self.temperature), stopped(q)) for x in (z, again))
        signal = (hard - self.scale * soft_again).detach()
        surrogate = signal * log_prob(live(q), b) + self.scale * (soft - soft_again) + hard
        return Estimate(surrogate.mean(0), hard.detach().mean(0))


@correct(families=("bernoulli",), own_parameters=True, f_evals=lambda s: s)
class LearnedBaseline(Estimator):
    """A linear baseline of the context, learned by its own loss."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.weight = torch.nn.Parameter(torch.zeros(0))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.weight = torch.nn.Parameter(torch.zeros(*stack, 1, context_size))
        return self

    def predicted(self, context):
        return (context.to(self.weight) * self.weight).sum(-1)

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        predicted = self.predicted(context)
        advantage = cost.detach() - predicted.detach()
        surrogate = (advantage * log_prob(live(q), z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0), (cost.detach() - predicted).square().mean(0))


@correct(families=("bernoulli",), own_parameters=True)
class LearnedLevel(LearnedBaseline):
    """A correct learned constant, sized by bind in place."""

    def __init__(self, samples=1):
        Estimator.__init__(self, samples)
        self.level = torch.nn.Parameter(torch.zeros(1))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.level.data = torch.zeros(*stack, 1)
        return self

    def predicted(self, context):
        return self.level


@correct(families=("bernoulli",), own_parameters=True)
class LinearInLogits(Resizable, Estimator):
    """A linear baseline of the logits, whose size the first call knows if nobody else does."""

    def __init__(self, samples=1):
        Estimator.__init__(self, samples)
        self.weight = unsized()
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.resize(self.bias, torch.zeros(*stack, 1))
        if event:
            self.resize(self.weight, torch.zeros(*stack, 1, *event))
        return self

    def forward(self, q, f, *, generator=None, context=None):
        if is_unsized(self.weight):
            self.bind(event=q.logits.shape[-1:])
        predicted = (q.logits.detach() * self.weight.to(q.logits)).sum(-1) + self.bias.to(q.logits)
        if not q.logits.dim() > 1:
            predicted = predicted.squeeze(0)
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        surrogate = ((cost - predicted).detach() * log_prob(live(q), z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0), (cost.detach() - predicted).square().mean(0))


@correct(families=("bernoulli",), samples=(2, 2), own_noise=True)
class ByCopula(Estimator):
    """Leave-one-out whose bits come from normal noise, as a Gaussian copula's do."""

    def __init__(self, samples=2):
        super().__init__(samples)

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        shape = (self.samples, *logits.shape)
        x = torch.randn(shape, generator=generator, dtype=logits.dtype, device=logits.device)
        z = (torch.special.ndtr(x) < logits.sigmoid()).to(logits)
        cost = f(z, stopped(q))
        advantage = (cost - cost.mean(0)).detach() * self.samples / (self.samples - 1)
        surrogate = (advantage * log_prob(live(q), z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


@correct(families=("categorical",), own_noise=True)
class ByExponentials(Estimator):
    """The score function with an exponential race: the first to arrive wins."""

    def forward(self, q, f, *, generator=None, context=None):
        (logits,) = parameters(q)
        arrival = torch.empty((self.samples, *logits.shape), dtype=logits.dtype).exponential_(generator=generator)
        z = F.one_hot((arrival.log() - logits).argmin(-1), logits.shape[-1]).to(logits)
        cost = f(z, stopped(q))
        surrogate = (cost.detach() * log_prob(from_parameters("categorical", logits), z) + cost).mean(0)
        return Estimate(surrogate, cost.detach().mean(0))


def _score(f, q, z):
    cost = f(z, stopped(q))
    return Estimate((cost.detach() * log_prob(live(q), z) + cost).mean(0), cost.detach().mean(0))


@correct(families=("bernoulli",), own_noise=True)
class ByIntegers(Estimator):
    """Uniform noise made of 53 random bits, which cannot be forced."""

    def forward(self, q, f, *, generator=None, context=None):
        bits = torch.randint(0, 2**53, (self.samples, *q.logits.shape), generator=generator)
        return _score(f, q, (bits.double() * 2.0**-53 < q.logits.sigmoid()).to(q.logits).detach())


@correct(families=("bernoulli",), own_noise=True)
class ByBinomial(Estimator):
    """torch.binomial, which rejects and so moves the noise of other rows."""

    def forward(self, q, f, *, generator=None, context=None):
        probs = q.logits.detach().sigmoid().expand(self.samples, *q.logits.shape).contiguous()
        return _score(f, q, torch.binomial(torch.ones_like(probs), probs, generator=generator))


@correct(families=("bernoulli",), own_noise=True)
class Systematic(Estimator):
    """One uniform number a latent, rotated by k / S: rare outcomes do not lie in its tails."""

    def forward(self, q, f, *, generator=None, context=None):
        u = uniform(q, 1, generator)
        k = uniform(q, self.samples, generator).argsort(0).to(u)
        return _score(f, q, ((u + k / self.samples) % 1.0 < q.logits.sigmoid()).to(u).detach())


@correct(families=("bernoulli",), own_parameters=True)
class LayersOfTorch(LearnedBaseline):
    """A network made in __init__ with torch's own initial values."""

    def __init__(self, samples=1):
        Estimator.__init__(self, samples)
        self.net = torch.nn.Linear(4, 1)

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        return self

    def predicted(self, context):
        return self.net(context.to(self.net.weight))[..., 0]
