"""Negative binomial latents: the law of draws, log q and its two scores, the sum over counts, and jumps."""

import math

import numpy
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, NegativeBinomial

import estimators
from bench.measure import exact_moments, gradient_moments
from bench.measure.exact import NotExact
from estimators.distributions import from_parameters, kl, log_prob, sample, scores
from estimators.exact import expectation
from estimators.families import family_named
from estimators.noise import Noise

DOUBLE = torch.float64
FAMILY = family_named("negative-binomial")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def law_of(total: float, logit: float) -> stats.rv_discrete:
    """scipy's, whose chance is that of what ends the count."""
    return stats.nbinom(total, 1 / (1 + math.exp(logit)))


@pytest.mark.parametrize(("total", "logit"), [(0.3, -2.0), (1.0, 0.0), (2.5, 3.0), (40.0, 4.0)])
def test_draws_have_the_law(total: float, logit: float) -> None:
    """Chi-square over 40 groups of counts of about the same chance, or over single ones."""
    size, law = 100_000, law_of(total, logit)
    q = from_parameters("negative-binomial", torch.full((1, 1), total), torch.full((1, 1), logit))
    drawn = sample(q, size, seeded()).numpy().ravel()
    edges = numpy.unique(law.ppf(numpy.linspace(0, 1, 41)[1:-1]))
    below = numpy.array([0, *law.cdf(edges), 1])
    expected, found = (
        size * numpy.diff(below),
        numpy.bincount(numpy.searchsorted(edges, drawn), minlength=len(edges) + 1),
    )
    kept = expected > 5
    assert found[~kept].sum() <= 40
    assert stats.chisquare(found[kept], expected[kept] * found[kept].sum() / expected[kept].sum()).pvalue > 1e-3


def test_log_q_and_its_gradients() -> None:
    total = torch.tensor([[0.3, 1.0], [2.5, 40.0]], dtype=DOUBLE, requires_grad=True)
    logits = torch.tensor([[-2.0, 0.0], [3.0, -6.0]], dtype=DOUBLE, requires_grad=True)
    z = torch.tensor([[[0, 3], [70, 0]], [[2, 0], [10, 1]]], dtype=DOUBLE)
    q = from_parameters("negative-binomial", total, logits)
    wanted = NegativeBinomial(total, logits=logits).log_prob(z).sum(-1)
    torch.testing.assert_close(log_prob(q, z), wanted, rtol=1e-11, atol=1e-11)
    for index, draw in enumerate(z):
        right = torch.autograd.grad(log_prob(q, draw[None]).sum(), (total, logits))
        for own, other in zip(scores(q, z), right, strict=True):
            torch.testing.assert_close(own[index], other, rtol=1e-10, atol=1e-10)


def test_kl_of_equal_total_counts_is_the_sum_over_counts_and_others_are_refused() -> None:
    total = torch.tensor([[0.5, 2.0]], dtype=DOUBLE)
    logits, other = (torch.tensor(x, dtype=DOUBLE, requires_grad=True) for x in ([[-1.0, -2.0]], [[-0.5, -3.0]]))
    q, p = FAMILY.build(total, logits), FAMILY.build(total.clone(), other)
    z = torch.arange(300, dtype=DOUBLE)[:, None, None]
    own, theirs = (NegativeBinomial(total, logits=x).log_prob(z) for x in (logits, other))
    wanted = (own.exp() * (own - theirs)).sum((0, -1))
    torch.testing.assert_close(kl(q, p), wanted, rtol=1e-11, atol=1e-11)
    for found, right in zip(
        *(torch.autograd.grad(x.sum(), (logits, other), retain_graph=True) for x in (kl(q, p), wanted)), strict=True
    ):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)
    with pytest.raises(estimators.BadInput, match="closed form for equal total_count alone"):
        kl(q, FAMILY.build(2 * total, other))


@pytest.mark.parametrize(("total", "logit", "latents"), [(0.3, -3.0, 3), (1.0, -1.5, 2), (2.5, 2.0, 1), (40.0, 3.0, 1)])
def test_the_sum_over_counts_has_the_moments(total: float, logit: float, latents: int) -> None:
    """E[z] = n r and E[z (z - 1) (z - 2)] = n (n + 1) (n + 2) r^3, with both derivatives."""
    totals, logits = (torch.full((1, latents), x, dtype=DOUBLE, requires_grad=True) for x in (total, logit))
    q, n, r = FAMILY.build(totals, logits), total, math.exp(logit)
    for f, value, of_total, of_logit in (
        (lambda z: z, n * r, r, n * r),
        (
            lambda z: z * (z - 1) * (z - 2),
            n * (n + 1) * (n + 2) * r**3,
            (3 * n**2 + 6 * n + 2) * r**3,
            3 * n * (n + 1) * (n + 2) * r**3,
        ),
    ):
        found = expectation(q, lambda z, q, f=f: f(z).sum(-1))
        slopes = torch.autograd.grad(found.sum(), (totals, logits))
        assert float(found.detach()) == pytest.approx(latents * value, rel=1e-10)
        for slope, wanted in zip(slopes, (of_total, of_logit), strict=True):
            assert slope.flatten().tolist() == pytest.approx([wanted] * latents, rel=1e-10)


@pytest.mark.parametrize(("total", "logit"), [(0.3, -3.0), (1.0, 0.0), (2.5, 1.0)])
def test_jumps_are_the_derivative_of_every_mean(total: float, logit: float) -> None:
    """Their weights summed over all counts and all jumps, whose law is logarithmic; and that law by its draws."""
    totals, logits = (torch.full((1, 1), x, dtype=DOUBLE, requires_grad=True) for x in (total, logit))
    q, p = FAMILY.build(totals, logits), 1 / (1 + math.exp(-logit))
    z, x = torch.arange(250, dtype=DOUBLE)[:, None], torch.arange(1, 250, dtype=DOUBLE)
    chance = torch.exp(log_prob(q, z[..., None, None])[:, 0].detach())
    of_x = p**x / (x * -math.log1p(-p))
    for f in (torch.square, torch.cos, lambda z: (z == 2).to(z)):
        wanted = torch.autograd.grad(expectation(q, lambda z, q, f=f: f(z[..., 0])).sum(), (totals, logits))
        rise = f(z + x) - f(z)
        both = chance * of_x * rise
        rate = -math.log1p(-p)
        found = float((both * rate).sum()), float((both * x * total * rate * (1 - p)).sum())
        assert found == pytest.approx([float(g) for g in wanted], rel=1e-9, abs=1e-9)
    jump, (of_total, of_logits) = FAMILY.jumps(q, 50_000, Noise(seeded()))
    assert bool((jump == jump.round()).all()) and float(jump.min()) == 1
    torch.testing.assert_close(of_total.expand(1, 1, 1), torch.full((1, 1, 1), rate, dtype=DOUBLE))
    torch.testing.assert_close(of_logits, total * rate * (1 - p) * jump)
    few = [k for k in range(1, 60) if 50_000 * float(of_x[k - 1]) > 10]
    seen = [int((jump == k).sum()) for k in few]
    expected = [50_000 * float(of_x[k - 1]) for k in few]
    rest = 50_000 - sum(expected)
    assert stats.chisquare([*seen, 50_000 - sum(seen)], [*expected, rest]).pvalue > 1e-3 or rest < 1


def test_both_gradients_of_the_estimator_are_right_and_have_less_variance_than_the_score() -> None:
    totals, logits = torch.tensor([[1.0, 2.0]], dtype=DOUBLE), torch.tensor([[-1.0, -1.5]], dtype=DOUBLE)
    values = [totals.requires_grad_(), logits.requires_grad_()]

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        assert bool((z == z.round()).all())
        return (z[..., 0] + 0.5 * z[..., 1] - 1).square()

    q = FAMILY.build(*values)
    wanted = torch.cat(torch.autograd.grad(expectation(q, f).sum(), values), -1)
    found = {name: gradient_moments(estimators.get(name).create(samples=2), q, f, draws=20_000) for name in (
        "measure-valued-counts", "rloo")}  # fmt: skip
    for moments in found.values():
        error = (moments.variance / 20_000).sqrt()
        assert bool(((moments.mean - wanted).abs() < 4.5 * error).all())
    assert found["measure-valued-counts"].total.estimate < 0.8 * found["rloo"].total.estimate


@pytest.mark.parametrize("name", ["rloo", "measure-valued-counts"])
def test_infinite_logits_and_total_counts_of_0_stay_at_0(name: str) -> None:
    total = torch.tensor([[1.0, 0.0, 2.0]], dtype=DOUBLE, requires_grad=True)
    logits = torch.tensor([[-torch.inf, 0.0, -1.0]], dtype=DOUBLE, requires_grad=True)
    q = NegativeBinomial(total, logits=logits, validate_args=False)
    estimate = estimators.get(name).create(samples=2)(q, lambda z, q: z.square().sum(-1), generator=seeded())
    for gradient in torch.autograd.grad(estimate.surrogate.sum(), (total, logits)):
        assert bool(gradient.isfinite().all())
    z = sample(FAMILY.build(*FAMILY.finite(total, logits)), 1000, seeded())
    assert float(z[..., :2].abs().max()) == 0 < float(z[..., 2].max())


def test_draws_whose_rate_is_noise_are_not_integrated_over() -> None:
    q = from_parameters("negative-binomial", torch.ones(1, 1, dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE))
    with pytest.raises(NotExact, match="Gamma numbers are drawn by rejection"):
        exact_moments(estimators.get("rloo").create(), q, lambda z, q: z.sum(-1))


def test_probabilities_are_taken_as_logits() -> None:
    q = NegativeBinomial(torch.ones(1, 2), probs=torch.tensor([[0.2, 0.7]]))
    torch.testing.assert_close(FAMILY.parameters(q)[1], torch.logit(torch.tensor([[0.2, 0.7]])))
    assert FAMILY.toy(3.0, (2,)).mean.tolist() == [[pytest.approx(3.0), pytest.approx(3.0)]]
