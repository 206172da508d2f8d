"""Moments of a gradient over the estimator's noise alone: parameters, rows and running state are held fixed."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from bench.seeds import stream
from bench.statistics import Interval, variance_interval
from estimators.base import Estimator, Objective
from estimators.contract import CountedObjective, checked
from estimators.distributions import event_shape, family, from_parameters, parameters, row_shape

CHUNK_ROWS = 2**14
"""Evaluations of f in flight at once, which bounds their graphs; the draws of the gradient itself are all kept."""

ClosedForm = Callable[[Distribution], Tensor | None]


class GradientMoments(NamedTuple):
    """Moments over independent draws of an estimator.

    A row's gradient is that of its surrogate with respect to its own parameters: the logits, [*B, D] or [*B, L, C], or
    loc and scale side by side, [*B, 2 D].
    """

    mean: Tensor
    """Shaped as the parameters."""
    variance: Tensor
    """Shaped as the parameters; over the draws (n - 1 in the denominator)."""
    total: Interval
    """Sum of `variance` over rows and coordinates, the trace of the covariance, with its interval."""


class Probe(NamedTuple):
    """What one call of an estimator shows."""

    evaluations: int
    """Evaluations of f a row."""
    rounding: float
    """Size of a gradient coordinate's rounding error: that of the costs it is made of, which may cancel in it."""


@torch.no_grad()
def probe(estimator: Estimator, q: Distribution, f: Objective, context: Tensor | None = None) -> Probe:
    """Call the estimator once and count; its running state is left as it was."""
    counted = CountedObjective(f)
    with frozen(estimator):
        generator = stream("probe", device=parameters(q)[0].device)
        value = checked(estimator(q, counted, generator=generator, context=context), q).value
    return Probe(counted.evaluations, 16 * torch.finfo(value.dtype).eps * float(value.abs().max()))


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Run with the modules' parameters out of every graph and their running state still."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    modes = [(module, module.training) for module in modules]
    for p in parameters:
        p.requires_grad_(False)
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
        for module, training in modes:
            module.train(training)


def gradients(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    draws: int,
    seed: int,
    context: Tensor | None = None,
    closed_form: ClosedForm | None = None,
) -> Tensor:
    """Independent draws of every row's gradient, on the CPU in double precision.

    Args:
        estimator: put into `eval()` for the while.
        q: the distribution; its parameters are leaves here, whatever graph they hang in.
        f: the objective.
        draws: number n of draws.
        seed: of the one generator that all noise comes from.
        context: [*B, X] for input-dependent baselines.
        closed_form: what the loss holds besides E_q[f], such as an analytic KL divergence; it carries no noise.

    Returns:
        [n, *B, P], the last dim being q's parameters: logits, or loc and scale side by side; categorical logits
        are flattened, P = L C.

    Raises:
        Broken: what the estimator returns breaks the contract.
        FloatingPointError: a gradient is not finite.
    """
    name, rows = family(q), row_shape(q)
    values = [p.detach() for p in parameters(q)]
    generator = stream("gradients", seed, device=values[0].device)
    parts = []
    with frozen(estimator):
        evaluations = probe(estimator, q, f, context).evaluations
        chunk = max(1, CHUNK_ROWS // (rows.numel() * max(1, evaluations)))
        for start in range(0, draws, chunk):
            count = min(chunk, draws - start)
            leaves = [p.expand(count, *p.shape).clone().requires_grad_() for p in values]
            copies = from_parameters(name, *leaves)
            loss = estimator(copies, f, generator=generator, context=context).surrogate.sum()
            if closed_form and (closed := closed_form(copies)) is not None:
                loss = loss + closed.sum()
            grads = torch.autograd.grad(loss, leaves)
            parts.append(torch.cat([g.reshape(count, *rows, -1) for g in grads], -1).double().cpu())
    g = torch.cat(parts)
    if not g.isfinite().all():
        bad = int((~g.flatten(1).isfinite().all(1)).sum())
        raise FloatingPointError(f"the gradient is not finite in {bad} of {draws} draws")
    return g


def squared_distances(deviations: Tensor) -> Tensor:
    """[n] squared lengths of the draws' deviations [n, ...] from their mean."""
    return deviations.square().flatten(1).sum(1)


def gradient_moments(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    draws: int = 1000,
    seed: int = 0,
    context: Tensor | None = None,
    level: float = 0.95,
) -> GradientMoments:
    """Mean and variance of an estimator's gradient with respect to q's parameters, row by row.

    Args:
        estimator: any estimator; its running state is left as it was.
        q: the distribution, rows *B.
        f: the objective.
        draws: number of independent draws, at least 3.
        seed: of the noise.
        context: [*B, X] for input-dependent baselines.
        level: coverage of the total's interval (jackknife on the log variance).
    """
    g = gradients(estimator, q, f, draws=draws, seed=seed, context=context)
    mean = g.mean(0)
    deviations = g - mean
    variance = deviations.square().sum(0) / (draws - 1)
    # The mean of equal draws is off by rounding, which would read as a variance.
    floor = draws * torch.finfo(g.dtype).eps ** 2 * mean.square().sum()
    d = squared_distances(deviations)
    if d.sum() <= floor * draws:
        d, variance = torch.zeros_like(d), torch.zeros_like(variance)
    first, *others = parameters(q)
    shape = mean.shape if others else first.shape
    return GradientMoments(mean.reshape(shape), variance.reshape(shape), variance_interval(d.numpy(), level))


def weight_gradients(q: Distribution, weights: Sequence[Tensor], row_gradients: Tensor) -> Iterator[Tensor]:
    """Push gradients with respect to q's parameters through the encoder that made q.

    The encoder is deterministic, so the gradient of its weights is linear in those of q's parameters, and draws of
    the one become draws of the other without evaluating the estimator again.

    Args:
        q: made by the encoder, in its graph.
        weights: the encoder's parameters, W numbers in all.
        row_gradients: [n, *B, P] as `gradients` returns.

    Yields:
        [chunk, W] gradients summed over rows, chunk by chunk of the n draws.
    """
    outputs = parameters(q)
    shape = event_shape(q)
    size = sum(w.numel() for w in weights)
    for part in torch.split(row_gradients, max(1, 2**24 // size)):
        pieces = part.to(outputs[0]).chunk(len(outputs), -1)
        cotangents = [piece.unflatten(-1, tuple(shape)) for piece in pieces]
        grads = torch.autograd.grad(outputs, weights, cotangents, is_grads_batched=True, retain_graph=True)
        yield torch.cat([g.flatten(1) for g in grads], 1)


def cosine(draws: Tensor, reference: Tensor) -> float:
    """Mean cosine between the draws [n, ...] and the reference [...]; NaN where a length is 0."""
    flat, target = draws.flatten(1), reference.flatten()
    lengths = flat.norm(dim=1) * target.norm()
    positive = lengths > 0
    return float((flat @ target)[positive].div(lengths[positive]).mean()) if positive.any() else math.nan
