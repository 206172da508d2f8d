"""What a record holds of one estimator at one point where its noise is integrated over: no draws, no intervals."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.chunks import ClosedForm
from bench.measure.draws import probe
from bench.measure.exact import exact_moments
from bench.measure.points import Reference, exact_reference
from bench.records.results import Bias, Ends, OfParameters, Point, Variance
from estimators.base import Estimator, Objective

NAN = math.nan


def exact_point(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    reference: Reference,
    *,
    context: Tensor | None = None,
    closed_form: ClosedForm | None = None,
) -> Point:
    """Measure one estimator at fixed parameters and rows; all gradients are those of the mean over rows.

    Args:
        estimator: as it stands; see `exact_moments`.
        q: the distribution.
        f: the objective.
        reference: exact.
        context: [*B, X] for input-dependent baselines.
        closed_form: what the loss holds besides E_q[f]; it carries no noise.

    Raises:
        NotExact: the noise cannot be integrated over.
    """
    found = exact_moments(estimator, q, f, context=context)
    mean = found.mean.reshape(reference.gradient.shape)
    if closed_form is not None and closed_form(q) is not None:
        mean = mean + exact_reference(lambda q: filter(torch.is_tensor, [closed_form(q)]), q, "closed form").gradient
    rows = mean.shape[:-1].numel()
    norm = float(reference.gradient.norm()) / rows
    bias = float((mean - reference.gradient).norm()) / rows
    variance = found.total / rows**2
    # The mean is known to this share of the root mean square length, and so is a bias.
    error = found.tolerance * math.hypot(float(mean.norm()) / rows, math.sqrt(variance))
    return Point(
        method="exact",
        tolerance=found.tolerance,
        step=None,
        elbo=None,
        draws=NAN,
        rows=rows,
        f_evals=probe(estimator, q, f, context).evaluations,
        q=OfParameters(
            variance=Variance(estimate=variance, low=NAN, high=NAN, log_se=0.0),
            kurtosis=NAN,
            heavy_tailed=False,
            coordinates=mean.numel(),
            gradient_norm=norm,
            snr=norm / math.sqrt(variance) if variance > 0 else NAN,
            cosine=NAN,
            mse=bias**2 + variance,
        ),
        bias=Bias(
            squared=Ends(estimate=bias**2, low=NAN, high=NAN),
            relative=bias / norm if norm > 0 else NAN,
            relative_low=NAN,
            relative_high=NAN,
            smallest_visible=error / norm if norm > 0 else NAN,
            reference=reference.method,
            max_z=NAN,
            p_value=NAN,
            coordinates=0,
            untestable=0,
            seldom_moved=0,
        ),
        encoder=None,
    )
