"""One estimator at one or several points of a person's own, as a point of a record."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.library.point import Point
from bench.measure.points import Reference, between_few, measure_point, sizes_of_bias, snr_of
from bench.measure.warm import LEARNING, SETTLING, warmed
from bench.measure.weights import Weights
from bench.records.results import Bias, Ends, OfEncoder, OfParameters, Variance
from bench.records.results import Point as Result
from bench.seeds import derive
from bench.statistics import (
    Interval,
    heavy_tailed,
    mean_interval,
    mean_log_se,
    no_interval,
)
from estimators.base import Estimator
from estimators.distributions import parameters


class Place(NamedTuple):
    """A point with what estimators are held against there."""

    point: Point
    reference: Reference
    weights: Weights | None


def at_one(estimator: Estimator, place: Place, *, draws: int, seed: int) -> Result:
    """Moments at fixed parameters and rows; the estimator is warm."""
    point = place.point
    return measure_point(
        estimator,
        point.at,
        point.objective,
        place.reference,
        draws=draws,
        seed=seed,
        context=point.context,
        closed_form=point.closed,
        encoder=place.weights,
    ).model_copy(update={"step": None, "elbo": None})


def at_several(
    estimator: Estimator, places: Sequence[Place], minibatch: Ends | None, *, draws: int, seed: int
) -> Result:
    """Moments over the noise alone, in the mean over minibatches; each of them has its share of the draws.

    Intervals are from the minibatches, as independent as the draws within one are not. Where the draws of all of them
    together can be expected to hold too few rare outcomes, there is none of a variance or a bias: all minibatches then
    agree on what none of them met, and Student's t over them covers a tenth of what it claims.

    Args:
        estimator: warm.
        places: K of them.
        minibatch: the variance that the choice of the minibatch adds, or None where it has no meaning.
        draws: in all.
        seed: of the noise.
    """
    share = max(3, math.ceil(draws / len(places)))
    found = [
        at_one(estimator, place, draws=share, seed=derive("of a minibatch", seed, index))
        for index, place in enumerate(places)
    ]
    of_q = [one.q for one in found]
    rare = sum(q.rare_events for q in of_q)
    none = no_interval(rare)
    variance = _positive([q.variance.estimate for q in of_q], none)
    norm = math.sqrt(sum(q.gradient_norm**2 for q in of_q) / len(of_q))
    mse = _positive([q.mse for q in of_q], none)
    cosines = [q.cosine for q in of_q if not math.isnan(q.cosine)]
    cosine = mean_interval(cosines) if cosines else Interval(math.nan, math.nan, math.nan)
    squared = mean_interval([one.bias.squared.estimate for one in found])
    visible = squared.estimate - squared.low
    if none:
        squared = Interval(squared.estimate, math.nan, math.nan)
    effective = sum(one.draws / one.q.kurtosis for one in found)
    encoder = None
    if minibatch is not None:
        own = [one.encoder.variance.estimate if one.encoder else one.q.variance.estimate for one in found]
        encoder = OfEncoder(variance=_positive(own, none), minibatch_variance=minibatch)
    return Result(
        draws=share * len(found),
        rows=found[0].rows,
        f_evals=found[0].f_evals,
        q=OfParameters(
            variance=variance,
            kurtosis=max(q.kurtosis for q in of_q),
            heavy_tailed=heavy_tailed(1.0, effective, rare),
            coordinates=of_q[0].coordinates,
            rare_events=rare,
            gradient_norm=norm,
            **snr_of(norm, variance),
            cosine=cosine.estimate,
            cosine_low=cosine.low,
            cosine_high=cosine.high,
            mse=mse.estimate,
            mse_low=mse.low,
            mse_high=mse.high,
        ),
        bias=Bias(
            **sizes_of_bias(squared, visible, norm),
            reference=f"{found[0].bias.reference}, at each of {len(found)} minibatches",
        ),
        encoder=encoder,
    )


def minibatch_variance(places: Sequence[Place]) -> Ends | None:
    """Variance of the exact gradient over the choice of the minibatch, the same for every estimator.

    Of the weights of `through`, or of q's parameters where all minibatches share a q of one row; None where q is made
    from the minibatch and no weights are given.

    Args:
        places: three at least.
    """
    if places[0].weights is None and not _share_q([place.point for place in places]):
        return None
    # The products of two halves of a long run have the variance without the run's own noise.
    halves = [_halves(place) for place in places]
    first, second = (torch.stack(half) for half in zip(*halves, strict=True))  # K x W
    products = ((first - first.mean(0)) * (second - second.mean(0))).sum(1)
    if bool((products > 0).all()):
        return Ends(**between_few(products.numpy())._asdict())
    count = len(places)
    return Ends(**mean_interval(products.numpy() * count / (count - 1))._asdict())


def _share_q(points: Sequence[Point]) -> bool:
    """Whether all minibatches have the same q, of one row."""
    first, *others = ([p.detach() for p in parameters(point.at)] for point in points)
    same = all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    return points[0].rows.numel() == 1 and same


def _halves(place: Place) -> tuple[Tensor, Tensor]:
    """The reference's gradient of the mean over rows, [W], from either half of its run; twice the same if exact."""
    gradient, parts = place.reference.gradient, place.reference.parts
    offsets = [0.0, 0.0] if parts is None else [half.mean(0) for half in parts.chunk(2)]
    rows = place.point.rows.numel()

    def of_weights(offset: Tensor | float) -> Tensor:
        whole = gradient + offset
        pushed = whole.flatten() if place.weights is None else place.weights.pushed(whole.unsqueeze(0))[0]
        return pushed.double().cpu() / rows

    return of_weights(offsets[0]), of_weights(offsets[1])


def warm(estimator: Estimator, points: Sequence[Point], *, steps: int | None, seed: int) -> Estimator:
    """A copy of the estimator, trained at the points in turn where it has state or parameters of its own."""
    if not [*estimator.buffers(), *estimator.parameters()]:
        return estimator
    if len(points) == 1:
        point = points[0]
        return warmed(estimator, point.at, point.objective, seed=seed, steps=steps, context=point.context)
    if steps is None:
        steps = LEARNING if any(p.requires_grad for p in estimator.parameters()) else SETTLING
    for index, point in enumerate(points):
        share = steps // len(points) + (index < steps % len(points))
        estimator = warmed(
            estimator,
            point.at,
            point.objective,
            seed=derive("minibatch", seed, index),
            steps=share,
            context=point.context,
        )
    return estimator


def _positive(values: Sequence[float], none: bool) -> Variance:
    """The mean of numbers that are not negative, one a minibatch, with Student's interval on its logarithm, or none."""
    from scipy.stats import t

    mean, log_se = sum(values) / len(values), math.inf if none else mean_log_se(values)
    if not math.isfinite(log_se):
        return Variance(estimate=mean, low=0.0, high=math.inf, log_se=log_se)
    factor = math.exp(float(t.ppf(0.975, len(values) - 1)) * log_se)
    return Variance(estimate=mean, low=mean / factor, high=mean * factor, log_se=log_se)
