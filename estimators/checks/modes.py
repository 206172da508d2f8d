"""What the check leading-dims asks of unusual calls: inference mode, a batch of no rows, latents of one class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from estimators.base import Estimator
from estimators.checks.compare import CLOSE, apart
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.sampling import call
from estimators.checks.subject import Subject, copied


def unusual_calls(subject: Subject) -> str | None:
    """In inference mode the value is that without a graph, no rows change no state, and a single class is certain."""
    grid = subject.small(subject.sample_counts[0])
    estimator = subject.create(grid)
    return _inference(subject, grid, estimator) or _no_rows(subject, grid, estimator) or _one_class(subject)


def _value(subject: Subject, grid: Grid, estimator: Estimator, values: Sequence[Tensor]) -> Tensor:
    context = subject.context(len(grid.rows))
    generator = torch.Generator().manual_seed(11)
    return call(estimator, grid.family, values, grid.f(grid.theta), generator, context).value


def _inference(subject: Subject, grid: Grid, estimator: Estimator) -> str | None:
    first, second = copied(estimator), copied(estimator)  # made outside, as a person's are
    with torch.no_grad():
        expected = _value(subject, grid, first, grid.values)
    with torch.inference_mode():
        found = _value(subject, grid, second, [v.clone() for v in grid.values])
        if apart([found.clone()], [expected]) > CLOSE:
            return "the value in torch.inference_mode() is another than in torch.no_grad(), with the same noise"
    return None


def _no_rows(subject: Subject, grid: Grid, estimator: Estimator) -> str | None:
    estimator = copied(estimator).train()
    before = {key: value.clone() for key, value in estimator.state_dict().items()}
    values = [v[:0].clone().requires_grad_() for v in grid.values]
    context = subject.context(0)
    call(estimator, grid.family, values, lambda z, q: z.flatten(z.dim() - len(grid.event)).sum(-1), None, context)
    moved = [key for key, value in estimator.state_dict().items() if not torch.equal(value, before[key])]
    if moved:
        return f"a batch of no rows changes the running state {', '.join(map(repr, moved))}"
    return None


def _one_class(subject: Subject) -> str | None:
    """Latents that can have one value alone."""
    if subject.kind.latent_dims == 0:
        return None
    samples, event = subject.sample_counts[0], (2, 1)
    grid = Grid(subject.family, event, samples, subject.entry.bound)
    estimator = subject.create(grid)
    leaf = grid.values[0][:3].clone().requires_grad_()
    estimate = call(estimator, subject.family, [leaf], lambda z, q: 3 * z.sum((-2, -1)), None, subject.context(3))
    if apart([estimate.value], [torch.full((3,), 6.0, dtype=DOUBLE)]) > CLOSE:
        return f"with one class the value is {float(estimate.value[0]):.3g} where f is 6"
    if estimate.surrogate.requires_grad:
        (g,) = torch.autograd.grad(estimate.surrogate.sum(), leaf, allow_unused=True)
        if g is not None and not float(g.abs().max()) < 1e-9:
            size = float(g.abs().max())
            return f"with one class, whose latent is 1 whatever its parameter, there is a gradient of {size:.2g}"
    return None
