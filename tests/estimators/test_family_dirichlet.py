"""Dirichlet latents."""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Beta, Dirichlet

from estimators.distributions import rsample, sample
from estimators.families import family_named

DOUBLE = torch.float64
CONCENTRATIONS = [[0.05, 0.6, 1.0], [2.0, 3.0, 0.5], [100.0, 30.0, 60.0]]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_draws_have_the_law(concentration: list[float], dtype: torch.dtype) -> None:
    """A share is a Beta number, and the others' shares of what it leaves are, independently of it."""
    a, b, c = concentration
    z = sample(Dirichlet(torch.tensor([[concentration]], dtype=dtype)), 20_000, torch.Generator().manual_seed(0))[
        :, 0, 0
    ]
    torch.testing.assert_close(z.sum(-1), torch.ones_like(z[:, 0]))
    first, second = z[:, 0].double(), (z[:, 1] / (z[:, 1] + z[:, 2])).double()
    kept = first > 1e-25
    least = stats.beta(a, b + c).cdf(1e-25)
    u = (stats.beta(a, b + c).cdf(first[kept].numpy()) - least) / (1 - least)
    v = stats.beta(b, c).cdf(second.numpy())
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(v, "uniform").pvalue > 1e-3
    assert abs(stats.spearmanr(first.numpy(), second.numpy()).statistic) < 0.03


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_draws_carry_the_derivatives_of_moments(concentration: list[float]) -> None:
    """Of the mean and the square of each share, within 4.5 standard errors of many draws."""
    leaf = torch.tensor(concentration, dtype=DOUBLE, requires_grad=True)
    wide = leaf.detach().expand(100_000, 1, 3).clone().requires_grad_()
    z = rsample(Dirichlet(wide), 1, torch.Generator().manual_seed(1))[0, :, 0]  # n x 3
    total = leaf.sum()
    for share in range(3):
        a = leaf[share]
        for power, moment in ((1, a / total), (2, a * (a + 1) / (total * (total + 1)))):
            (exact,) = torch.autograd.grad(moment, leaf, retain_graph=True)
            (g,) = torch.autograd.grad(z[:, share].pow(power).sum(), wide, retain_graph=True)
            g = g[:, 0]
            error = g.std(0) / math.sqrt(len(g))
            # torch's own gradient is an approximation, to a thousandth of its size.
            assert bool(((g.mean(0) - exact).abs() < 4.5 * error + 1e-3 * exact.abs()).all()), (share, power)


def test_two_shares_are_a_beta() -> None:
    values = torch.tensor([[[0.4, 3.0]]], dtype=DOUBLE)  # one row of one latent
    kind, beta = family_named("dirichlet"), family_named("beta")
    q, other = Dirichlet(values), Beta(*values.unbind(-1))
    z = sample(q, 5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(kind.log_prob(q, z), beta.log_prob(other, z[..., 0]))
    for s, t in zip(kind.scores(q, z)[0].unbind(-1), beta.scores(other, z[..., 0]), strict=True):
        torch.testing.assert_close(s, t)


def test_zeros_are_the_uniform_distribution() -> None:
    q = family_named("dirichlet").from_raw(torch.zeros(2, 3))
    assert torch.allclose(q.log_prob(torch.tensor([0.3, 0.6, 0.1])), torch.tensor(math.log(2)).expand(2))
