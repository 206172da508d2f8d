"""What an estimator asks of q, whatever its family: parameters, draws, log q and its gradient, copies.

Samples are drawn here from explicit noise, because sampling in torch.distributions takes no generator. q is rebuilt
without argument validation, since f may be asked for log q at a relaxed z.
"""

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.families import Relaxed, Reparameterized, capable, family_named, family_of
from estimators.noise import Noise


def parameters(q: Distribution) -> tuple[Tensor, ...]:
    """q's parameters: (loc, scale), each [*B, D], or (logits,), [*B, D] or [*B, L, C], the latter log probabilities.

    Other families say theirs in `parameter_names` and `parameter_shapes`.
    """
    return family_of(q).parameters(q)


def from_parameters(name: str, *values: Tensor) -> Distribution:
    """The distribution of family `name` with these parameters, without validation."""
    return family_named(name).build(*values)


def again(q: Distribution, *values: Tensor) -> Distribution:
    """A q with these values for `parameters`."""
    return family_of(q).again(*values)


def live(q: Distribution) -> Distribution:
    """q itself, without validation, so that f may evaluate it at a relaxed z."""
    return again(q, *parameters(q))


def stopped(q: Distribution) -> Distribution:
    """q with its parameters cut from the graph."""
    return again(q, *(p.detach() for p in parameters(q)))


def event_shape(q: Distribution) -> torch.Size:
    """[D], or [L, C] for categorical latents."""
    family = family_of(q)
    return family.parameters(q)[0].shape[-1 - family.latent_dims :]


def event_dims(q: Distribution) -> tuple[int, ...]:
    """The event's dims, counted from the right."""
    return tuple(range(-1 - family_of(q).latent_dims, 0))


def over_event(x: Tensor, q: Distribution) -> Tensor:
    """x [..., *B] with a dim of size one for each of the event's."""
    return over_dims(x, len(event_dims(q)))


def over_dims(x: Tensor, dims: int) -> Tensor:
    """x with so many dims of size one more."""
    return x[(..., *[None] * dims)]


def parameter_shapes(q: Distribution) -> tuple[tuple[int, ...], ...]:
    """What each of q's parameters has after the rows: the shape of an event, but for joint latents."""
    return family_of(q).parameter_shapes(event_shape(q))


def row_shape(q: Distribution) -> torch.Size:
    """The leading dims *B of q."""
    family = family_of(q)
    return family.parameters(q)[0].shape[: -1 - family.latent_dims]


def log_prob(q: Distribution, z: Tensor) -> Tensor:
    """log q(z), summed over the event: z [S, *B, *event] to [S, *B].

    For discrete q this is the affine extension to relaxed z, differentiable in z.
    """
    return family_of(q).log_prob(q, z)


def kl(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) in nats, summed over the event, [*B]; the rows of p broadcast to those of q.

    Raises:
        TypeError: q and p are not of one family.
    """
    family = family_of(q)
    if family_of(p) is not family:
        raise TypeError(f"q is a {type(q).__name__} and p a {type(p).__name__}; expected two of one family")
    return family.kl(q, p)


def scores(q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
    """Gradients of log q(z) in q's parameters, each [S, *B, *shape] of `parameter_shapes`, outside any graph."""
    return family_of(q).scores(q, z)


def scored(q: Distribution, z: Tensor, weight: Tensor) -> Tensor:
    """[*B], whose gradient with respect to q's parameters is the sum over draws of the weight times grad log q(z).

    That of (weight * log q(z)).sum(0), without the logarithm and its graph over the draws.

    Args:
        q: of rows *B.
        z: draws [S, *B, *event].
        weight: [S, *B], taken as it is: no gradient reaches it.
    """
    of_rows = row_shape(q)

    def moved(p: Tensor, score: Tensor) -> Tensor:
        dims = p.dim() - len(of_rows)
        change = p * (over_dims(weight.detach(), dims) * score).sum(0)
        return change.sum(tuple(range(-dims, 0)))

    first, *others = (moved(p, score) for p, score in zip(parameters(q), scores(q, z), strict=True))
    return sum(others, first)


def sample(q: Distribution, samples: int, noise: Noise | Generator | None) -> Tensor:
    """Draw z [S, *B, *event] ~ q, outside any graph, from the noise of a call or a generator."""
    return family_of(q).sample(q, samples, noise if isinstance(noise, Noise) else Noise(noise))


def rsample(q: Distribution, samples: int, noise: Noise | Generator | None) -> Tensor:
    """The same as a differentiable function of q's parameters.

    Raises:
        TypeError: q's family has no such draws.
    """
    return capable(q, Reparameterized).rsample(q, samples, noise if isinstance(noise, Noise) else Noise(noise))


def mean_of(q: Distribution, logits: Tensor) -> Tensor:
    """Mean of a discrete q with these logits, differentiable in them."""
    return capable(q, Relaxed).mean_of(logits)
