"""Bounds on log p(x) that trained models reach."""

import math

import torch
from torch import Tensor

from bench.problems.model import Model
from bench.seeds import stream

EVALUATION_ROWS = 2**15
"""Rows of the decoder evaluated at once."""


@torch.no_grad()
def evaluate(model: Model, rows: Tensor, *, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bounds on log p(x) in nats a row, averaged over the rows: each [E].

    Args:
        model: E stacked models.
        rows: [N, X], the same for all seeds.
        samples: K, draws of z a row.
        seed: of the draws.

    Returns:
        The ELBO, and the K-sample importance-weighted bound from the same draws (`Model.bounds`).
    """
    generator = stream("evaluate", seed, device=rows.device)
    elbo = iwae = torch.zeros(model.stack, dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, max(1, EVALUATION_ROWS // (samples * model.stack))):
        integrand, log_weights = model.bounds(part.expand(model.stack, *part.shape), samples, generator)
        elbo = elbo + integrand.double().sum(-1)
        iwae = iwae + (log_weights.logsumexp(0) - math.log(samples)).double().sum(-1)
    return elbo / len(rows), iwae / len(rows)
