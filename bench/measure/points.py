"""What a record holds of one estimator at one point: variance, bias against a reference, signal to noise."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.chunks import ClosedForm
from bench.measure.draws import gradients, probe
from bench.measure.encoder import Behind
from bench.measure.moments import Distances, Moments, Moves
from bench.measure.rare import rare_events
from bench.records.results import Bias, Ends, Noise, OfEncoder, OfParameters, Point, Variance
from bench.seeds import derive
from bench.statistics import (
    Interval,
    SquaredBias,
    differences,
    heavy_tailed,
    kurtosis,
    mean_log_se,
    no_interval,
    normal_quantile,
    squared_bias_from_parts,
    two_sided,
    variance_interval,
    variance_log_se,
)
from bench.training.worth import Wish
from estimators.base import Estimator, Objective
from estimators.distributions import parameters, row_shape
from estimators.families import Enumerated, family_of
from estimators.integration.scrambled import student

QUANTILE = normal_quantile(0.95)
PARTS = 64
"""Equal parts of a long run, whose means show how its coordinates vary together; draws left over count in the mean."""
LARGEST_SHARE = 0.25
"""Share that one draw may have of all squares about a coordinate's mean, for the coordinate to be tested."""
RARE_EVENTS = 50
"""Expected number of a unit's rarer outcomes, and number of draws that move its gradient, below which the mean gradient
is not tested: too few to be near normal."""


class Reference(NamedTuple):
    """The gradient that estimators are held against, row by row."""

    gradient: Tensor
    """[*B, P]."""
    noise: Tensor
    """[*B, P], variance of each coordinate of `gradient` as an estimate of the exact one; 0 where it is exact."""
    method: str
    parts: Tensor | None = None
    """[k, *B, P], means of k equal parts of a long run minus their own: how its coordinates vary together."""


def exact_reference(value: Callable[[Distribution], Iterable[Tensor]], q: Distribution, method: str) -> Reference:
    """The gradient of what is known in closed form or by enumeration.

    Args:
        value: parts, each [*B], whose sum is the expectation; they are differentiated one by one, to bound memory.
        q: where.
        method: how the parts are computed, in a word.
    """
    leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
    totals = [torch.zeros_like(p) for p in leaves]
    for part in value(family_of(q).build(*leaves)):
        # The parts share what normalises q's parameters.
        found = torch.autograd.grad(part.sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
        for total, g in zip(totals, found, strict=True):
            total += g
    gradient = torch.cat([g.reshape(*row_shape(q), -1) for g in totals], -1).double().cpu()
    return Reference(gradient, torch.zeros_like(gradient), method)


def long_run_reference(draw: Callable[[int, int], Iterable[Tensor]], *, draws: int, seed: int, label: str) -> Reference:
    """The mean of many draws of an unbiased estimator.

    Args:
        draw: gives blocks [n, *B, P] of gradients for a number of draws and a seed.
        draws: how many.
        seed: of the draws.
        label: of the estimator, for the record.
    """
    moments, length = Moments(draws), max(1, draws // PARTS)
    rest, means = torch.zeros(0), []
    for block in draw(draws, derive("long run", seed)):
        moments.add(block)
        rest = torch.cat([rest, block]) if len(rest) else block
        whole = len(rest) // length * length
        means.append(rest[:whole].unflatten(0, (-1, length)).mean(1, dtype=torch.float64).cpu())
        rest = rest[whole:]
    parts = torch.cat(means)
    noise = moments.squares.cpu() / ((draws - 1) * draws)
    return Reference(moments.mean.cpu(), noise, f"long run: {label}, {draws} draws", parts - parts.mean(0))


class Draws:
    """What a point needs of the draws of a gradient, summed up as they come.

    Args:
        draws: how many come in all.
        reference: [*B, P], what they are held against.
        encoder: weights behind q's parameters, at the same rows, or None.
    """

    def __init__(self, draws: int, reference: Tensor, encoder: Behind | None) -> None:
        self.reference, self.encoder = reference, encoder
        self.moments, self.weights, self.moves = Moments(draws, third=True), Distances(draws), Moves()
        self.errors = torch.zeros(0)
        self.lengths = torch.empty(draws, dtype=torch.float64)
        self.cosines = self.squared_cosines = 0.0
        self.pointing = 0

    def add(self, block: Tensor) -> None:
        """Take in a block [n, *B, P]."""
        if self.reference.device != block.device:
            self.reference = self.reference.to(block.device)
        before = self.moments.distances.count
        mean, step = self.moments.add(block)
        self.moves.add(block)
        if self.encoder is not None:
            self.weights.add(self.encoder.squares(block - mean), self.encoder.squares(step.unsqueeze(0))[0])
        flat, target = block.flatten(1).double(), self.reference.flatten()
        lengths = flat.norm(dim=1) * target.norm()
        positive = lengths > 0
        cosines = (flat @ target)[positive].div(lengths[positive])
        self.cosines += float(cosines.sum())
        self.squared_cosines += float(cosines.square().sum())
        self.pointing += int(positive.sum())
        self.errors = flat - target
        self.lengths[before : before + len(block)] = self.errors.square().sum(1)

    def cosine(self) -> Interval:
        """Mean cosine between the draws and the reference, and its Gaussian interval; NaN where all lengths are 0."""
        count = self.pointing
        if not count:
            return Interval(math.nan, math.nan, math.nan)
        mean = self.cosines / count
        half = QUANTILE * math.sqrt(max(self.squared_cosines / count - mean**2, 0.0) / max(count - 1, 1))
        return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))

    def squared_bias(self, reference: Reference) -> SquaredBias:
        """Of the sum over rows; the interval is from the last block's errors, and the reference's parts."""
        n = self.moments.distances.count
        bias = (self.moments.mean - self.reference).flatten()
        estimate = (n * n * float(bias.square().sum()) - float(self.lengths.sum())) / (n * (n - 1))
        along = float((self.errors @ bias).var()) / n
        noise = (differences(self.errors) / math.sqrt(n)).cpu().numpy()
        parts = self.errors.new_zeros(0, bias.numel()) if reference.parts is None else reference.parts.flatten(1)
        floor = float(reference.noise.sum())
        return squared_bias_from_parts(estimate - floor, bias.cpu().numpy(), along, noise, parts.cpu().numpy())


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
    encoder: Behind | None = None,
    compile: Wish = False,
) -> Point:
    """Measure one estimator at fixed parameters and rows; all gradients are those of the mean over rows."""
    found = Draws(draws, reference.gradient, encoder)
    more: Any = {"context": context, "closed_form": closed_form, "compile": compile}
    for block in gradients(estimator, q, f, draws=draws, seed=seed, **more):
        found.add(block)
    rows = reference.gradient.shape[:-1].numel()
    f_evals, rounding, *_ = probe(estimator, q, f, context)
    moments, d = found.moments, found.moments.distances.all() / rows**2
    norm = float(reference.gradient.norm()) / rows
    noiseless = float(d.mean()) <= moments.mean.numel() * (rounding / rows) ** 2
    if noiseless:  # differences between draws are rounding
        sums = (d, moments.squares, moments.cubes, moments.largest)
        d, moments.squares, moments.cubes, moments.largest = map(torch.zeros_like, sums)
    rare = rare_events(estimator, q, draws)
    bias = found.squared_bias(reference)
    squared, visible = Interval(*(end / rows**2 for end in bias.interval)), bias.visible / rows**2
    if no_interval(rare):  # a mean that met no rare outcome is off by the whole gradient, and seems sure of it
        squared = Interval(squared.estimate, math.nan, math.nan)
    noise, cosine = noise_of(d, rare), found.cosine()
    variance = noise.variance.estimate
    of_parameters = OfParameters(
        **dict(noise),
        coordinates=moments.mean.numel(),
        rare_events=rare,
        gradient_norm=norm,
        **snr_of(norm, noise.variance),
        cosine=cosine.estimate,
        cosine_low=cosine.low,
        cosine_high=cosine.high,
        **_mse(max(squared.estimate, 0.0) + variance, found.lengths.numpy(), noiseless, rare),
    )
    bias_found = Bias(
        **sizes_of_bias(squared, visible, norm),
        reference=reference.method,
        **_test(moments, None if noiseless else found.moves, reference, q, rounding, samples=estimator.samples),
    )
    of_encoder = None
    if encoder is not None:
        of_encoder = _encoder(encoder, found.weights.all() * (not noiseless), reference, rows, rare)
    return Point(draws=draws, rows=rows, f_evals=f_evals, q=of_parameters, bias=bias_found, encoder=of_encoder)


def snr_of(norm: float, variance: Ends) -> dict[str, Any]:
    """The norm of the reference over a draw's standard deviation, with the ends that the variance's interval gives."""
    ends = {"snr": variance.estimate, "snr_low": variance.high, "snr_high": variance.low}
    return {name: _ratio(norm, math.sqrt(value)) for name, value in ends.items()}


def sizes_of_bias(squared: Interval, visible: float, norm: float) -> dict[str, Any]:
    """A squared bias, and its root as a share of the gradient's norm.

    Args:
        squared: with its interval.
        visible: the smallest squared bias that would have shown.
        norm: of the reference.
    """
    return {
        "squared": Ends(**squared._asdict()),
        "relative": _ratio(_root(squared.estimate), norm),
        "relative_low": _ratio(_root(squared.low), norm),
        # Not below what could have been detected: an interval that ends below 0 by chance says nothing more.
        "relative_high": _ratio(_root(max(squared.high, visible)), norm),
        "smallest_visible": _ratio(_root(visible), norm),
    }


def _mse(estimate: float, lengths: NDArray[np.float64], noiseless: bool, rare: float) -> dict[str, Any]:
    """The mean squared error with the interval that the draws' own squared errors give, by the jackknife on its log.

    Args:
        estimate: squared bias plus variance, which is the mean of the squared errors less the reference's noise.
        lengths: [n] squared errors of the draws, in any unit.
        noiseless: whether the draws differ by rounding alone, and so have no interval.
        rare: expected number of rare outcomes among them; without enough there is no interval either.
    """
    log_se = math.inf if no_interval(rare) else 0.0 if noiseless else mean_log_se(lengths)
    factor = math.exp(QUANTILE * log_se) if math.isfinite(log_se) else math.inf
    return {"mse": estimate, "mse_low": estimate / factor, "mse_high": estimate * factor}


def noise_of(d: Tensor, rare: float = math.nan) -> Noise:
    """Variance with its interval from the squared distances d [n], and whether the interval can be trusted.

    Args:
        d: from the mean of all draws, also for the halves: the two are then independent but for the mean they share,
            which correlates them by 1 / n.
        rare: expected number of rare outcomes among the draws; with too few, no interval is given.
    """
    values = d.numpy()
    kurt, n = kurtosis(values), values.size
    parts = np.array_split(values, 2) if n >= 6 else []
    none = no_interval(rare)
    ends = variance_interval(values)
    variance = Variance(
        estimate=ends.estimate,
        low=0.0 if none else ends.low,
        high=math.inf if none else ends.high,
        log_se=math.inf if none else variance_log_se(values),
    )
    return Noise(
        variance=variance,
        kurtosis=kurt,
        heavy_tailed=(ends.estimate > 0 and heavy_tailed(kurt, n, rare)) or none,
        halves=tuple(float(part.mean()) * n / (n - 1) for part in parts),
        halves_log_se=tuple(math.inf if none else variance_log_se(part) for part in parts),
    )


def between_few(d: NDArray[np.float64]) -> Interval:
    """Interval for a variance between few rows or minibatches: the jackknife's, as wide as Student's t of so many.

    Args:
        d: [n] squared distances from the mean, n at least 3.
    """
    quantile = student(math.log(0.05), d.size - 1)
    return variance_interval(d, math.erf(quantile / math.sqrt(2)))


def _encoder(encoder: Behind, d: Tensor, reference: Reference, rows: int, rare: float) -> OfEncoder:
    """Estimator noise and minibatch noise of the encoder's weights, by the law of total variance.

    The minibatch noise is that of the exact gradient over the choice of rows: its variance between the rows at hand,
    divided by their number. It is the same for every estimator, and left out below three rows, and where the noise of a
    long run exceeds it.

    Args:
        encoder: at the rows.
        d: [n] squared distances of the draws of its gradient, summed over rows, from their mean.
        reference: the exact gradient.
        rows: their number.
        rare: expected number of rare outcomes among the draws.
    """
    noise = noise_of(d / rows**2, rare)
    if rows < 3:  # too few to vary between; minibatches drawn afresh tell it
        return OfEncoder(**dict(noise))
    between = encoder.between_rows(reference.gradient).cpu()
    if reference.parts is not None and len(reference.parts) > 1:
        # Of a long run the noise of its own is taken off: what is left is the product of the deviations of its halves.
        first, second = (half.mean(0) for half in reference.parts.tensor_split(2))
        between = between - encoder.between_rows((first - second) / 2).cpu()
    if between.sum() < 0:
        return OfEncoder(**dict(noise))
    ends = Interval(*(value / rows for value in between_few(between.numpy())))
    return OfEncoder(**dict(noise), minibatch_variance=Ends(**ends._asdict()))


def _test(
    moments: Moments, moves: Moves | None, reference: Reference, q: Distribution, rounding: float, *, samples: int
) -> dict[str, Any]:
    """Per-coordinate t test of the mean, corrected for skewness, with Bonferroni; untestable coordinates are counted.

    The correction is that of N. J. Johnson, Modified t tests and confidence intervals for asymmetrical populations,
    JASA 73, 1978: score-function gradients are skewed, and the plain test would accuse them too often.

    Args:
        moments: of the draws, [*B, P].
        moves: how often they move; None for a gradient without any noise, which is held against the reference as it is.
        reference: what the mean is held against.
        q: tells how rare a unit's rarer outcome is.
        rounding: error of a coordinate that is no evidence of bias.
        samples: draws of z behind the mean.
    """
    draws, mean = moments.distances.count, moments.mean.cpu()
    tiny = torch.finfo(mean.dtype).tiny
    difference = mean - reference.gradient
    variance = moments.squares.cpu() / (draws - 1)
    error = (variance / draws + reference.noise + rounding**2).sqrt().clamp_min(tiny)
    # Skewness of the mean; its standard error includes the reference's.
    skewness = moments.cubes.cpu() / draws**3 / error.pow(3).clamp_min(tiny)
    z = difference / error
    z = (z + skewness * (1 / 6 + z.square() / 3)).abs()
    common = torch.ones_like(z, dtype=torch.bool)
    if isinstance(family := family_of(q), Enumerated):
        at = family.again(*(p.detach().double().cpu() for p in parameters(q)))
        probability = family.chances(at).reshape(z.shape)
        rarer = torch.minimum(probability, 1 - probability)
        common = rarer * draws * samples >= RARE_EVENTS
    moved = torch.ones_like(common) if moves is None else (moves.counts.cpu() >= RARE_EVENTS).expand_as(common)
    # Every draw may move a coordinate while one or two make up its mean: then one draw has most of the sum of squares.
    moved = moved & (moments.largest.cpu() <= LARGEST_SHARE * moments.squares.cpu())
    # A mean that agrees to rounding needs no test.
    right = difference.abs() <= 4 * rounding
    testable = common & moved | right
    tested = int(testable.sum())
    largest = float(z[testable].max()) if tested else math.nan
    return {
        "max_z": largest,
        "p_value": min(1.0, tested * two_sided(largest, math.inf if moves is None else draws - 1))
        if tested
        else math.nan,
        "coordinates": tested,
        "untestable": z.numel() - tested,
        "seldom_moved": int((common & ~moved & ~right).sum()),
    }


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan
