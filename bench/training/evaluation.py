"""Bounds on log p(x) that trained models reach."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.problems.vae import VAE
from bench.seeds import stream
from estimators.distributions import log_prob, sample

EVALUATION_ROWS = 2**15
"""Rows of the decoder evaluated at once."""


@torch.no_grad()
def evaluate(vae: VAE, rows: Tensor, *, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bounds on log p(x) in nats a row, averaged over the rows: each [E].

    Args:
        vae: E stacked models.
        rows: [N, X] in {0, 1}, the same for all seeds.
        samples: K, draws of z a row.
        seed: of the draws.

    Returns:
        The ELBO, from the closed-form KL and the mean over K draws of log p(x|z), or for two layers the mean log weight
        of K draws, and the K-sample importance-weighted bound from the same draws.
    """
    generator = stream("evaluate", seed, device=rows.device)
    elbo = iwae = torch.zeros(vae.stack, dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, max(1, EVALUATION_ROWS // (samples * vae.stack))):
        x = part.expand(vae.stack, *part.shape)
        if vae.config.stochastic_layers == 1:
            q: Distribution = vae.encode(x)
            z = sample(q, samples, generator)
            log_likelihood = vae.log_likelihood(x, z)  # K x E x n
            log_weights = log_likelihood + log_prob(vae.prior(), z) - log_prob(q, z)
            integrand = log_likelihood.mean(0) - vae.kl(q)
        else:
            log_weights = vae.log_weights(x, samples, generator)
            integrand = log_weights.mean(0)
        elbo = elbo + integrand.double().sum(-1)
        iwae = iwae + (log_weights.logsumexp(0) - math.log(samples)).double().sum(-1)
    return elbo / len(rows), iwae / len(rows)
