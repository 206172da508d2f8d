"""The check rows: a row's gradient depends on no other row, and no two rows share noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from estimators.checks.compare import CLOSE, apart, percent
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.noise import Watch
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call, gradients
from estimators.checks.subject import Subject, copied, run

REJECTING = ("torch.binomial", "torch.poisson", "torch._standard_gamma", "torch._sample_dirichlet")
"""Sources that take a varying amount of the generator's numbers."""


def rows(subject: Subject) -> Result:
    """The gradient of a row depends on no other row, and no two rows share noise."""
    for samples in subject.sample_counts:
        for train in (False, True):
            if found := _coupled(subject, subject.small(samples), train):
                return failed("rows", subject.family, found)
    if found := _leaking(subject):
        return failed("rows", subject.family, found)
    if found := _shared_noise(subject):
        return failed("rows", subject.family, found)
    message = (
        "a row's gradient stays the same, to rounding, whatever the other rows are, and rows draw noise of their own"
    )
    return Result("rows", subject.family, "passed", message)


def _coupled(subject: Subject, grid: Grid, train: bool) -> str | None:
    """Change one row, and see whether another one's gradient moves."""
    estimator = subject.create(grid).train(train)
    context = subject.context(len(grid.rows))
    changed, count = 2, len(grid.rows)
    others = [row for row in range(count) if row != changed]
    factor = torch.ones(count, dtype=DOUBLE)
    factor[changed] = 5.0
    moved = [v.clone() for v in grid.values]
    moved[-1][changed] *= 1.3
    told = context.clone()
    told[changed] += 1
    for seed in range(5):
        with Watch() as before:
            plain = run(copied(estimator), grid, seed, context=context)
        variants: dict[str, Mapping[str, Any]] = {
            "the cost of another row": {"scale": factor, "context": context},
            "the parameters of another row": {"values": moved, "context": context},
            "the context of another row": {"context": told},
        }
        for what, options in variants.items():
            with Watch() as after:
                again = run(copied(estimator), grid, seed, **options)
            if what == "the parameters of another row" and not _same_noise(before, after, others, count):
                continue  # rejection takes a varying amount of numbers, which changes the noise of the rows after it
            moves = apart([g[others] for g in plain], [g[others] for g in again])
            if moves > CLOSE:
                mode = "train()" if train else "eval()"
                return (
                    f"a row's gradient moves by {percent(moves)} when {what} changes ({mode}, "
                    f"samples={grid.samples}): rows must be independent. Usually a mean, a normalisation or a "
                    "softmax runs over the batch"
                )
    return None


def _same_noise(before: Watch, after: Watch, others: Sequence[int], count: int) -> bool:
    """Whether sources that reject, whose numbers depend on parameters, gave the other rows the same noise."""
    for a, b in zip(before.draws, after.draws, strict=False):
        if a.source not in REJECTING or a.noise.shape != b.noise.shape or count not in a.noise.shape:
            continue
        axis = a.noise.shape.index(count)
        index = torch.tensor(others)
        if not torch.equal(a.noise.index_select(axis, index), b.noise.index_select(axis, index)):
            return False
    return True


def _leaking(subject: Subject) -> str | None:
    """The surrogate of one row must not hold the parameters of another."""
    grid = subject.small()
    values = [v.clone().requires_grad_() for v in grid.values]
    theta = grid.theta.clone().requires_grad_()
    context = subject.context(len(grid.rows))
    estimate = call(subject.create(grid), grid.family, values, grid.f(theta), subject.generator(2), context)
    if not estimate.surrogate.requires_grad:
        return "the surrogate has no gradient at all: it is detached, or made under no_grad"
    grads = torch.autograd.grad(estimate.surrogate[1], (*values, theta), allow_unused=True, retain_graph=True)
    for g in grads:
        if g is not None and bool(g[[0, *range(2, len(g))]].abs().max() > 0):
            return (
                "the surrogate of one row has a gradient in the parameters of another. Usually a mean over the batch "
                "is returned for every row, or dims are mixed up in a reshape"
            )
    weights = torch.linspace(0.5, -1.5, len(grid.rows), dtype=DOUBLE)
    whole = torch.autograd.grad((weights * estimate.surrogate).sum(), values, allow_unused=True, retain_graph=True)
    plain = torch.autograd.grad(estimate.surrogate.sum(), values, allow_unused=True, retain_graph=True)
    beside = torch.autograd.grad(
        estimate.surrogate.sum() + sum(3.0 * v.sum() for v in values), values, retain_graph=True
    )
    if any(b is not None and apart([c - 3.0], [b]) > 1e-6 for b, c in zip(plain, beside, strict=True)):
        return "another term's gradient in the same parameters comes out wrong: forward leaves a hook on them"
    for a, b in zip(whole, plain, strict=True):
        if a is not None and b is not None:
            scaled = weights.reshape(-1, *[1] * (b.dim() - 1)) * b
            if apart([a], [scaled]) > CLOSE:
                return (
                    "the surrogate's gradient does not scale with a row's weight in the loss: its backward ignores it"
                )
    return None


def _shared_noise(subject: Subject) -> str | None:
    """Draws of equal rows: they must not be equal, nor correlated."""
    grid = subject.small(subject.sample_counts[0])
    copies, chosen, count = 4, grid.rows.index(next(r for r in grid.rows if r.objective == "mlp")), 2003
    values = [v[chosen].expand(count, copies, *v.shape[1:]).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[chosen].expand(count, copies)
    context = subject.context(len(grid.rows))[chosen].expand(count, copies, -1)
    f = grid.f(theta, [chosen] * copies)
    estimate = call(subject.create(grid), grid.family, values, f, subject.generator(2), context)
    grads = gradients(estimate.surrogate, values)
    g = torch.cat([g.reshape(count, copies, -1) for g in grads if g is not None], -1)
    scale = g.abs().amax((0, 1)).clamp_min(1e-300)
    tiny = 1e-9 * float(scale.max())
    if float(g.std(0).max()) < tiny or float(g.std(1).max()) < tiny:
        told = subject.context(len(grid.rows))
        found = [run(subject.create(grid), grid, seed, context=told)[0] for seed in range(20)]
        if all(apart([found[0]], [other]) < CLOSE for other in found):
            return None  # no noise at all
        return "equal rows get equal gradients in every draw: the same noise is used for all rows"
    g = g[..., g.std((0, 1)) > 1e-9 * scale]
    centred = g - g.mean((0, 1))
    half = count // 2
    pairs = {
        "in one batch": [(centred[:, i], centred[:, j]) for i in range(copies) for j in range(i)],
        "next to each other": [(centred[1:], centred[:-1])],
        "half a batch apart": [(centred[:half], centred[half : 2 * half])],
        "at opposite ends of the batch": [(centred[:half], centred.flip(0)[:half])],
    }
    if (ratio := _between_calls(subject, grid, values, theta, context)) > BETWEEN:
        return (
            f"means of whole calls vary {ratio:.1f} times as much as independent rows would: the rows of a call "
            "share a choice, such as one torch.randperm or torch.randint for all. Draw one a row"
        )
    for where, couples in pairs.items():
        for a, b in couples:
            n = a[..., 0].numel()
            flat_a, flat_b = a.reshape(n, -1), b.reshape(n, -1)
            correlation = (flat_a * flat_b).mean(0) / (flat_a.square().mean(0) * flat_b.square().mean(0)).sqrt()
            largest = float(correlation.abs().max())
            if largest * n**0.5 > 8:
                return (
                    f"gradients of equal rows {where} are correlated (|r| = {largest:.2f}, n = {n}): they share noise. "
                    "Draw noise of shape [S, *B, ...]"
                )
    return None


BETWEEN = 4.0
"""Variance between calls over that of independent rows, beyond which rows share noise.

By chance 40 calls reach 4 once in 1e15 times.
"""


def _between_calls(subject: Subject, grid: Grid, values: Sequence[Tensor], theta: Tensor, context: Tensor) -> float:
    """Variance of the means of 40 calls, relative to the variance within calls over the number of rows."""
    estimator, generator, means, within = subject.create(grid), subject.generator(4), [], []
    few = 251
    part = [v.detach()[:few] for v in values]
    count = part[0].shape[0] * part[0].shape[1]
    f = grid.f(theta[:few], [next(i for i, r in enumerate(grid.rows) if r.objective == "mlp")] * part[0].shape[1])
    for _ in range(40):
        leaves = [v.clone().requires_grad_() for v in part]
        estimate = call(estimator, grid.family, leaves, f, generator, context[:few])
        grads = gradients(estimate.surrogate, leaves)
        g = torch.cat([g.reshape(count, -1) for g in grads if g is not None], -1)
        means.append(g.mean(0))
        within.append(g.var(0) / count)
    expected = torch.stack(within).mean(0)
    between = torch.stack(means).var(0)
    noisy = expected > 1e-18 * between.abs().max().clamp_min(1e-300)
    return float((between / expected)[noisy].max()) if bool(noisy.any()) else 0.0
