"""What every estimator needs of q, the same for all three families.

Samples are drawn here from an explicit generator, because sampling in torch.distributions takes none. q is rebuilt
without argument validation, since f may be asked for log q at a relaxed z.
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Normal, OneHotCategorical
from torch.nn import functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from estimators import noise

FAMILIES = ("gaussian", "bernoulli", "categorical")
CERTAIN = 1e4
"""The logit of a certain outcome: e^-10000 is exactly 0, and 0 times it is 0."""
FEW_CLASSES = 16
"""Fewer than fill a vector register."""


def family(q: Distribution) -> str:
    """Name of q's family.

    Raises:
        TypeError: q is none of Normal, Bernoulli and OneHotCategorical.
    """
    match q:
        case Normal():
            return "gaussian"
        case Bernoulli():
            return "bernoulli"
        case OneHotCategorical():
            return "categorical"
    more = "; write OneHotCategorical(logits=...), whose draws are one-hot" if isinstance(q, Categorical) else ""
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical{more}")


def parameters(q: Distribution) -> tuple[Tensor, ...]:
    """q's parameters: (loc, scale), each [*B, D], or (logits,), [*B, D] or [*B, L, C], the latter log probabilities."""
    match q:
        case Normal():
            return q.loc, q.scale
        case Bernoulli() | OneHotCategorical():
            return (q.logits,)
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")


def from_parameters(name: str, *values: Tensor) -> Distribution:
    """The distribution of family `name` with these parameters, without validation."""
    match name:
        case "gaussian":
            loc, scale = values
            return Normal(loc, scale, validate_args=False)
        case "bernoulli":
            return Bernoulli(logits=values[0], validate_args=False)
        case "categorical":
            return _one_hot(log_softmax(values[0]))
    raise ValueError(f"unknown family {name!r}; expected one of {', '.join(FAMILIES)}")


class OneHot(OneHotCategorical):
    """One-hot classes whose log_prob is that of the drawn class, and affine between: torch's own takes the largest.

    f is given such a q: with torch's, log q inside f would change in steps between the vertices, and the gradient of a
    relaxation would lack it.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q of each latent, [..., C] to [...]."""
        return (value * self.logits).sum(-1)


def _one_hot(logits: Tensor) -> OneHotCategorical:
    """OneHotCategorical of log probabilities, which its own constructor would normalise again.

    It would also validate them, whatever validate_args says, and so wait for the device.
    """
    inner = Categorical.__new__(Categorical)
    inner.logits = inner._param = logits
    inner._num_events = logits.shape[-1]
    Distribution.__init__(inner, logits.shape[:-1], validate_args=False)
    q = OneHot.__new__(OneHot)
    q._categorical = inner
    Distribution.__init__(q, logits.shape[:-1], logits.shape[-1:], validate_args=False)
    return q


def again(q: Distribution, *values: Tensor) -> Distribution:
    """A q with these values for `parameters`."""
    return _one_hot(*values) if isinstance(q, OneHotCategorical) else from_parameters(family(q), *values)


def watchable(p: Tensor) -> bool:
    """Whether values can be looked at: not under a transform, a trace, a compiler or the capture of a GPU's work."""
    return (
        type(p) in (Tensor, torch.nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(p)
        and not torch.compiler.is_compiling()
        and not is_in_torch_dispatch_mode()
        and not (p.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def bounded(logits: Tensor) -> Tensor:
    """Logits, with a large finite number for infinite ones: 0 times an infinite logarithm would be no number.

    Its gradient in what was infinite is 0, as it should be.
    """
    if logits.device.type == "cpu" and watchable(logits) and math.isfinite(float(logits.detach().sum())):
        return logits
    return F.hardtanh(logits, -CERTAIN, CERTAIN)


def live(q: Distribution) -> Distribution:
    """q itself, without validation, so that f may evaluate it at a relaxed z."""
    return again(q, *parameters(q))


def stopped(q: Distribution) -> Distribution:
    """q with its parameters cut from the graph."""
    return again(q, *(p.detach() for p in parameters(q)))


def log_softmax(x: Tensor) -> Tensor:
    """log softmax over the last dim; on a CPU torch's own takes three times as long for a few classes."""
    if x.shape[-1] >= FEW_CLASSES or x.device.type != "cpu":
        return x.log_softmax(-1)
    return x - x.logsumexp(-1, keepdim=True)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dim, as `log_softmax`."""
    if x.shape[-1] >= FEW_CLASSES or x.device.type != "cpu":
        return x.softmax(-1)
    return log_softmax(x).exp()


def mean_of(q: Distribution, logits: Tensor) -> Tensor:
    """Mean of a discrete q with these logits, differentiable in them."""
    return softmax(logits) if isinstance(q, OneHotCategorical) else logits.sigmoid()


def event_shape(q: Distribution) -> torch.Size:
    """[D], or [L, C] for categorical latents."""
    shape = parameters(q)[0].shape
    return shape[-2:] if isinstance(q, OneHotCategorical) else shape[-1:]


def event_dims(q: Distribution) -> tuple[int, ...]:
    """The event's dims, counted from the right."""
    return tuple(range(-len(event_shape(q)), 0))


def over_event(x: Tensor, q: Distribution) -> Tensor:
    """x [..., *B] with a dim of size one for each of the event's."""
    return x[(..., *(None for _ in event_dims(q)))]


def row_shape(q: Distribution) -> torch.Size:
    """The leading dims *B of q."""
    shape = parameters(q)[0].shape
    return shape[: len(shape) - len(event_shape(q))]


def log_prob(q: Distribution, z: Tensor) -> Tensor:
    """log q(z), summed over the event: z [S, *B, *event] to [S, *B].

    For discrete q this is the affine extension to relaxed z, differentiable in z (torch's own one-hot log_prob takes
    the argmax of z, and so has no gradient).
    """
    match q:
        case Normal():
            standard = (z - q.loc) / q.scale
            return (-0.5 * standard.square() - q.scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
        case Bernoulli():
            # Both logarithms keep the score's digits where q is nearly certain: z * logits - softplus(logits) loses the
            # likely value's, of size exp(-|logit|), to rounding, and above |logit| 20 altogether.
            return torch.lerp(F.logsigmoid(-q.logits), F.logsigmoid(q.logits), z).sum(-1)
        case OneHotCategorical():
            return (z * q.logits).sum((-2, -1))
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")


def kl(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) in nats, summed over the event, [*B]; the rows of p broadcast to those of q.

    torch's own takes no p of other dims, and masks infinities in a way that waits for the device.

    Raises:
        TypeError: q and p are not of one family.
    """
    match q, p:
        case Normal(), Normal():
            ratio = (q.scale / p.scale).square()
            return 0.5 * (ratio - 1 - ratio.log() + ((q.loc - p.loc) / p.scale).square()).sum(-1)
        case Bernoulli(), Bernoulli():
            own, other = bounded(q.logits), bounded(p.logits)
            on = F.logsigmoid(own) - F.logsigmoid(other)
            off = F.logsigmoid(-own) - F.logsigmoid(-other)
            # From the likelier value's term, as 1 - sigmoid, and with it the gradient, would be lost to rounding.
            up = own > 0
            rare = torch.where(up, -own, own).sigmoid()
            likely, unlikely = torch.where(up, on, off), torch.where(up, off, on)
            divergence = likely + rare * (unlikely - likely)
            if other is not p.logits:
                divergence = divergence.masked_fill((p.logits.abs() == math.inf) & (q.logits != p.logits), math.inf)
            return divergence.sum(-1)
        case OneHotCategorical(), OneHotCategorical():
            own, other = bounded(q.logits), bounded(p.logits)
            divergence = own.exp() * (own - other)
            if other is not p.logits:  # where p has no mass, and q has
                divergence = divergence.masked_fill((p.logits == -math.inf) & (q.logits != -math.inf), math.inf)
            return divergence.sum((-2, -1))
    raise TypeError(f"q is a {type(q).__name__} and p a {type(p).__name__}; expected two of one family")


@torch.no_grad()
def scores(q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
    """Gradients of log q(z) with respect to q's parameters, each [S, *B, *event], outside any graph."""
    match q:
        case Normal():
            standard = (z - q.loc) / q.scale
            return standard / q.scale, (standard.square() - 1) / q.scale
        case Bernoulli():
            # Not z - sigmoid, which loses the digits of a likely value's score, as `log_prob` would.
            return (torch.lerp(-q.logits.sigmoid(), (-q.logits).sigmoid(), z),)
        case OneHotCategorical():
            return (z - q.logits.exp(),)  # they are log probabilities
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")


def scored(q: Distribution, z: Tensor, weight: Tensor) -> Tensor:
    """[*B], whose gradient with respect to q's parameters is the sum over draws of the weight times grad log q(z).

    That of (weight * log q(z)).sum(0), without the logarithm and its graph over the draws.

    Args:
        q: of rows *B.
        z: draws [S, *B, *event].
        weight: [S, *B], taken as it is: no gradient reaches it.
    """
    weight, event = over_event(weight.detach(), q), event_dims(q)
    first, *others = ((p * (weight * s).sum(0)).sum(event) for p, s in zip(parameters(q), scores(q, z), strict=True))
    return sum(others, first)


def odds(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Odds u / (1 - u) of uniform noise [S, *B, *event]: what decides bits and classes; see `estimators.noise`."""
    return noise.odds(samples, parameters(q)[0], generator)


def uniform(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Uniform noise [S, *B, *event] in (0, 1): that of `odds`, but without the digits near 1."""
    return noise.uniform(samples, parameters(q)[0], generator)


def bits(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Draws [S, *B, D] of a Bernoulli q: 1 where a uniform number u is below sigmoid(logits), 0 elsewhere."""
    logits = parameters(q)[0].detach()
    return noise.odds_to_compare(samples, logits, generator).lt_(logits.exp())


class Pairs(NamedTuple):
    """Antithetic pairs of draws of a Bernoulli q, made of uniform numbers u and 1 - u."""

    odds: Tensor
    """Of u, [S, *B, D]."""
    b: Tensor
    """1 where u is below sigmoid(logits), 0 elsewhere."""
    antithetic: Tensor
    """1 where 1 - u is."""


def pairs(logits: Tensor, samples: int, generator: Generator | None) -> Pairs:
    """Antithetic pairs of bits, outside any graph."""
    logits = logits.detach()
    odds = noise.odds_to_compare(samples, logits, generator)
    return Pairs(odds, below(odds, logits.exp()), above(odds, (-logits).exp()))


def below(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is less than the bound, which broadcasts to it, and 0 elsewhere, in x's dtype; outside any graph.

    Written as numbers at once, which takes a tenth of the time of a comparison that is converted.
    """
    return x.detach().clone().lt_(bound.detach())


def above(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is greater than the bound, as `below`."""
    return x.detach().clone().gt_(bound.detach())


def normal(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard normal noise [S, *B, *event]."""
    return noise.normal(samples, parameters(q)[0], generator)


def gumbel(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard Gumbel noise [S, *B, *event]."""
    return noise.gumbel_of(odds(q, samples, generator))


def one_hot_argmax(scores: Tensor) -> Tensor:
    """One-hot tensor at the largest score of the last dim, in the scores' dtype."""
    largest = scores.max(-1, keepdim=True).indices  # argmax takes three times as long
    return torch.zeros_like(scores).scatter_(-1, largest, 1.0)


@torch.no_grad()
def sample(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Draw z [S, *B, *event] ~ q, outside any graph."""
    match q:
        case Normal():
            return q.loc + q.scale * normal(q, samples, generator)
        case Bernoulli():
            return bits(q, samples, generator)
        case OneHotCategorical():
            return one_hot_argmax(q.logits + gumbel(q, samples, generator))
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")
