"""Beta latents."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.distributions import Beta

from estimators.distributions import parameters, rsample, sample
from estimators.families import family_named

DOUBLE = torch.float64
PAIRS = [(0.05, 2.0), (0.5, 0.7), (1.0, 1.0), (3.0, 0.6), (100.0, 40.0), (2.0, 500.0)]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("pair", PAIRS)
def test_draws_have_the_law(pair: tuple[float, float], dtype: torch.dtype) -> None:
    a, b = (torch.full((20_000,), c, dtype=dtype) for c in pair)
    z = sample(Beta(a, b), 1, torch.Generator().manual_seed(0))[0]
    kept = z > 1e-25
    law = stats.beta(*pair)
    least = law.cdf(1e-25)
    assert float((~kept).double().mean()) == pytest.approx(least, abs=0.01)
    assert stats.kstest((law.cdf(z[kept].double().numpy()) - least) / (1 - least), "uniform").pvalue > 1e-3


def test_both_ends_keep_their_law_at_tiny_concentrations() -> None:
    """Of a Beta(.001, .002) number nearly all is at 0 or at 1; what it is there is known by its logarithm."""
    q = Beta(torch.full((20_000,), 1e-3, dtype=DOUBLE), torch.full((20_000,), 2e-3, dtype=DOUBLE))
    z = sample(q, 1, torch.Generator().manual_seed(0))[0]
    assert float((z > 0.5).double().mean()) == pytest.approx(1 / 3, abs=0.012)  # a / (a + b)
    assert bool(((z > 0) & (z < 1)).all())


@pytest.mark.parametrize("pair", PAIRS)
def test_a_draw_moves_along_its_quantile(pair: tuple[float, float]) -> None:
    leaves = [torch.tensor([c], dtype=DOUBLE, requires_grad=True) for c in pair]
    z = rsample(Beta(*leaves), 300, torch.Generator().manual_seed(2))[:, 0]
    found = torch.stack([torch.stack(torch.autograd.grad(one, leaves, retain_graph=True)) for one in z])[..., 0]
    x = z.detach().numpy()
    u = special.betainc(*pair, x)
    inner = (u > 1e-3) & (u < 0.999) & (x > 1e-150) & (x < 1 - 1e-9)
    for index in range(2):
        step = 1e-5 * pair[index]
        up, down = ([c + s * (i == index) for i, c in enumerate(pair)] for s in (step, -step))
        exact = (special.betaincinv(*up, u[inner]) - special.betaincinv(*down, u[inner])) / (2 * step)
        np.testing.assert_allclose(found[inner, index], exact, rtol=3e-3)
    assert inner.sum() > 200


def test_parameters_are_those_that_it_was_given() -> None:
    leaves = [torch.rand(3, 2, dtype=DOUBLE, requires_grad=True) for _ in range(2)]
    for leaf, own in zip(leaves, parameters(Beta(*leaves)), strict=True):
        assert torch.equal(leaf, own)
        (g,) = torch.autograd.grad(own.sum(), leaf)
        assert bool((g == 1).all())


def test_zeros_are_the_uniform_distribution() -> None:
    q = family_named("beta").from_raw(torch.zeros(2), torch.zeros(2))
    assert torch.equal(q.log_prob(torch.tensor([0.3, 0.9])), torch.zeros(2))
