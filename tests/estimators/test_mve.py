"""Minimum-variance straight-through estimators: what they minimise, their limits, and the authors' numbers.

Exact: the draws are all joint states, each weighted by its probability.
"""

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import estimators
from estimators.base import Objective
from estimators.exact import expectation
from tests.estimators.cases import build
from tests.estimators.tables import Table, all_draws, deciding, estimate_with

LOGITS = torch.tensor([[[0.5, -1.0, 1.2, 0.1]]], dtype=torch.float64)
TWO_LATENTS = torch.tensor([[[0.5, -1.0, 1.2], [-0.3, 0.8, 0.4]]], dtype=torch.float64)
NUMBER = torch.arange(4.0, dtype=torch.float64)
BOTH = ("mve", "mve-int")


def of_each_state(name: str, logits: Tensor, f: Objective, **options: float) -> tuple[Tensor, Tensor]:
    """The gradient at every joint state [N, L, C], and the states' probabilities [N]."""
    z, chances = all_draws("categorical", logits, 1)
    rows = logits.expand(z.shape[1:]).clone().requires_grad_()
    estimator = estimators.get(name).create(**options)
    estimate = estimate_with(Table(deciding("categorical", z)), estimator, build("categorical", [rows]), f)
    (g,) = torch.autograd.grad(estimate.surrogate.sum(), rows)
    return g, chances


def truth(logits: Tensor, f: Objective) -> Tensor:
    leaf = logits.clone().requires_grad_()
    (g,) = torch.autograd.grad(expectation(build("categorical", [leaf]), f).sum(), leaf)
    return g[0]


def relative_bias(name: str, logits: Tensor, f: Objective, **options: float) -> float:
    g, chances = of_each_state(name, logits, f, **options)
    exact = truth(logits, f)
    return float((torch.tensordot(chances, g, 1) - exact).norm() / exact.norm())


def jacobian(p: Tensor) -> Tensor:
    return p.diag() - torch.outer(p, p)


def least(cost: Tensor, penalty: Tensor, miss: Tensor, constraint: Tensor, held: Tensor) -> Tensor:
    """S, column by column, minimising sum cost S^2 + |penalty S - miss|^2 / 2 where constraint S = held: Lagrange."""
    count = len(held)
    normal = 2 * cost.diag() + penalty.T @ penalty
    top = torch.cat((normal, constraint.T), 1)
    system = torch.cat((top, torch.cat((constraint, torch.zeros(count, count, dtype=cost.dtype)), 1)))
    return torch.linalg.solve(system, torch.cat((penalty.T @ miss, held)))[: len(cost)]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 30.0])
def test_mve_has_the_least_variance_and_quadratic_bias_of_all_that_are_exact_for_affine_f(temperature: float) -> None:
    p = LOGITS[0, 0].softmax(-1)
    size, gradients = len(p), jacobian(p)
    pair = torch.eye(size * size, dtype=torch.float64).reshape(size, size, size, size)  # x x i x (x i)
    weighted = p[:, None, None] * pair.flatten(2)  # p_x S_x[i]
    penalty = temperature**0.5 * (weighted + weighted.transpose(0, 1)).flatten(0, 1)
    diagonal = torch.eye(size, dtype=torch.float64)[:, :, None] * gradients  # [i = x] J_x
    expected = least(
        p.repeat_interleave(size),
        penalty,
        temperature**0.5 * diagonal.flatten(0, 1),
        weighted.sum(0),
        gradients,
    ).reshape(size, size, size)
    for i in range(size):
        found, _ = of_each_state("mve", LOGITS, lambda z, q, i=i: z[..., 0, i], temperature=temperature)
        torch.testing.assert_close(found[:, 0], expected[:, i], atol=1e-12, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 30.0])
def test_mve_int_is_the_same_for_the_numbers_of_the_classes(temperature: float) -> None:
    p = LOGITS[0, 0].softmax(-1)
    missing = 2 * temperature**0.5
    weights = least(
        p,
        missing * (p * NUMBER)[None],
        missing * NUMBER[None] ** 2 / 2,
        p[None],
        NUMBER[None],
    )
    found, _ = of_each_state("mve-int", LOGITS, lambda z, q: z[..., 0, :] @ NUMBER, temperature=temperature)
    torch.testing.assert_close(found[:, 0], weights @ jacobian(p), atol=1e-12, rtol=1e-6)


def test_mve_int_moves_a_number_as_its_mean_and_its_variance_move() -> None:
    """Hot, as a location-scale family's: (y - m) grad var / (2 var), which is (y - m) / s times grad s."""
    leaf = LOGITS.clone().requires_grad_()
    p = leaf[0, 0].softmax(-1)
    mean = p @ NUMBER
    variance = p @ (NUMBER - mean.detach()).square()
    of_mean, of_variance = (torch.autograd.grad(x, leaf, retain_graph=True)[0][0, 0] for x in (mean, variance))
    for temperature, strength in ((2.0, 2 / (1 + 4 * variance)), (1e9, 1 / (2 * variance))):
        found, _ = of_each_state("mve-int", LOGITS, lambda z, q: z[..., 0, :] @ NUMBER, temperature=temperature)
        expected = of_mean + (strength * (NUMBER - mean)).detach()[:, None] * of_variance
        torch.testing.assert_close(found[:, 0], expected, atol=1e-8, rtol=1e-6)


PUBLISHED = {  # classes, seed: squared bias and variance
    (4, 0): (0.194, 1.994),
    (4, 1): (0.054, 0.536),
    (4, 2): (0.088, 0.575),
    (8, 0): (1.908, 36.084),
    (8, 1): (1.113, 25.300),
    (8, 2): (0.242, 6.192),
    (12, 0): (3.782, 64.853),
    (12, 1): (3.970, 200.781),
    (12, 2): (0.203, 13.025),
}
"""Hooper and Shekhovtsov 2026, one categorical and a random quadratic, the mean rescaled to the true length."""


@pytest.mark.parametrize(("classes", "seed"), PUBLISHED)
def test_mve_has_the_bias_and_the_variance_that_its_authors_found(classes: int, seed: int) -> None:
    torch.random.manual_seed(seed)
    root, slope, logits = torch.randn(classes, classes), torch.randn(classes), torch.randn(classes)
    form, slope = (root.T @ root).double(), slope.double()

    def f(z: Tensor, q: Distribution) -> Tensor:
        z = z[..., 0, :]
        return ((z @ form) * z).sum(-1) + z @ slope

    temperature = 10 ** (7 - 13 * 538 / 999)  # of their 1000 from 1e7 to 1e-6 the one printed as .998
    logits = logits.double()[None, None]
    g, chances = of_each_state("mve", logits, f, temperature=temperature)
    mean, exact = torch.tensordot(chances, g, 1), truth(logits, f)
    scale = exact.norm() / mean.norm()
    found = (scale * mean - exact).square().sum(), scale**2 * (chances @ (g - mean).flatten(1).square()).sum()
    assert [float(x) for x in found] == pytest.approx(PUBLISHED[classes, seed], rel=3e-4, abs=6e-4)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("temperature", [1e-9, 1.0, 1e6])
def test_affine_f_has_no_bias_at_any_temperature(name: str, temperature: float) -> None:
    slope = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, 1.7]], dtype=torch.float64)
    assert relative_bias(name, TWO_LATENTS, lambda z, q: (z * slope).sum((-2, -1)), temperature=temperature) < 1e-10


@pytest.mark.parametrize("name", BOTH)
def test_cold_it_is_straight_through_draw_by_draw(name: str) -> None:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def f(z: Tensor, q: Distribution) -> Tensor:
        return (z @ w).sum(-1).pow(3)

    cold, _ = of_each_state(name, TWO_LATENTS, f, temperature=1e-12)
    expected, _ = of_each_state("straight-through", TWO_LATENTS, f)
    torch.testing.assert_close(cold, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", BOTH)
def test_heat_takes_the_bias_of_quadratics_away_also_where_latents_are_coupled(name: str) -> None:
    generator = torch.Generator().manual_seed(5)
    w, v = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    numbers = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    if name == "mve-int":  # coefficients that make of each latent a multiple of its number
        w, v = (
            (torch.tensor([[a], [b]], dtype=torch.float64) * numbers).flatten() for a, b in ((0.7, -1.1), (0.4, 0.9))
        )

    def cost(degree: int) -> Objective:
        return lambda z, q: (z.flatten(-2) @ w + 0.3).square() + (z.flatten(-2) @ v).pow(degree)

    bias = {t: relative_bias(name, TWO_LATENTS, cost(2), temperature=t) for t in (1e-3, 1.0, 1e3, 1e9)}
    assert bias[1e-3] > bias[1.0] > bias[1e3] > 1e-6 > 1e-7 > bias[1e9]
    assert relative_bias(name, TWO_LATENTS, cost(3), temperature=1e9) > 1e-3


def test_mve_int_keeps_the_bias_of_an_f_that_reads_the_classes_otherwise() -> None:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    assert relative_bias("mve-int", TWO_LATENTS, lambda z, q: (z @ w).square().sum(-1), temperature=1e9) > 0.1


@pytest.mark.parametrize("level", [0.0, 6.0, 15.0, 25.0])
@pytest.mark.parametrize("temperature", [1.0, 1e6])
def test_of_two_classes_mve_goes_from_straight_through_to_zgr(level: float, temperature: float) -> None:
    """Solved by hand, p r (1 + 2 t r) / (1 + 4 t p r) (f'_1 - f'_2) at the class of p: from p r to r / 2 as t grows."""
    logits = torch.tensor([[[level, 0.0]]], dtype=torch.float64)
    p = logits[0, 0].softmax(-1)
    rest = p.flip(0)
    found, _ = of_each_state("mve", logits, lambda z, q: z[..., 0, 0], temperature=temperature)
    expected = p * rest * (1 + 2 * temperature * rest) / (1 + 4 * temperature * p * rest)
    torch.testing.assert_close(found[:, 0], torch.stack((expected, -expected), -1), atol=0, rtol=1e-7)


def test_temperatures_beyond_the_digits_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1e\\+12"):
        estimators.get("mve").create(temperature=1.0, final_temperature=1e13, anneal_steps=10)
