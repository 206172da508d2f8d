"""Gamma latents, and the Gamma noise that others are made of."""

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.distributions import Gamma

from estimators.distributions import from_parameters, rsample, sample
from estimators.integration import NotIntegrable, Source
from estimators.noise import Noise

DOUBLE = torch.float64
CONCENTRATIONS = [0.05, 0.7, 1.0, 3.0, 100.0]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_draws_have_the_law(concentration: float, dtype: torch.dtype) -> None:
    """In both halves of a row whose latents have other rates."""
    rate = torch.tensor([0.2, 30.0], dtype=dtype)
    q = Gamma(torch.full((2,), concentration, dtype=dtype), rate)
    z = sample(q, 20_000, torch.Generator().manual_seed(0))
    kept = z > 1e-25 if dtype == torch.float32 else z > 0  # below it lies a hundredth, in a heap
    for numbers, own, r in zip(z.T, kept.T, rate.tolist(), strict=True):
        law = stats.gamma(concentration, scale=1 / r)
        least = law.cdf(1e-25) if dtype == torch.float32 else 0.0
        assert float((~own).double().mean()) == pytest.approx(least, abs=0.01)
        u = (law.cdf(numbers[own].numpy()) - least) / (1 - least)
        assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(float(torch.corrcoef(z.T.double())[0, 1])) < 0.04


@pytest.mark.parametrize("concentration", [1e-4, 0.01, 0.3, 20.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_has_the_law_in_its_logarithm(concentration: float, dtype: torch.dtype) -> None:
    """Also where nearly all numbers are below the least of their precision: there F(x) is x^a / Gamma(a + 1)."""
    a = torch.full((20_000,), concentration, dtype=dtype)
    log_x = Noise(torch.Generator().manual_seed(1)).gamma(1, a)
    assert log_x.shape == (1, 20_000)
    assert log_x.dtype == DOUBLE
    assert bool(log_x.isfinite().all())
    exact, values = float(a[0]), log_x[0].numpy()
    far = values < -30
    u = np.where(far, np.exp(exact * values - special.gammaln(exact + 1)), special.gammainc(exact, np.exp(values)))
    assert stats.kstest(u, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_a_draw_moves_along_its_quantile(concentration: float) -> None:
    """The implicit gradient is that of the inverse distribution function at a fixed chance."""
    a = torch.tensor([concentration], dtype=DOUBLE, requires_grad=True)
    rate = torch.tensor([2.0], dtype=DOUBLE, requires_grad=True)
    z = rsample(Gamma(a, rate), 400, torch.Generator().manual_seed(2))[:, 0]
    found = torch.stack([torch.stack(torch.autograd.grad(one, (a, rate), retain_graph=True)) for one in z])[..., 0]
    x = z.detach().numpy()
    inner = (special.gammainc(concentration, 2 * x) > 1e-3) & (special.gammainc(concentration, 2 * x) < 0.999)
    inner &= x > 1e-200
    u, step = special.gammainc(concentration, 2 * x[inner]), 1e-5 * concentration
    up, down = (special.gammaincinv(concentration + s, u) for s in (step, -step))
    np.testing.assert_allclose(found[inner, 0], (up - down) / (2 * step) / 2, rtol=2e-3)
    np.testing.assert_allclose(found[:, 1], -x / 2, rtol=1e-12)
    assert inner.sum() > 300


def test_noise_of_somebody_who_integrates_says_why_not() -> None:
    source = Source(7, 2)
    with pytest.raises(NotIntegrable, match="drawn by rejection, which no rule integrates over"):
        source.noise(torch.Generator(), None).gamma(1, torch.ones(7, 2, 3))
    assert source.failure is not None
    source = Source(7, 2)
    with source, pytest.raises(NotIntegrable, match=r"no rule is known for torch\._standard_gamma"):
        Gamma(torch.ones(7, 2, 3), torch.ones(7, 2, 3)).rsample()


@pytest.mark.parametrize(("concentration", "rate"), [(0.1, 1e-3), (0.1, 1e3), (2.0, 1e-6)])
def test_the_gradient_keeps_its_digits_where_draws_are_small(concentration: float, rate: float) -> None:
    """In single precision: d E[log z] / d concentration is trigamma, whatever the rate."""
    a = torch.full((1, 1), concentration, requires_grad=True)
    z = rsample(from_parameters("gamma", a, torch.full((1, 1), rate)), 100_000, torch.Generator().manual_seed(1))
    slopes = torch.autograd.grad(z.log().mean(), a)[0]
    assert float(slopes) == pytest.approx(float(torch.special.polygamma(1, torch.tensor(concentration))), rel=0.05)
