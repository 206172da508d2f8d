"""What an estimator owes its caller, whatever its mathematics: rows, leading dims, dtype, generator, finite, evaluations."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimator
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.noise import Watch
from estimators.checks.result import Result
from estimators.checks.sampling import Broken, call, gradients
from estimators.checks.subject import Subject, copied, run
from estimators.distributions import from_parameters, parameters
from estimators.registry import Needs

CLOSE = 1e-9
"""Relative difference that rounding in double precision explains."""


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the size of both."""
    return float((a - b).abs().max() / (a.abs().max() + b.abs().max()).clamp_min(1e-300)) if a.numel() else 0.0


def percent(share: float) -> str:
    """A share in words, however small."""
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1g} of its size"


def _failed(check: str, subject: Subject, message: str, **numbers: Any) -> Result:
    return Result(check, subject.family, "failed", message, numbers)


# Rows


def rows(subject: Subject) -> Result:
    """The gradient of a row depends on no other row, and no two rows share noise."""
    for samples in subject.sample_counts:
        for train in (False, True):
            if found := _coupled(subject, subject.small(samples), train):
                return _failed("rows", subject, found)
    if found := _leaking(subject):
        return _failed("rows", subject, found)
    if found := _shared_noise(subject):
        return _failed("rows", subject, found)
    message = (
        "a row's gradient stays the same, to rounding, whatever the other rows are, and rows draw noise of their own"
    )
    return Result("rows", subject.family, "passed", message)


def _coupled(subject: Subject, grid: Grid, train: bool) -> str | None:
    """Change one row, and see whether another one's gradient moves."""
    estimator = subject.create(grid.samples).train(train)
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
        plain = run(copied(estimator), grid, seed, context=context)
        variants: dict[str, Mapping[str, Any]] = {
            "the cost of another row": {"scale": factor, "context": context},
            "the parameters of another row": {"values": moved, "context": context},
            "the context of another row": {"context": told},
        }
        for what, options in variants.items():
            again = run(copied(estimator), grid, seed, **options)
            apart = max(_apart(a[others], b[others]) for a, b in zip(plain, again, strict=True))
            if apart > CLOSE:
                mode = "train()" if train else "eval()"
                return (
                    f"a row's gradient moves by {percent(apart)} when {what} changes ({mode}, samples={grid.samples}): rows "
                    "must be independent. Usually a mean, a normalisation or a softmax runs over the batch"
                )
    return None


def _leaking(subject: Subject) -> str | None:
    """The surrogate of one row must not hold the parameters of another."""
    grid = subject.small()
    values = [v.clone().requires_grad_() for v in grid.values]
    theta = grid.theta.clone().requires_grad_()
    context = subject.context(len(grid.rows))
    estimate = call(subject.create(grid.samples), grid.family, values, grid.f(theta), subject.generator(2), context)
    grads = gradients(estimate.surrogate[1], (*values, theta))
    for g in grads:
        if g is not None and bool(g[[0, *range(2, len(g))]].abs().max() > 0):
            return (
                "the surrogate of one row has a gradient in the parameters of another. Usually a mean over the batch is "
                "returned for every row, or dims are mixed up in a reshape"
            )
    return None


def _shared_noise(subject: Subject) -> str | None:
    """Draws of equal rows: they must not be equal, nor correlated."""
    grid = subject.small(subject.sample_counts[0])
    copies, chosen, count = 4, grid.rows.index(next(r for r in grid.rows if r.objective == "mlp")), 2003
    values = [v[chosen].expand(count, copies, *grid.event).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[chosen].expand(count, copies)
    context = subject.context(len(grid.rows))[chosen].expand(count, copies, -1)
    f = grid.f(theta, [chosen] * copies)
    estimate = call(subject.create(grid.samples), grid.family, values, f, subject.generator(2), context)
    grads = gradients(estimate.surrogate, values)
    g = torch.cat([g.reshape(count, copies, -1) for g in grads if g is not None], -1)
    scale = g.abs().amax((0, 1)).clamp_min(1e-300)
    tiny = 1e-9 * float(scale.max())
    if float(g.std(0).max()) < tiny or float(g.std(1).max()) < tiny:
        told = subject.context(len(grid.rows))
        found = [run(subject.create(grid.samples), grid, seed, context=told)[0] for seed in range(20)]
        if all(_apart(found[0], other) < CLOSE for other in found):
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
    for where, found in pairs.items():
        for a, b in found:
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


# Leading dims


def leading_dims(subject: Subject) -> Result:
    """[B], [R, B] and [R, E, B] give the same gradients for the same noise, and so does a q that was expanded."""
    grid = subject.small()
    context = subject.context(6)
    expected = _shaped(subject, grid, (6,), context)
    for shape in ((6, 1), (1, 6), (2, 3), (3, 1, 2)):
        apart = max(_apart(a, b) for a, b in zip(expected, _shaped(subject, grid, shape, context), strict=True))
        if apart > CLOSE:
            message = (
                f"rows of shape {list(shape)} give gradients {percent(apart)} apart from those of the same six rows in a line, "
                "with the same noise. Usually a dim is counted from the left, or the batch is reshaped in another order"
            )
            return _failed("leading-dims", subject, message, shape=list(shape), apart=apart)
    single = [_shaped(subject, grid, shape, context) for shape in ((), (1,), (1, 1))]
    if max(_apart(a, b) for other in single[1:] for a, b in zip(single[0], other, strict=True)) > CLOSE:
        message = (
            "one row alone gives other gradients as [], [1] or [1, 1]. Usually squeeze() takes away more than it should"
        )
        return _failed("leading-dims", subject, message)
    if found := _expanded(subject, grid) or _stacked(subject, grid):
        return _failed("leading-dims", subject, found)
    message = "rows shaped [B], [R, B] and [R, E, B] give the same gradients for the same noise"
    return Result("leading-dims", subject.family, "passed", message)


def _arranged(grid: Grid, rows: Sequence[int], shape: Sequence[int]) -> Callable[[Tensor], Callable[..., Tensor]]:
    """f for rows arranged in another shape than a line."""
    dims = len(grid.event)

    def with_theta(theta: Tensor) -> Callable[..., Tensor]:
        line = grid.f(theta.reshape(-1), rows)

        def f(z: Tensor, q: Distribution, /) -> Tensor:
            flat_q = from_parameters(grid.family, *(p.reshape(-1, *grid.event) for p in parameters(q)))
            lead = z.shape[: z.dim() - dims - len(shape)]
            return line(z.reshape(*lead, -1, *grid.event), flat_q).reshape(*lead, *shape)

        return f

    return with_theta


def _shaped(subject: Subject, grid: Grid, shape: tuple[int, ...], context: Tensor) -> list[Tensor]:
    """Gradients of the first rows of the grid, arranged in a shape, flattened again."""
    count = int(torch.Size(shape).numel())
    rows = [i % len(grid.rows) for i in range(count)]
    values = [v[torch.tensor(sorted(rows))].reshape(*shape, *grid.event).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[torch.tensor(sorted(rows))].reshape(shape).clone().requires_grad_()
    told = context[:count].reshape(*shape, -1)
    f = _arranged(grid, sorted(rows), shape)(theta)
    estimate = call(subject.create(grid.samples), grid.family, values, f, torch.Generator().manual_seed(11), told)
    grads = gradients(estimate.surrogate, (*values, theta))
    return [
        (torch.zeros_like(leaf) if g is None else g).reshape(count, -1)
        for g, leaf in zip(grads, (*values, theta), strict=True)
    ]


def _expanded(subject: Subject, grid: Grid) -> str | None:
    """A q whose parameters are expanded, not copied, to [R, B]: gradients add up."""
    count, context = 3, subject.context(len(grid.rows))
    estimator = subject.create(grid.samples)
    totals = []
    for copy in (False, True):
        leaves = [v.clone().requires_grad_() for v in grid.values]
        values = [leaf.expand(count, *leaf.shape) for leaf in leaves]
        values = [v.clone() for v in values] if copy else values
        f = grid.f(grid.theta.expand(count, -1))
        told = context.expand(count, *context.shape)
        estimate = call(copied(estimator), grid.family, values, f, torch.Generator().manual_seed(11), told)
        totals.append([g for g in gradients(estimate.surrogate, leaves) if g is not None])
    if any(_apart(a, b) > CLOSE for a, b in zip(*totals, strict=True)):
        return (
            "a q expanded to [R, B] gives other gradients than one whose rows are copied: something is written in place"
        )
    return None


def _stacked(subject: Subject, grid: Grid) -> str | None:
    """Seeds stacked with bind(stack=...): it must run, in training too."""
    seeds = 2
    try:
        estimator = subject.entry.create(**{**subject.options, "samples": grid.samples})
        context = subject.context(seeds, len(grid.rows))
        estimator.bind(stack=(seeds,), context_size=context.shape[-1], generator=torch.Generator().manual_seed(5))
    except Exception as error:
        return f"bind(stack=({seeds},)) raises {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    estimator = estimator.to(DOUBLE).train()
    for lead in ((seeds,), (seeds,), (3, seeds)):
        values = [v.expand(*lead, *v.shape).clone().requires_grad_() for v in grid.values]
        f = grid.f(grid.theta.expand(*lead, -1))
        told = context.expand(*lead, *context.shape[1:])
        estimate = call(estimator, grid.family, values, f, torch.Generator().manual_seed(11), told)
        grads = gradients(estimate.surrogate, values)
        if any(g is not None and not bool(g.isfinite().all()) for g in grads):
            return f"stacked seeds [{', '.join(map(str, lead))}, B] give gradients that are not finite"
    return None


# Dtype and device


def dtype(subject: Subject) -> Result:
    """float32 and float64 are kept, in what is returned, in the noise and in between; the device is q's."""
    grid = subject.small()
    warnings: list[str] = []
    for kind in (torch.float64, torch.float32):
        estimator, f = subject.create(grid.samples, kind), grid.f(grid.theta.to(kind))
        values = [v.to(kind).requires_grad_() for v in grid.values]
        context = subject.context(len(grid.rows), dtype=kind)
        with Watch() as watch:
            estimate = call(estimator, grid.family, values, f, torch.Generator().manual_seed(11), context)
        name = str(kind).removeprefix("torch.")
        for part, tensor in estimate._asdict().items():
            if tensor is not None and tensor.dtype != kind:
                return _failed("dtype", subject, f"the {part} is {_name(tensor)} where q is {name}")
        for draw in watch.draws:
            if draw.noise.is_floating_point() and draw.noise.dtype != kind:
                message = (
                    f"{draw.source} draws {_name(draw.noise)} noise where q is {name}: in float32 a uniform number is a "
                    "multiple of 2^-24, which is too coarse for rare outcomes. Give dtype=logits.dtype"
                )
                return _failed("dtype", subject, message)
            if not draw.device_given:
                warnings.append(f"{draw.source} is called without a device: on a GPU it makes CPU noise")
    if found := _single_inside(subject, grid):
        return _failed("dtype", subject, found)
    message = "float32 and float64 are kept in what is returned, in the noise and in between"
    if torch.cuda.is_available():
        if found := _moved(subject, grid):
            return _failed("dtype", subject, found)
        message += "; the device is kept"
    return Result("dtype", subject.family, "passed", message, {}, tuple(dict.fromkeys(warnings)))


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _single_inside(subject: Subject, grid: Grid) -> str | None:
    """Second differences of the gradient along a smooth path: in double precision they are tiny, in single rounding."""
    step, worst = 1e-6, 0.0
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid.samples)
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
    estimator = subject.create(grid.samples).cuda()
    generator = torch.Generator("cuda").manual_seed(11)
    context = subject.context(len(grid.rows)).cuda()
    estimate = call(estimator, grid.family, values, grid.f(grid.theta.cuda()), generator, context)
    for part, tensor in estimate._asdict().items():
        if tensor is not None and tensor.device.type != "cuda":
            return f"the {part} is on the {tensor.device.type} where q is on a GPU"
    return None


# Generator


def generator(subject: Subject) -> Result:
    """The generator alone decides the result, and no global one is touched."""
    grid = subject.small()
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid.samples)
    before = (torch.get_rng_state(), _numpy_state(), random.getstate())
    noises, results = [], []
    for seed in (1, 1, 2):
        with Watch() as watch:
            results.append(run(copied(estimator), grid, seed, context=context))
        for draw in watch.draws:
            if draw.generator is None:
                message = f"{draw.source} is called without the generator: noise must come from the one that is given"
                return _failed("generator", subject, message)
        noises.append([draw.noise for draw in watch.draws])
    after = (torch.get_rng_state(), _numpy_state(), random.getstate())
    for name, a, b in zip(("torch", "numpy", "random"), before, after, strict=True):
        if not (torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b):
            message = f"the global generator of {name} is used: noise must come from the generator that is given"
            return _failed("generator", subject, message)
    if max(_apart(a, b) for a, b in zip(results[0], results[1], strict=True)) > 0:
        message = "the same generator seed gives another gradient the second time: there is noise, or state in eval(), of another source"
        return _failed("generator", subject, message)
    for a, b in zip(noises[0], noises[2], strict=False):
        if a.numel() > 8 and a.shape == b.shape and a.is_floating_point() and torch.equal(a, b):
            message = (
                "noise is the same for two seeds of the generator: it is drawn from a generator of its own, seeded anew"
            )
            return _failed("generator", subject, message)
    differ = max(_apart(a, b) for a, b in zip(results[0], results[2], strict=True)) > 0
    if noises[0] and not differ and not subject.entry.enumerates:
        return _failed("generator", subject, "two seeds give the same gradient, though noise is drawn")
    values = [v.clone().requires_grad_() for v in grid.values]
    call(copied(estimator), grid.family, values, grid.f(grid.theta), None, context)  # the generator is optional
    words = "the generator alone decides the result" if differ else "there is no noise"
    return Result("generator", subject.family, "passed", f"{words}, and no global generator is touched")


def _numpy_state() -> tuple[object, ...]:
    _, key, position, *_ = numpy.random.get_state(legacy=True)
    return (key.tolist(), position)


# Extremes


def finite(subject: Subject) -> Result:
    """Finite at |logit| 50 or scales of .001 and 1000, with costs of a millionth and of a million, in both precisions."""
    draws, least = 211, subject.sample_counts[0]
    middle = subject.small(least)
    grid = Grid(subject.family, middle.event, least, subject.entry.bound, levels=(50.0,))
    extremes = {"|logit| 50": list(grid.values)}
    if subject.family == "gaussian":
        loc, scale = grid.values
        extremes = {f"scale {s:g}": [20 * loc, torch.full_like(scale, s)] for s in (1e-3, 1e3)}
    warnings = []
    for kind in (torch.float64, torch.float32):
        for where, point in extremes.items():
            for size in (1e-6, 1e6):
                values = [v.to(kind).expand(draws, *v.shape).clone() for v in point]
                context = subject.context(len(grid.rows), dtype=kind).expand(draws, len(grid.rows), -1)
                share = _not_finite(subject.create(least, kind), grid, values, context, size)
                if share:
                    name = str(kind).removeprefix("torch.")
                    message = (
                        f"{share:.1%} of the gradients are not finite at {where} with costs of {size:g} in {name}. "
                        "Usually a logarithm of a probability that is 0, or an exponential of a logit: work with "
                        "logits and softplus"
                    )
                    return _failed("finite", subject, message)
    for kind in (torch.float64, torch.float32):
        values = [v.to(kind).expand(draws, *v.shape).clone() for v in middle.values]
        context = subject.context(len(middle.rows), dtype=kind).expand(draws, len(middle.rows), -1)
        with Edges():
            share = _not_finite(subject.create(least, kind), middle, values, context, 1.0)
        if share:
            warnings.append(
                "torch.rand returns exactly 0 once in 2^24 draws of float32, and then the gradient is not finite: clamp "
                "uniform noise away from 0 before a logarithm"
            )
            break
    where = " and ".join(extremes)
    message = f"finite at {where} with costs of a millionth and of a million, in float32 and float64"
    return Result("finite", subject.family, "passed", message, {}, tuple(warnings))


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


# Evaluations of f


def evaluations(subject: Subject) -> Result:
    """f is evaluated as often as the tag says, with a graph for phi only where the tag says so, and at vertices else."""
    entry, measured = subject.entry, {}
    step = 2 if entry.samples.even else 1
    least = subject.sample_counts[0]
    counts = (least,) if "samples" in subject.options or entry.enumerates else (least, least + step, least + 2 * step)
    needs: Needs = "neither"
    for samples in counts:
        grid = subject.small(samples)
        seen = _Seen(grid)
        values = [v.clone().requires_grad_() for v in grid.values]
        context = subject.context(len(grid.rows))
        call(subject.create(samples), grid.family, values, seen, torch.Generator().manual_seed(11), context)
        if any(v.grad is not None for v in values):
            message = "forward leaves gradients in q's parameters: it calls backward() itself, where it must use torch.autograd.grad"
            return _failed("evaluations", subject, message)
        measured[samples] = seen.evaluations
        expected = grid.states if entry.enumerates else entry.f_evals(samples) if entry.f_evals else None
        if expected is not None and seen.evaluations != expected:
            message = (
                f"f is evaluated {seen.evaluations} times a row where the tag f_evals says {expected} (samples={samples}): "
                "correct the tag, or take out the evaluation"
            )
            return _failed("evaluations", subject, message, evaluations=measured)
        needs = seen.needs
        if found := _against(seen, entry.needs, entry.bound):
            return _failed("evaluations", subject, found, evaluations=measured)
    words = ", ".join(f"{count} (samples={samples})" for samples, count in measured.items())
    said = "as the tags say" if entry.f_evals or entry.enumerates else "no tag f_evals says so"
    message = f"f is evaluated {words} times a row, {said}; of f it takes: {needs}"
    return Result("evaluations", subject.family, "passed", message, {"evaluations": measured, "needs": needs})


class _Seen:
    """f, noting how it is called."""

    def __init__(self, grid: Grid) -> None:
        self.f, self.discrete = grid.f(grid.theta), grid.family != "gaussian"
        self.evaluations = 0
        self.through_z = self.through_q = self.relaxed = False

    def __call__(self, z: Tensor, q: Distribution, /) -> Tensor:
        self.evaluations += len(z)
        self.through_z |= z.requires_grad
        self.through_q |= torch.is_grad_enabled() and any(p.requires_grad for p in parameters(q))
        self.relaxed |= self.discrete and not bool(((z == 0) | (z == 1)).all())
        return self.f(z, q)

    @property
    def needs(self) -> Needs:
        """The tag that fits."""
        return "relaxed f" if self.relaxed else "gradient of f" if self.through_z else "neither"


def _against(seen: _Seen, needs: Needs | None, bound: str) -> str | None:
    """What contradicts the tag `needs`, if it was given."""
    if needs == "neither" and seen.through_z:
        return "f is evaluated with a graph through z, where the tag needs says that no gradient of f is used: detach z"
    if needs == "neither" and seen.through_q and bound == "elbo":
        return (
            "f is evaluated with a graph through q's parameters, where the tag needs says that no gradient of f is used: "
            "pass q with stopped parameters (estimators.distributions.stopped), or the noise of log q's own gradient is added"
        )
    if needs in ("neither", "gradient of f") and seen.relaxed:
        return f"f is evaluated between the vertices, where the tag needs says {needs!r}: it needs a relaxed f"
    if needs in ("gradient of f", "relaxed f") and not seen.through_z:
        return f"the tag needs says {needs!r}, but f is never evaluated with a graph through z"
    if needs == "relaxed f" and seen.discrete and not seen.relaxed:
        return "the tag needs says 'relaxed f', but f is evaluated at vertices only"
    return None


__all__ = ["Broken", "dtype", "evaluations", "finite", "generator", "leading_dims", "rows"]
