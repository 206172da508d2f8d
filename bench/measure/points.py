"""What a record holds of one estimator at one point: variance, bias against a reference, signal to noise."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from bench.measure.moments import cosine, gradients, probe, squared_distances, weight_gradients
from bench.statistics import (
    HEAVY_TAIL_KURTOSIS,
    Interval,
    kurtosis,
    squared_bias_interval,
    variance_interval,
    variance_log_se,
)
from estimators.base import Estimator, Objective
from estimators.distributions import family, from_parameters, parameters
from estimators.exact import expectation, expectation_of_bound

RARE_EVENTS = 100
"""Expected number of a unit's rarer outcomes below which its mean gradient is not tested: too few to be near normal."""


class Reference(NamedTuple):
    """The gradient that estimators are held against, row by row."""

    gradient: Tensor
    """[*B, P]."""
    noise: Tensor
    """[*B, P], variance of each coordinate of `gradient` as an estimate of the exact one; 0 where it is exact."""
    method: str


def exact_reference(q: Distribution, f: Objective, *, bound: str, samples: int, nodes: int = 16) -> Reference:
    """The exact gradient, by enumeration of a discrete q or quadrature of a Gaussian one.

    Raises:
        ValueError: too many states.
    """
    name = family(q)
    leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
    distribution = from_parameters(name, *leaves)
    value = expectation_of_bound(distribution, f, samples) if bound == "iwae" else expectation(distribution, f, nodes)
    grads = torch.autograd.grad(value.sum(), leaves)
    rows = value.shape
    gradient = torch.cat([g.reshape(*rows, -1) for g in grads], -1).double().cpu()
    return Reference(gradient, torch.zeros_like(gradient), "quadrature" if name == "gaussian" else "enumeration")


def long_run_reference(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    draws: int,
    seed: int,
    context: Tensor | None,
    label: str,
) -> Reference:
    """The mean of many draws of an unbiased estimator, accumulated in blocks."""
    block = min(draws, 1000)
    total = squares = torch.zeros(())
    for index in range(draws // block):
        g = gradients(estimator, q, f, draws=block, seed=seed + index, context=context)
        total, squares = total + g.sum(0), squares + g.square().sum(0)
    count = draws // block * block
    mean = total / count
    noise = (squares / count - mean.square()).clamp_min(0) / (count - 1)
    return Reference(mean, noise, f"long run: {label}, {count} draws")


class EncoderNoise(NamedTuple):
    """What a point needs to speak of the encoder's weights."""

    q: Distribution
    """In the encoder's graph."""
    weights: Sequence[Tensor]


def measure_point(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    reference: Reference,
    *,
    draws: int,
    seed: int,
    context: Tensor | None = None,
    encoder: EncoderNoise | None = None,
) -> dict[str, Any]:
    """Measure one estimator at fixed parameters and rows; all gradients are those of the mean over rows."""
    g = gradients(estimator, q, f, draws=draws, seed=seed, context=context)
    rows = reference.gradient.shape[:-1].numel()
    f_evals, rounding = probe(estimator, q, f, context)
    mean = g.mean(0)
    norm = float(reference.gradient.norm()) / rows
    deviations = g - mean
    d = squared_distances(deviations) / rows**2
    if float(d.mean()) <= mean.numel() * (rounding / rows) ** 2:
        d, deviations = (
            torch.zeros_like(d),
            torch.zeros_like(deviations),
        )  # no noise: what is left is rounding
    noise = float(reference.noise.sum()) / rows**2
    squared = squared_bias_interval((g - reference.gradient).flatten(1).numpy() / rows, noise)
    variance = spread(d)
    error = deviations.square().sum(0) / (draws * (draws - 1))
    return {
        "draws": draws,
        "rows": rows,
        "f_evals": f_evals,
        "q": variance
        | {
            "coordinates": mean.numel(),
            "gradient_norm": norm,
            "snr": _ratio(norm, math.sqrt(variance["variance"]["estimate"])),
            "cosine": cosine(g, reference.gradient),
            "mse": max(squared.estimate, 0.0) + variance["variance"]["estimate"],
        },
        "bias": {
            "squared": squared._asdict(),
            "relative": _ratio(_root(squared.estimate), norm),
            "relative_low": _ratio(_root(squared.low), norm),
            "relative_high": _ratio(_root(squared.high), norm),
            "reference": reference.method,
        }
        | _test(mean, error, reference, q, rounding, samples=draws * estimator.samples),
        "encoder": None if encoder is None else _encoder(encoder, deviations, reference, rows),
    }


def spread(d: Tensor) -> dict[str, Any]:
    """Variance with its interval from the squared distances d [n], and whether the interval can be trusted."""
    values = d.numpy()
    kurt = kurtosis(values)
    return {
        "variance": variance_interval(values)._asdict() | {"log_se": variance_log_se(values)},
        "kurtosis": kurt,
        "heavy_tailed": kurt > HEAVY_TAIL_KURTOSIS,
    }


def _encoder(encoder: EncoderNoise, deviations: Tensor, reference: Reference, rows: int) -> dict[str, Any]:
    """Estimator noise and minibatch noise of the encoder's weights, by the law of total variance.

    The minibatch noise is that of the exact gradient over the choice of rows: its variance between the rows at hand,
    divided by their number. It is the same for every estimator.
    """
    d = torch.cat([squared_distances(g) for g in weight_gradients(encoder.q, encoder.weights, deviations)])
    gradient = reference.gradient.flatten(0, -2)
    single = torch.diag_embed(gradient.T).permute(1, 2, 0).reshape(rows, *reference.gradient.shape)
    per_row = torch.cat(list(weight_gradients(encoder.q, encoder.weights, single))).double().cpu()
    between = variance_interval(squared_distances(per_row - per_row.mean(0)).numpy())
    return spread(d.double().cpu() / rows**2) | {
        "minibatch_variance": Interval(*(value / rows for value in between))._asdict()
    }


def _test(
    mean: Tensor, error: Tensor, reference: Reference, q: Distribution, rounding: float, *, samples: int
) -> dict[str, Any]:
    """Per-coordinate z test of the mean with Bonferroni, over the coordinates that sampling can tell anything about.

    Args:
        mean, error: [*B, P], mean gradient and its squared standard error.
        reference: what the mean is held against.
        q: tells how rare a unit's rarer outcome is.
        rounding: error of a coordinate that is no evidence of bias.
        samples: draws of z behind the mean.
    """
    difference = mean - reference.gradient
    deviation = (error + reference.noise + rounding**2).sqrt().clamp_min(torch.finfo(error.dtype).tiny)
    z = (difference / deviation).abs()
    testable = torch.ones_like(z, dtype=torch.bool)
    if family(q) != "gaussian":
        (logits,) = (p.detach().double().cpu() for p in parameters(q))
        probability = logits.sigmoid() if isinstance(q, Bernoulli) else logits.softmax(-1)
        probability = probability.reshape(z.shape)
        rarer = torch.minimum(probability, 1 - probability)
        # A draw that is right to rounding needs no luck with rare outcomes.
        testable = (rarer * samples >= RARE_EVENTS) | (difference.abs() <= 4 * rounding)
    tested = int(testable.sum())
    largest = float(z[testable].max()) if tested else math.nan
    return {
        "max_z": largest,
        "p_value": min(1.0, tested * math.erfc(largest / math.sqrt(2))) if tested else math.nan,
        "coordinates": tested,
        "untestable": z.numel() - tested,
    }


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan
