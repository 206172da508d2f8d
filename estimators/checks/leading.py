"""The check leading-dims: [B], [R, B] and [R, E, B] are the same code."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimator, Objective
from estimators.checks.compare import CLOSE, apart, percent
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.modes import unusual_calls
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call, gradients
from estimators.checks.subject import Subject, copied, run
from estimators.contract import Broken
from estimators.distributions import from_parameters, parameters


def leading_dims(subject: Subject) -> Result:
    """[B], [R, B] and [R, E, B] give the same gradients for the same noise, and so does a q that was expanded."""
    grid = subject.small()
    context = subject.context(6)
    expected = _shaped(subject, grid, (6,), context)
    for shape in ((6, 1), (1, 6), (2, 3), (3, 1, 2)):
        moves = apart(expected, _shaped(subject, grid, shape, context))
        if moves > CLOSE:
            message = (
                f"rows of shape {list(shape)} give gradients {percent(moves)} apart from those of the same six rows "
                "in a line, with the same noise. Usually a dim is counted from the left, or the batch is reshaped in "
                "another order"
            )
            return failed("leading-dims", subject.family, message, shape=list(shape), apart=moves)
    single = [_shaped(subject, grid, shape, context) for shape in ((), (1,), (1, 1))]
    if max(apart(single[0], other) for other in single[1:]) > CLOSE:
        message = (
            "one row alone gives other gradients as [], [1] or [1, 1]. Usually squeeze() takes away more than it should"
        )
        return failed("leading-dims", subject.family, message)
    if found := _expanded(subject, grid) or _stacked(subject, grid) or unusual_calls(subject):
        return failed("leading-dims", subject.family, found)
    message = (
        "rows shaped [B], [R, B] and [R, E, B] give the same gradients for the same noise; no rows and inference mode "
        "are taken"
    )
    return Result("leading-dims", subject.family, "passed", message)


def _arranged(grid: Grid, theta: Tensor) -> Objective:
    """f for the first rows of the grid, arranged in the shape of theta."""
    line, dims, shape = grid.f(theta.reshape(-1), range(theta.numel())), len(grid.event), theta.shape

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        flat_q = from_parameters(
            grid.family, *(p.reshape(-1, *v.shape[1:]) for p, v in zip(parameters(q), grid.values, strict=True))
        )
        lead = z.shape[: z.dim() - dims - len(shape)]
        return line(z.reshape(*lead, -1, *grid.event), flat_q).reshape(*lead, *shape)

    return f


def _shaped(subject: Subject, grid: Grid, shape: tuple[int, ...], context: Tensor) -> list[Tensor]:
    """Gradients of the first rows of the grid, arranged in a shape, flattened again."""
    count = int(torch.Size(shape).numel())
    values = [v[:count].reshape(*shape, *v.shape[1:]).clone().requires_grad_() for v in grid.values]
    theta = grid.theta[:count].reshape(shape).clone().requires_grad_()
    told = context[:count].reshape(*shape, -1)
    f, generator = _arranged(grid, theta), torch.Generator().manual_seed(11)
    estimate = call(subject.create(grid), grid.family, values, f, generator, told)
    grads = gradients(estimate.surrogate, (*values, theta))
    return [
        (torch.zeros_like(leaf) if g is None else g).reshape(count, -1)
        for g, leaf in zip(grads, (*values, theta), strict=True)
    ]


def _expanded(subject: Subject, grid: Grid) -> str | None:
    """Gradients for a q whose parameters are expanded to [R, B] without a copy: they are sums over R."""
    count, context = 3, subject.context(len(grid.rows))
    estimator = subject.create(grid)
    totals = []
    for copy in (False, True):
        leaves = [v.clone().requires_grad_() for v in grid.values]
        values = [leaf.expand(count, *leaf.shape) for leaf in leaves]
        values = [v.clone() for v in values] if copy else values
        f = grid.f(grid.theta.expand(count, -1))
        told = context.expand(count, *context.shape)
        estimate = call(copied(estimator), grid.family, values, f, torch.Generator().manual_seed(11), told)
        totals.append([g for g in gradients(estimate.surrogate, leaves) if g is not None])
    if apart(*totals) > CLOSE:
        return (
            "a q expanded to [R, B] gives other gradients than one whose rows are copied: something is written in place"
        )
    return None


def _stacked(subject: Subject, grid: Grid) -> str | None:
    """An estimator bound with bind(stack=...) must run, in training too, and keep its stacked seeds apart."""
    seeds = 2
    try:
        estimator = subject.create(grid, stack=(seeds,)).train()
    except Broken as error:
        cause = error.__cause__  # without a stack it was built in the checks above
        return f"bind(stack=({seeds},)) raises {type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
    context = subject.context(seeds, len(grid.rows))
    for lead in ((seeds,), (seeds,), (3, seeds)):
        values = [v.expand(*lead, *v.shape).clone().requires_grad_() for v in grid.values]
        f = grid.f(grid.theta.expand(*lead, -1))
        told = context.expand(*lead, *context.shape[1:])
        estimate = call(estimator, grid.family, values, f, torch.Generator().manual_seed(11), told)
        grads = gradients(estimate.surrogate, values)
        if any(g is not None and not bool(g.isfinite().all()) for g in grads):
            return f"stacked seeds [{', '.join(map(str, lead))}, B] give gradients that are not finite"
    return _mixed_seeds(estimator, grid, context, seeds)


def _mixed_seeds(estimator: Estimator, grid: Grid, context: Tensor, seeds: int) -> str | None:
    """Change what one seed has of its own, and see whether another seed's gradient moves."""
    values = [v.expand(seeds, *v.shape) for v in grid.values]
    estimator = copied(estimator).eval()
    for changed in range(seeds):
        factor = torch.ones(seeds, 1, dtype=DOUBLE)
        factor[changed] = 5.0
        before = run(copied(estimator), grid, 11, context=context, values=values)
        after = run(copied(estimator), grid, 11, context=context, values=values, scale=factor)
        others = [seed for seed in range(seeds) if seed != changed]
        if apart([g[others] for g in before], [g[others] for g in after]) > CLOSE:
            return "the gradient of one stacked seed moves with the costs of another: something is averaged over seeds"
    own = [t for t in (*estimator.parameters(), *estimator.buffers()) if t.dim() and t.shape[0] == seeds]
    for changed in range(seeds if own else 0):
        moved = copied(estimator)
        with torch.no_grad():
            for t in (*moved.parameters(), *moved.buffers()):
                if t.dim() and t.shape[0] == seeds and t.is_floating_point():
                    t[changed] = 1.5 * t[changed] + 0.1
        before, after = (run(e, grid, 11, context=context, values=values) for e in (estimator, moved))
        others = [seed for seed in range(seeds) if seed != changed]
        if apart([g[others] for g in before], [g[others] for g in after]) > CLOSE:
            return (
                "the gradient of one stacked seed moves with the parameters or state of another: own parameters of "
                "shape [*stack, 1, ...] are indexed or averaged over seeds"
            )
    return None
