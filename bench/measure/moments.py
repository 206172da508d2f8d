"""Moments of a gradient, summed up as its draws come."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.determined import for_leading_dims
from bench.measure.draws import check_measurable, gradients, look_at
from bench.measure.rare import rare_events
from bench.measure.warm import warmed
from bench.statistics import Interval, no_interval, variance_interval
from estimators.base import Estimator, Objective
from estimators.call import as_given, trusted
from estimators.distributions import parameters
from estimators.errors import BadInput, check_whole
from estimators.objective import checked
from estimators.parts.sizes import is_unsized

SLICE_NUMBERS = 2**18
"""Coordinates that are summed up at once, in the cache."""
FIRST_DRAWS = 33
"""Draws that show which value a coordinate usually has."""


class GradientMoments(NamedTuple):
    """Moments over independent draws of an estimator.

    A row's gradient is that of its surrogate with respect to its own parameters: the logits, [*B, D] or [*B, L, C], or
    loc and scale side by side, [*B, 2 D]; where q is an Independent, D counts all numbers of an event.
    """

    mean: Tensor
    """Shaped as the parameters."""
    variance: Tensor
    """Shaped as the parameters; over the draws (n - 1 in the denominator)."""
    total: Interval
    """Sum of `variance` over rows and coordinates, the trace of the covariance, with its interval; from 0 to infinity
    where q is so sharp that the draws can be expected to hold too few rare outcomes (see `bench.measure.rare`)."""


class Distances:
    """Squared distances of draws from their mean, where the draws come block by block.

    Each is taken from the mean of its block, and the variance between the blocks is added to all alike. So their sum is
    exact, and their own variance the closer the longer the blocks are: within 2 % at 400 draws.

    Args:
        draws: how many come in all; room for them is made at once, as small tensors left between large ones would keep
            freed memory from being used again.
    """

    def __init__(self, draws: int) -> None:
        self.within = torch.empty(draws, dtype=torch.float64)
        self.between, self.count = 0.0, 0

    def add(self, within: Tensor, moved: Tensor) -> None:
        """Take in a block's own distances [n], and that of its mean from the mean before it, a scalar."""
        count = len(within)
        if self.count:
            self.between += float(moved) * self.count * count / (self.count + count)
        self.within[self.count : self.count + count] = within
        self.count += count

    def all(self) -> Tensor:
        """[n] on the CPU."""
        return self.within + self.between / self.count


class Moments:
    """Mean and central moments of draws that come block by block.

    T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, 1983; P. Pebay, Formulas for
    robust, one-pass parallel computation of covariances and arbitrary-order statistical moments, 2008.

    Args:
        draws: how many come in all.
        third: whether to sum up third powers too, and keep the largest square.
    """

    def __init__(self, draws: int, third: bool = False) -> None:
        self.third = third
        self.mean = self.squares = self.cubes = self.largest = torch.zeros((), dtype=torch.float64)
        self.distances = Distances(draws)

    def add(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Take in a block [n, ...] in any precision.

        Returns:
            Its mean, and the step to that from the mean before it, in double precision.
        """
        count, before = len(block), self.distances.count
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
                self.largest = torch.maximum(self.largest, product.amax(0))
                cubes = cubes + product.mul_(deviations).sum(0)
        step, total = mean - self.mean, before + count
        self.distances.add(torch.cat(within), step.square().sum())
        if self.third:
            between = step.pow(3) * (count * before * (before - count) / total**2)
            crossed = 3 * step * (before * squares - count * self.squares) / total
            self.cubes = self.cubes + cubes + between + crossed
        self.squares = self.squares + squares + step.square() * (count * before / total)
        self.mean = self.mean + step * (count / total)
        return mean, step


class Moves:
    """Counts the draws in which a coordinate leaves the value that it usually has.

    A method that takes one of many units a draw gives the others a gradient of 0, or a closed form's alone: the mean
    then rests on the few draws that move, however many there are. Where no value comes back among the first draws, as
    with most gradients, nothing is counted: every draw moves.
    """

    def __init__(self) -> None:
        self.usual = torch.zeros(0)
        self.counts = torch.zeros((), dtype=torch.float64)
        self.all_move = False

    def add(self, block: Tensor) -> None:
        """Take in a block [n, ...]."""
        if not self.usual.numel():
            first = block[:FIRST_DRAWS]
            self.usual = first.median(0).values
            self.all_move = bool(((first == self.usual).sum(0) < 2).all())
        if self.all_move:
            self.counts = self.counts + len(block)
            return
        for part in block.split(max(1, SLICE_NUMBERS // block[0].numel())):
            # Written as numbers at once, as a sum of booleans takes several times as long.
            self.counts = self.counts + torch.ne(part, self.usual, out=torch.empty_like(part)).sum(0)


def gradient_moments(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    draws: int = 1000,
    seed: int = 0,
    context: Tensor | None = None,
    level: float = 0.95,
    warm_up: int | None = None,
) -> GradientMoments:
    """Mean and variance of an estimator's gradient with respect to q's parameters, row by row.

    A baseline that has seen no cost is none, and a control variate that has learned nothing controls nothing. So what
    is measured is a copy that was first trained at this q, from the state that the estimator has: 100 calls in which
    running state settles, or, where it has parameters of its own, 500 steps of Adam at 1e-2 on its auxiliary loss, each
    on 64 rows at least (what learns may need more, where costs are in the hundreds). One without either is measured as
    it is.

    Args:
        estimator: any estimator; left as it was, with its state, parameters and mode.
        q: the distribution, rows *B.
        f: the objective, a function of z and q alone, draw by draw.
        draws: number of independent draws, at least 3; memory grows by one number a draw.
        seed: of the noise, that of the training too.
        context: [*B, X] for input-dependent baselines.
        level: coverage of the total's interval (jackknife on the log variance).
        warm_up: steps in place of those; 0 to measure an estimator as it is, such as one that was trained with a model.

    Raises:
        BadInput: draws or warm_up are no such numbers; f has noise of its own, mixes its draws, or is none that the
            estimator takes (see `Estimator.__call__`); the context has other rows than q.
        Broken: what the estimator returns breaks the contract.
        FloatingPointError: a gradient is not finite.
    """
    check_whole("draws", draws, 3)
    if warm_up is not None:
        check_whole("warm_up", warm_up, 0)
    check_measurable("gradient_moments", estimator)
    objective = checked(f, q, estimator)
    at = objective.given.q
    if parameters(at)[0].numel() == 0:
        raise BadInput(f"q has no rows to measure a gradient of: its parameters are {list(parameters(at)[0].shape)}")
    with trusted(), torch.enable_grad():  # `at` has finite logits, so that they need not be looked at
        as_it_is = warm_up == 0 and not any(is_unsized(p) for p in estimator.parameters())
        looked = estimator if as_it_is else warmed(estimator, at, objective, seed=seed, steps=0, context=context)
        objective = for_leading_dims(objective)
        look_at(looked, objective, context)
        if not as_it_is:
            estimator = warmed(estimator, at, objective, seed=seed, steps=warm_up, context=context)
        moments = Moments(draws)
        for block in gradients(estimator, at, objective, draws=draws, seed=seed, context=context):
            moments.add(block)
    mean, d = moments.mean.cpu(), moments.distances.all()
    variance = moments.squares.cpu() / (draws - 1)
    # The mean of equal draws is off by rounding, which would read as a variance.
    floor = draws * torch.finfo(mean.dtype).eps ** 2 * mean.square().sum()
    if d.sum() <= floor * draws:
        d, variance = torch.zeros_like(d), torch.zeros_like(variance)
    first, *others = as_given(q)
    shape = mean.shape if others else first.shape
    total = variance_interval(d.numpy(), level)
    if no_interval(rare_events(estimator, at, draws)):
        total = Interval(total.estimate, 0.0, math.inf)
    return GradientMoments(mean.reshape(shape), variance.reshape(shape), total)
