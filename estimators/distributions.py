"""What every estimator needs of q, the same for all three families.

Noise is drawn here by torch.rand and torch.randn from an explicit generator, because sampling in torch.distributions
takes none. q is rebuilt without argument validation, since f may be asked for log q at a relaxed z.
"""

import math

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Normal, OneHotCategorical
from torch.nn import functional as F

FAMILIES = ("gaussian", "bernoulli", "categorical")
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
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")


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


def _one_hot(logits: Tensor) -> OneHotCategorical:
    """OneHotCategorical of log probabilities, which its own constructor would normalise again.

    It would also validate them, whatever validate_args says, and so wait for the device.
    """
    inner = Categorical.__new__(Categorical)
    inner.logits = inner._param = logits
    inner._num_events = logits.shape[-1]
    Distribution.__init__(inner, logits.shape[:-1], validate_args=False)
    q = OneHotCategorical.__new__(OneHotCategorical)
    q._categorical = inner
    Distribution.__init__(q, logits.shape[:-1], logits.shape[-1:], validate_args=False)
    return q


def _again(q: Distribution, *values: Tensor) -> Distribution:
    """A q with these values for `parameters`."""
    return _one_hot(*values) if isinstance(q, OneHotCategorical) else from_parameters(family(q), *values)


def live(q: Distribution) -> Distribution:
    """q itself, without validation, so that f may evaluate it at a relaxed z."""
    return _again(q, *parameters(q))


def stopped(q: Distribution) -> Distribution:
    """q with its parameters cut from the graph."""
    return _again(q, *(p.detach() for p in parameters(q)))


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
            on = F.logsigmoid(q.logits) - F.logsigmoid(p.logits)
            off = F.logsigmoid(-q.logits) - F.logsigmoid(-p.logits)
            # From the likelier value's term, as 1 - sigmoid, and with it the gradient, would be lost to rounding.
            up = q.logits > 0
            rare = torch.where(up, -q.logits, q.logits).sigmoid()
            likely, unlikely = torch.where(up, on, off), torch.where(up, off, on)
            return (likely + rare * (unlikely - likely)).sum(-1)
        case OneHotCategorical(), OneHotCategorical():
            return (q.logits.exp() * (q.logits - p.logits)).sum((-2, -1))
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


def uniform(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Uniform noise [S, *B, *event] in (0, 1), in q's device and dtype.

    torch.rand can return exactly 0, whose logarithm would make an infinite Gumbel or logistic draw.
    """
    p = parameters(q)[0]
    noise = torch.rand((samples, *p.shape), generator=generator, dtype=p.dtype, device=p.device)
    return noise.clamp_min_(torch.finfo(p.dtype).tiny)


def below(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is less than the bound, which broadcasts to it, and 0 elsewhere, in x's dtype; outside any graph.

    Written as numbers at once, which takes a tenth of the time of a comparison that is converted.
    """
    return torch.lt(x.detach(), bound.detach(), out=torch.empty_like(x))


def above(x: Tensor, bound: Tensor) -> Tensor:
    """1 where x is greater than the bound, as `below`."""
    return torch.gt(x.detach(), bound.detach(), out=torch.empty_like(x))


def normal(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard normal noise [S, *B, *event], in q's device and dtype."""
    p = parameters(q)[0]
    return torch.randn((samples, *p.shape), generator=generator, dtype=p.dtype, device=p.device)


def gumbel(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard Gumbel noise [S, *B, *event]."""
    return -torch.log(-torch.log(uniform(q, samples, generator)))


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
            return below(uniform(q, samples, generator), q.probs)
        case OneHotCategorical():
            return one_hot_argmax(q.logits + gumbel(q, samples, generator))
    raise TypeError(f"q is a {type(q).__name__}; expected Normal, Bernoulli or OneHotCategorical")
