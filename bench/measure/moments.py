"""Moments of a gradient over the estimator's noise alone: parameters, rows and running state are held fixed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from bench.memory import keep_freed_memory
from bench.seeds import stream
from bench.statistics import Interval, variance_interval
from estimators.base import Estimator, Objective
from estimators.contract import CountedObjective, checked
from estimators.distributions import family, from_parameters, parameters, row_shape, stopped

CHUNK_NUMBERS = {"cpu": 2**19, "cuda": 2**25}
"""Size of the largest tensor of a call of the estimator, which decides how many draws it makes: on the CPU so that what
follows finds it in the cache, on a GPU so that its cores have work."""
BLOCK_NUMBERS = 2**21
"""Coordinates of gradients that are held at once."""
SLICE_NUMBERS = 2**16
"""Coordinates that are summed up at once, in the cache."""

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
    largest: int
    """Numbers in the largest tensor that the call makes."""


@torch.no_grad()
def probe(estimator: Estimator, q: Distribution, f: Objective, context: Tensor | None = None) -> Probe:
    """Call the estimator once and count; its running state is left as it was."""
    counted = CountedObjective(f)
    with frozen(estimator), Largest() as largest:
        generator = stream("probe", device=parameters(q)[0].device)
        value = checked(estimator(q, counted, generator=generator, context=context), q).value
    rounding = 16 * torch.finfo(value.dtype).eps * float(value.abs().max())
    return Probe(counted.evaluations, rounding, largest.numbers)


class Largest(TorchFunctionMode):
    """Notes the size of the largest tensor that is made, views apart."""

    numbers = 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call, and look at what comes out."""
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor) and not part._is_view():
                self.numbers = max(self.numbers, part.numel())
        return result


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
) -> Iterator[Tensor]:
    """Independent draws of every row's gradient, block by block, so that memory does not grow with their number.

    f's own parameters stay out of the graph: where f is not differentiated in z either, it is evaluated without one.

    Args:
        estimator: put into `eval()` for the while.
        q: the distribution; its parameters are leaves here, whatever graph they hang in.
        f: the objective.
        draws: number n of draws.
        seed: of the one generator that all noise comes from.
        context: [*B, X] for input-dependent baselines.
        closed_form: what the loss holds besides E_q[f], such as an analytic KL divergence; it carries no noise.

    Yields:
        [n / blocks, *B, P] in q's dtype, on its device, the last dim being q's parameters: logits, or loc and scale
        side by side; categorical logits are flattened, P = L C. Blocks differ in length by one at most.

    Raises:
        Broken: what the estimator returns breaks the contract.
        FloatingPointError: a gradient is not finite.
    """
    name, rows = family(q), row_shape(q)
    values = [p.detach() for p in parameters(q)]
    fixed = stopped(q)
    device = values[0].device
    generator = stream("gradients", seed, device=device)
    keep_freed_memory()

    def objective(z: Tensor, given: Distribution, /, *more: Any) -> Tensor:
        own = parameters(given)
        if z.requires_grad or any(p.requires_grad for p in own):
            return f(z, given, *more)
        # The copies of q differ in their gradients alone: f takes q itself, and computes what depends on it once.
        copied = [p.data_ptr() for p in own] == [p.data_ptr() for p in parameters(copies)]
        with torch.no_grad():
            return f(z, fixed if copied else given, *more)

    with frozen(estimator):
        largest = probe(estimator, q, f, context).largest
        chunk = max(1, CHUNK_NUMBERS[device.type] // largest)
        size = sum(p.numel() for p in values)
        blocks = math.ceil(draws * size / BLOCK_NUMBERS)
        for block in torch.arange(draws).tensor_split(blocks):
            g = values[0].new_empty(len(block), *rows, size // rows.numel())
            for part, target in zip(block.split(chunk), g.split(chunk), strict=True):
                leaves = [p.expand(len(part), *p.shape).clone().requires_grad_() for p in values]
                copies = from_parameters(name, *leaves)
                loss = estimator(copies, objective, generator=generator, context=context).surrogate.sum()
                if closed_form and (closed := closed_form(copies)) is not None:
                    loss = loss + closed.sum()
                grads = torch.autograd.grad(loss, leaves)
                widths = [leaf[0].numel() // rows.numel() for leaf in leaves]
                for place, grad in zip(target.split(widths, -1), grads, strict=True):
                    place.copy_(grad.reshape(place.shape))
            if not g.sum().isfinite() and not (finite := g.flatten(1).isfinite().all(1)).all():
                raise FloatingPointError(
                    f"the gradient is not finite in {int((~finite).sum())} of {len(block)} draws"
                    + (f" of a block, of {draws} in all" if blocks > 1 else "")
                )
            yield g
            del g


class Distances:
    """Squared distances of draws from their mean, where the draws come block by block.

    Each is taken from its block's mean. What lies between the blocks is added to all alike, which leaves their sum
    exact, and their spread the more so the longer the blocks are: within 2 % at 400 draws.
    """

    def __init__(self) -> None:
        self.within: list[Tensor] = []
        self.between, self.count = 0.0, 0

    def add(self, within: Tensor, moved: Tensor) -> None:
        """Take in a block's own distances [n], and that of its mean from the mean before it, a scalar."""
        count = len(within)
        if self.count:
            self.between += float(moved) * self.count * count / (self.count + count)
        self.within.append(within.cpu())
        self.count += count

    def all(self) -> Tensor:
        """[n] on the CPU."""
        return torch.cat(self.within) + self.between / self.count


class Moments:
    """Mean and central moments of draws that come block by block.

    T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, 1983; P. Pebay, Formulas for
    robust, one-pass parallel computation of covariances and arbitrary-order statistical moments, 2008.

    Args:
        third: whether to sum up third powers too.
    """

    def __init__(self, third: bool = False) -> None:
        self.count, self.third = 0, third
        self.mean = self.squares = self.cubes = torch.zeros((), dtype=torch.float64)
        self.distances = Distances()

    def add(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Take in a block [n, ...] in any precision.

        Returns:
            Its mean, and the step to that from the mean before it, in double precision.
        """
        count, before = len(block), self.count
        slices = block.split(max(1, SLICE_NUMBERS // block[0].numel()))
        mean = sum((part.double().sum(0) for part in slices), torch.zeros_like(block[0], dtype=torch.float64)) / count
        squares = cubes = torch.zeros_like(mean)
        within = []
        for part in slices:
            deviations = part - mean
            product = deviations.square()
            within.append(product.flatten(1).sum(1))
            squares = squares + product.sum(0)
            if self.third:
                cubes = cubes + product.mul_(deviations).sum(0)
        step, total = mean - self.mean, before + count
        self.distances.add(torch.cat(within), step.square().sum())
        if self.third:
            between = step.pow(3) * (count * before * (before - count) / total**2)
            crossed = 3 * step * (before * squares - count * self.squares) / total
            self.cubes = self.cubes + cubes + between + crossed
        self.squares = self.squares + squares + step.square() * (count * before / total)
        self.mean = self.mean + step * (count / total)
        self.count = total
        return mean, step


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
        draws: number of independent draws, at least 3; memory grows by one number a draw.
        seed: of the noise.
        context: [*B, X] for input-dependent baselines.
        level: coverage of the total's interval (jackknife on the log variance).
    """
    moments = Moments()
    for block in gradients(estimator, q, f, draws=draws, seed=seed, context=context):
        moments.add(block)
    mean, d = moments.mean.cpu(), moments.distances.all()
    variance = moments.squares.cpu() / (draws - 1)
    # The mean of equal draws is off by rounding, which would read as a variance.
    floor = draws * torch.finfo(mean.dtype).eps ** 2 * mean.square().sum()
    if d.sum() <= floor * draws:
        d, variance = torch.zeros_like(d), torch.zeros_like(variance)
    first, *others = parameters(q)
    shape = mean.shape if others else first.shape
    return GradientMoments(mean.reshape(shape), variance.reshape(shape), variance_interval(d.numpy(), level))
