"""The checks dtype and finite: precision kept, in ordinary places and at the extremes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from estimators.base import Estimator
from estimators.checks.compare import percent
from estimators.checks.grid import Grid
from estimators.checks.noise import Watch
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call, gradients
from estimators.checks.subject import Subject, copied, run


def dtype(subject: Subject) -> Result:
    """float32 and float64 are kept, in what is returned, in the noise and in between; the device is q's."""
    grid = subject.small()
    warnings: list[str] = []
    for kind in (torch.float64, torch.float32):
        estimator, f = subject.create(grid, kind), grid.f(grid.theta.to(kind))
        values = [v.to(kind).requires_grad_() for v in grid.values]
        context = subject.context(len(grid.rows), dtype=kind)
        with Watch() as watch:
            estimate = call(estimator, grid.family, values, f, torch.Generator().manual_seed(11), context)
        name = str(kind).removeprefix("torch.")
        for part, tensor in estimate._asdict().items():
            if tensor is not None and tensor.dtype != kind:
                return failed("dtype", subject.family, f"the {part} is {_name(tensor)} where q is {name}")
        for draw in watch.draws:
            if draw.noise.is_floating_point() and torch.promote_types(draw.noise.dtype, kind) != draw.noise.dtype:
                message = (
                    f"{draw.source} draws {_name(draw.noise)} noise where q is {name}: in float32 a uniform number is "
                    "a multiple of 2^-24, which is too coarse for rare outcomes. Give dtype=logits.dtype"
                )
                return failed("dtype", subject.family, message)
            if kind == torch.float32 and draw.noise.dtype == kind and draw.source in COARSE and subject.kind.discrete:
                warnings.append(
                    f"{draw.source} draws float32 noise, in steps of 2^-24: an outcome rarer than 1e-6 comes too often "
                    "or never. estimators.Noise(generator) has finer noise"
                )
            if not draw.device_given:
                warnings.append(f"{draw.source} is called without a device: on a GPU it makes CPU noise")
    if found := _single_inside(subject, grid) or _half(subject, grid):
        return failed("dtype", subject.family, found)
    message = (
        "float32 and float64 are kept in what is returned, in the noise and in between; a q in bfloat16 has finite "
        "gradients"
    )
    if torch.cuda.is_available():
        if found := _moved(subject, grid):
            return failed("dtype", subject.family, found)
        message += "; the device is kept"
    return Result("dtype", subject.family, "passed", message, {}, tuple(dict.fromkeys(warnings)))


def _half(subject: Subject, grid: Grid) -> str | None:
    """A q in half precision, which is computed in single."""
    estimator, f = subject.create(grid, torch.float32), grid.f(grid.theta.float())
    values = [v.bfloat16().requires_grad_() for v in grid.values]
    context = subject.context(len(grid.rows), dtype=torch.float32)
    estimate = call(estimator, grid.family, values, f, torch.Generator().manual_seed(11), context)
    found = [g for g in gradients(estimate.surrogate, values) if g is not None]
    return None if all(bool(g.isfinite().all()) for g in found) else "where q is in bfloat16 the gradient is not finite"


COARSE = ("torch.rand", "torch.rand_like", "Tensor.uniform_")
"""Sources of uniform noise as coarse as the dtype."""


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _single_inside(subject: Subject, grid: Grid) -> str | None:
    """What is computed in single precision inside, seen by the rounding in second differences of the gradient."""
    step, worst = 1e-6, 0.0
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid)
    for what in ("scale", "values"):
        path = []
        for k in range(3):
            factor = 1.0 + k * step
            change = {"scale": factor} if what == "scale" else {"values": [v * factor for v in grid.values]}
            path.append(
                torch.cat([g.flatten(1) for g in run(copied(estimator), grid, 11, context=context, **change)[:-1]], 1)
            )
        second = (path[0] - 2 * path[1] + path[2]).abs()
        size = path[0].abs().amax(1, keepdim=True)
        ratio = (second / size.clamp_min(1e-300))[(path[0].abs() > 1e-6 * size) & (size > 0)]
        if ratio.numel():
            worst = max(worst, float(ratio.median()))
    if worst > 3e-9:
        return (
            f"in float64 the gradient is rounded at {worst:.0e} of its size: something inside is computed in a lower "
            "precision, usually a .float() or a tensor made without dtype"
        )
    return None


def _moved(subject: Subject, grid: Grid) -> str | None:
    """Run on the GPU."""
    values = [v.cuda().requires_grad_() for v in grid.values]
    estimator = subject.create(grid).cuda()
    generator = torch.Generator("cuda").manual_seed(11)
    context = subject.context(len(grid.rows)).cuda()
    estimate = call(estimator, grid.family, values, grid.f(grid.theta.cuda()), generator, context)
    for part, tensor in estimate._asdict().items():
        if tensor is not None and tensor.device.type != "cuda":
            return f"the {part} is on the {tensor.device.type} where q is on a GPU"
    return None


def finite(subject: Subject) -> Result:
    """Finite at |logit| 50 or scales .001 and 1000, with costs of a millionth and of a million, in both precisions."""
    draws, least = 211, subject.sample_counts[0]
    middle = subject.small(least)
    grid = Grid(subject.family, middle.event, least, subject.entry.bound, levels=(50.0,))
    extremes = subject.kind.extremes(*grid.values)
    warnings = []
    for kind in (torch.float64, torch.float32):
        for where, point in extremes.items():
            for size in (1e-6, 1e6):
                values = [v.to(kind).expand(draws, *v.shape).clone() for v in point]
                context = subject.context(len(grid.rows), dtype=kind).expand(draws, len(grid.rows), -1)
                share = _not_finite(subject.create(grid, kind), grid, values, context, size)
                if share:
                    name = str(kind).removeprefix("torch.")
                    message = (
                        f"{share:.1%} of the gradients are not finite at {where} with costs of {size:g} in {name}. "
                        "Usually a logarithm of a probability that is 0, or an exponential of a logit: work with "
                        "logits and softplus"
                    )
                    return failed("finite", subject.family, message)
    for kind in (torch.float64, torch.float32):
        values = [v.to(kind).expand(draws, *v.shape).clone() for v in middle.values]
        context = subject.context(len(middle.rows), dtype=kind).expand(draws, len(middle.rows), -1)
        with Edges():
            share = _not_finite(subject.create(middle, kind), middle, values, context, 1.0)
        if share:
            warnings.append(
                "torch.rand returns exactly 0 once in 2^24 draws of float32, and then the gradient is not finite: "
                "clamp uniform noise away from 0 before a logarithm"
            )
            break
    if found := _clipped(subject, middle):
        warnings.append(found)
    where = " and ".join(extremes)
    message = f"finite at {where} with costs of a millionth and of a million, in float32 and float64"
    return Result("finite", subject.family, "passed", message, {}, tuple(warnings))


def _clipped(subject: Subject, grid: Grid) -> str | None:
    """Whether costs are clipped: if not, gradients at costs 0, 1,000 and 2,000 times as large lie on a line."""
    if not subject.unbiased or subject.entry.bound != "elbo":
        return None
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid)
    path = [run(copied(estimator), grid, 11, context=context, scale=size)[0] for size in (0.0, 1e3, 2e3)]
    curvature = float((path[0] - 2 * path[1] + path[2]).abs().max() / path[2].abs().max().clamp_min(1e-300))
    if curvature < 1e-6:
        return None
    return (
        f"the gradient does not grow in proportion to costs of a thousand (it bends by {percent(curvature)}): where "
        "costs, advantages or gradients are clipped, it is biased for costs larger than those that are sampled here"
    )


class Edges(Watch):
    """Puts the least and the largest number that torch.rand can return among its noise."""

    def drawn(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """The noise of one call, every seventh number 0 and every eleventh the largest below 1."""
        noise = super().drawn(func, args, kwargs)
        if func is torch.rand and noise.is_floating_point():
            flat = noise.view(-1)
            flat[::11] = 1 - torch.finfo(noise.dtype).eps / (1 if noise.dtype == torch.float64 else 2)
            flat[::7] = 0.0
        return noise


def _not_finite(estimator: Estimator, grid: Grid, values: Sequence[Tensor], context: Tensor, size: float) -> float:
    leaves = [v.clone().requires_grad_() for v in values]
    f = grid.f(grid.theta.to(leaves[0]).expand(len(leaves[0]), -1))
    told = context if context.numel() else None
    estimate = call(
        estimator, grid.family, leaves, lambda z, q: size * f(z, q), torch.Generator().manual_seed(11), told
    )
    grads = gradients(estimate.surrogate, leaves)
    bad = ~(estimate.surrogate.isfinite() & estimate.value.isfinite())
    for g in grads:
        if g is not None:
            bad |= ~g.flatten(2).isfinite().all(-1)
    return float(bad.double().mean())
