"""What a record holds of one estimator at one point: variance, bias against a reference, signal to noise."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from bench.measure.moments import ClosedForm, cosine, gradients, probe, squared_distances, weight_gradients
from bench.seeds import derive
from bench.statistics import (
    HEAVY_TAIL_KURTOSIS,
    Interval,
    kurtosis,
    squared_bias_interval,
    variance_interval,
    variance_log_se,
)
from estimators.base import Estimator, Objective
from estimators.distributions import family, from_parameters, parameters, row_shape

RARE_EVENTS = 50
"""Expected number of a unit's rarer outcomes below which its mean gradient is not tested: too few to be near normal."""


class Reference(NamedTuple):
    """The gradient that estimators are held against, row by row."""

    gradient: Tensor
    """[*B, P]."""
    noise: Tensor
    """[*B, P], variance of each coordinate of `gradient` as an estimate of the exact one; 0 where it is exact."""
    method: str


def exact_reference(value: Callable[[Distribution], Iterable[Tensor]], q: Distribution, method: str) -> Reference:
    """The gradient of what is known in closed form or by enumeration.

    Args:
        value: parts, each [*B], whose sum is the expectation; they are differentiated one by one, to bound memory.
        q: where.
        method: how the parts are computed, in a word.
    """
    leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
    totals = [torch.zeros_like(p) for p in leaves]
    for part in value(from_parameters(family(q), *leaves)):
        # The parts share what normalises q's parameters.
        for total, g in zip(totals, torch.autograd.grad(part.sum(), leaves, retain_graph=True), strict=True):
            total += g
    gradient = torch.cat([g.reshape(*row_shape(q), -1) for g in totals], -1).double().cpu()
    return Reference(gradient, torch.zeros_like(gradient), method)


def long_run_reference(
    draw: Callable[[int, int], Tensor], *, draws: int, seed: int, label: str, block: int = 1000
) -> Reference:
    """The mean of many draws of an unbiased estimator, accumulated in blocks.

    Args:
        draw: gives [n, *B, P] gradients for a number n and a seed.
        draws: how many in all, rounded down to whole blocks.
        seed: of the first block.
        label: of the estimator, for the record.
        block: draws at a time.
    """
    total = squares = torch.zeros(())
    block = min(draws, block)
    for index in range(draws // block):
        g = draw(block, derive("long run", seed, index))
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
    closed_form: ClosedForm | None = None,
    encoder: EncoderNoise | None = None,
) -> dict[str, Any]:
    """Measure one estimator at fixed parameters and rows; all gradients are those of the mean over rows."""
    g = gradients(estimator, q, f, draws=draws, seed=seed, context=context, closed_form=closed_form)
    rows = reference.gradient.shape[:-1].numel()
    f_evals, rounding = probe(estimator, q, f, context)
    mean = g.mean(0)
    norm = float(reference.gradient.norm()) / rows
    deviations = g - mean
    d = squared_distances(deviations) / rows**2
    if float(d.mean()) <= mean.numel() * (rounding / rows) ** 2:
        # No noise: what is left is rounding.
        d, deviations = torch.zeros_like(d), torch.zeros_like(deviations)
    noise = float(reference.noise.sum()) / rows**2
    squared = squared_bias_interval((g - reference.gradient).flatten(1).numpy() / rows, noise)
    variance = spread(d)
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
            # Never below what could have been seen: an interval below 0 is luck, not knowledge.
            "relative_high": _ratio(_root(max(squared.high, (squared.high - squared.low) / 2)), norm),
            "reference": reference.method,
        }
        | _test(mean, deviations, reference, q, rounding, samples=estimator.samples),
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
    mean: Tensor,
    deviations: Tensor,
    reference: Reference,
    q: Distribution,
    rounding: float,
    *,
    samples: int,
) -> dict[str, Any]:
    """Per-coordinate t test of the mean, corrected for skewness, with Bonferroni; untestable coordinates are counted.

    The correction is that of N. J. Johnson, Modified t tests and confidence intervals for asymmetrical populations,
    JASA 73, 1978: score-function gradients are skewed, and the plain test would accuse them too often.

    Args:
        mean, deviations: [*B, P], mean gradient, and [n, *B, P], the draws' deviations from it.
        reference: what the mean is held against.
        q: tells how rare a unit's rarer outcome is.
        rounding: error of a coordinate that is no evidence of bias.
        samples: draws of z behind the mean.
    """
    draws = len(deviations)
    tiny = torch.finfo(mean.dtype).tiny
    difference = mean - reference.gradient
    variance = deviations.square().sum(0) / (draws - 1)
    error = (variance / draws + reference.noise + rounding**2).sqrt().clamp_min(tiny)
    skewness = deviations.pow(3).mean(0) / variance.clamp_min(tiny).pow(1.5)
    z = difference / error
    z = (z + skewness / math.sqrt(draws) * (1 / 6 + z.square() / 3)).abs()
    testable = torch.ones_like(z, dtype=torch.bool)
    if family(q) != "gaussian":
        (logits,) = (p.detach().double().cpu() for p in parameters(q))
        probability = logits.sigmoid() if isinstance(q, Bernoulli) else logits.softmax(-1)
        probability = probability.reshape(z.shape)
        rarer = torch.minimum(probability, 1 - probability)
        # A draw that is right to rounding needs no luck with rare outcomes.
        testable = (rarer * draws * samples >= RARE_EVENTS) | (difference.abs() <= 4 * rounding)
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
