"""Straight-through estimators, their kin of second order, and unbiased ones for one-hot latents.

Means are exact wherever they can be: the draws are replaced by all joint states, or all sets of them, each weighted by
its probability.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators.distributions import from_parameters, log_prob
from estimators.exact import expectation, states
from estimators.unordered_set import draw_set, log_mass_outside
from tests.estimators.cases import build, families_of, flat, gradients, leaves, objective
from tests.estimators.tables import Table, deciding, estimate_with

DISCRETE = ("bernoulli", "categorical")
HARD = (  # f at one-hot draws, a gradient passed through
    "straight-through",
    "straight-through-gumbel-softmax",
    "reinmax",
    "zgr",
    "gumbel-rao",
    "gapped-straight-through",
    "reinmax-rao",
    "mve",
    "mve-int",
)
THETA = torch.tensor(0.7, dtype=torch.float64)


def power(family: str, degree: int):
    """Coupled over the latents: (w . z + .3)^2 + (v . z)^degree."""
    size = 6 if family == "categorical" else 3
    w, v = torch.randn(2, size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return lambda z, q: (flat(family, z) @ w + 0.3).square() + (flat(family, z) @ v).pow(degree)


def exact_mean(name: str, family: str, values: list[Tensor], f, **options) -> Tensor:
    """Mean gradient of an estimator that draws nothing but z: z takes all states, f weighted by their probabilities."""
    q = build(family, values)
    z = states(q).expand(-1, *values[0].shape)
    weights = len(z) * log_prob(q, z).exp().detach()
    estimator = estimators.get(name).create(samples=len(z), **options)
    estimate = estimate_with(Table(deciding(family, z)), estimator, q, lambda z, q: weights * f(z, q))
    (g,) = torch.autograd.grad(estimate.surrogate.sum(), values)
    return g


def gradient(name: str, family: str, values: list[Tensor], f, seed: int = 3, **options) -> Tensor:
    estimator = estimators.get(name).create(**options)
    estimate = estimator(build(family, values), f, generator=torch.Generator().manual_seed(seed))
    (g,) = torch.autograd.grad(estimate.surrogate.sum(), values)
    return g


@pytest.mark.parametrize("family", DISCRETE)
def test_reinmax_is_zgr_draw_by_draw(family: str) -> None:
    for sharpness in (0.0, 1.0, 6.0, 15.0, 30.0):
        values = [v.detach().requires_grad_() for v in leaves(family, sharpness, rows=200)]
        f = objective(family, THETA)
        first, second = (gradient(name, family, values, f, samples=3) for name in ("reinmax", "zgr"))
        assert float((first - second).abs().max()) < 1e-12 * (1 + float(first.abs().max()))


@pytest.mark.parametrize("family", DISCRETE)
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 6.0])
def test_second_order_is_exact_for_coupled_quadratics_only(family: str, sharpness: float) -> None:
    values = leaves(family, sharpness)
    for degree in (2, 3):
        f = power(family, degree)
        truth = gradients(lambda v, f=f: expectation(build(family, v), f), values)[0]
        bias = {
            name: float((exact_mean(name, family, values, f) - truth).norm() / truth.norm())
            for name in ("straight-through", "reinmax", "zgr")
        }
        if degree == 2:
            assert max(bias["reinmax"], bias["zgr"]) < 1e-12
            hot = exact_mean("reinmax", family, values, f, temperature=1.5)
            assert float((hot - truth).norm() / truth.norm()) > 1e-3
        else:
            assert 1e-3 < bias["reinmax"] < bias["straight-through"]
        assert bias["straight-through"] > 0.02


def test_reinmax_is_the_trapezoid_rule_between_classes() -> None:
    """f(i) - f(j) is replaced by the mean slope of its two ends: p_i sum_j p_j (f'(i) + f'(j)) . (e_i - e_j) / 2."""
    logits = torch.tensor([[[0.4, -1.0, 1.3]]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([1.0, -0.7, 0.2], dtype=torch.float64)
    got = exact_mean("reinmax", "categorical", [logits], lambda z, q: (z[..., 0, :] @ w - 0.45).pow(3))
    p = logits.detach().softmax(-1)[0, 0]
    slopes = 3 * (w - 0.45).square()  # f' at vertex i is slopes[i] * w
    for i in range(3):
        terms = [p[i] * p[j] * (slopes[i] + slopes[j]) / 2 * (w[i] - w[j]) for j in range(3)]
        assert float(got[0, 0, i]) == pytest.approx(float(sum(terms)), abs=1e-12)


@pytest.mark.parametrize("family", DISCRETE)
def test_straight_through_is_exact_for_affine_f_without_noise(family: str) -> None:
    values = leaves(family, 1.0)
    w = torch.linspace(-1, 2, 6 if family == "categorical" else 3, dtype=torch.float64)

    def affine(z: Tensor, q: Distribution, /) -> Tensor:
        return flat(family, z) @ w + 2

    truth = gradients(lambda v: expectation(build(family, v), affine), values)[0]
    for seed in range(5):
        torch.testing.assert_close(gradient("straight-through", family, values, affine, seed), truth)


@pytest.mark.parametrize("name", [*HARD, "straight-through-gumbel-sigmoid"])
def test_f_is_evaluated_at_vertices_exactly(name: str) -> None:
    """The vertex plus its soft copy minus its soft copy would be off by rounding."""
    for family in families_of(estimators.get(name)):
        (logits,) = (v.detach().float().requires_grad_() for v in leaves(family, 1.0, rows=50))
        seen: list[Tensor] = []

        def f(z: Tensor, q: Distribution, /, seen: list[Tensor] = seen) -> Tensor:
            seen.append(z)
            return z.flatten(2).sum(-1)

        gradient(name, family, [logits], f, samples=4)
        assert set(seen[0].unique().tolist()) == {0.0, 1.0}


def rows_of_gradients(name: str, count: int, seed: int, **options) -> Tensor:
    """Gradients [count, 3] of one latent of three classes, one draw each."""
    logits = torch.tensor([0.5, -0.5, 1.0], dtype=torch.float64).expand(count, 1, 3).clone().requires_grad_()
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return gradient(name, "categorical", [logits], lambda z, q: (z[..., 0, :] @ w + 0.4).pow(3), seed, **options)[:, 0]


def test_gumbel_rao_keeps_the_mean_and_loses_variance() -> None:
    """Of one inner draw it has the law of straight-through Gumbel-softmax.

    Two-sample Kolmogorov-Smirnov distance, coordinate by coordinate; 1.95 sqrt(2 / n) is exceeded once in 1000.
    """
    count = 100_000
    found = {inner: rows_of_gradients("gumbel-rao", count, inner + 1, inner=inner) for inner in (1, 3, 20)}
    plain = rows_of_gradients("straight-through-gumbel-softmax", count, 1)
    for a, b in zip(plain.T.contiguous().sort(-1).values, found[1].T.contiguous().sort(-1).values, strict=True):
        both = torch.cat((a, b))
        gap = torch.searchsorted(a, both, right=True) - torch.searchsorted(b, both, right=True)
        assert float(gap.abs().max()) / count < 1.95 * math.sqrt(2 / count)
    for g in found.values():
        error = (g.var(0) / count + plain.var(0) / count).sqrt()
        assert bool(((g.mean(0) - plain.mean(0)).abs() < 5 * error).all())
    total = {inner: float(g.var(0).sum()) for inner, g in found.items()}
    assert total[1] > 1.1 * total[3] > 1.1**2 * total[20]


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_gumbel_rao_becomes_zgr_as_it_cools(winner: int) -> None:
    """Shekhovtsov 2023; the same limit at ReinMax's midpoint gives that of ReinMax-Rao."""
    logits = torch.tensor([[[0.5, -0.5, 1.0]]], dtype=torch.float64, requires_grad=True)
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    z = torch.eye(3, dtype=torch.float64)[winner].expand(1, 1, 1, 3)

    def cold(p: Tensor) -> Tensor:
        drawn = slope[winner]
        return 0.5 * (p * (slope - drawn) + z[0, 0, 0] * (drawn - p @ slope))

    p = logits.detach().softmax(-1)[0, 0]
    middle = (p + z[0, 0, 0]) / 2
    expected = {"gumbel-rao": cold(p), "reinmax-rao": 2 * cold(middle) - 0.5 * p * (slope - p @ slope)}
    for name, limit in (*expected.items(), ("zgr", expected["gumbel-rao"])):
        noise = Table(deciding("categorical", z), then=torch.Generator().manual_seed(3))
        estimator = estimators.get(name).create(**({} if name == "zgr" else {"inner": 400_000, "temperature": 0.03}))
        estimate = estimate_with(noise, estimator, build("categorical", [logits]), lambda z, q: z[..., 0, :] @ slope)
        (found,) = torch.autograd.grad(estimate.surrogate.sum(), logits)
        if name == "zgr":
            torch.testing.assert_close(found[0, 0], limit)
        else:
            torch.testing.assert_close(found[0, 0], limit, atol=0.03, rtol=0)


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_gapped_straight_through_moves_the_draw_ahead(gap: float) -> None:
    logits = torch.tensor([[[0.5, -0.5, 1.0]]], dtype=torch.float64, requires_grad=True)
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    estimator = estimators.get("gapped-straight-through").create(gap=gap, temperature=0.8)
    for winner in range(3):
        z = torch.eye(3, dtype=torch.float64)[winner].expand(1, 1, 1, 3)
        noise = Table(deciding("categorical", z))
        estimate = estimate_with(noise, estimator, build("categorical", [logits]), lambda z, q: z[..., 0, :] @ slope)
        (found,) = torch.autograd.grad(estimate.surrogate.sum(), logits)
        moved = [1.0 if c == winner else min(x, 1.0 - gap) for c, x in enumerate((0.5, -0.5, 1.0))]
        p = (torch.tensor(moved, dtype=torch.float64) / 0.8).softmax(-1)
        torch.testing.assert_close(found[0, 0], p * (slope - p @ slope) / 0.8)


@pytest.mark.parametrize("name", [*HARD, "rao-blackwell-top-k", "unordered-set"])
def test_classes_are_the_last_axis(name: str) -> None:
    """A gradient sums to zero over classes; of hard draws, a latent that f does not read has none."""
    logits = torch.randn(50, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    w = torch.tensor([1.0, -2.0, 0.5, 0.1], dtype=torch.float64)
    g = gradient(name, "categorical", [logits], lambda z, q: (z[..., 0, :] @ w).pow(2))
    assert float(g.sum(-1).abs().max()) < 1e-12
    if name in HARD:
        assert bool((g[:, 0].abs().amax(-1) > 1e-12).all())
        assert float(g[:, 1].abs().max()) == 0


def test_top_k_draws_the_rest_by_its_probabilities_where_the_mass_underflows() -> None:
    """1 - q(T) would be zero, and so the gradient of what is left."""
    logits = torch.tensor([60.0, 1.0, 0.0, -1.0], dtype=torch.float64).expand(50_000, 1, 4).clone().requires_grad_()
    w = torch.tensor([0.0, 1.0, -2.0, 3.0], dtype=torch.float64)
    g = gradient("rao-blackwell-top-k", "categorical", [logits], lambda z, q: z[..., 0, :] @ w, samples=2)[:, 0]
    truth = (logits.detach()[0, 0] - 60).exp() * w
    error = 5 * (g.var(0) / len(g)).sqrt()
    assert bool(((g.mean(0) - truth).abs() < error + 1e-40)[1:].all())


def test_top_k_with_its_baseline_ignores_an_offset() -> None:
    """Draw by draw; without it an offset adds variance."""
    values, f = leaves("categorical", 1.0, rows=50), power("categorical", 3)

    def moved(z: Tensor, q: Distribution, /) -> Tensor:
        return f(z, q) + 30.0

    values = [values[0].detach().requires_grad_()]
    found, expected = (gradient("rao-blackwell-top-k", "categorical", values, g, baseline="top") for g in (moved, f))
    torch.testing.assert_close(found, expected)
    q = build("categorical", leaves("categorical", 1.0, rows=1))
    none, top = (
        gradient_moments(
            estimators.get("rao-blackwell-top-k").create(baseline=baseline), q, moved, draws=20_000
        ).total.estimate
        for baseline in ("none", "top")
    )
    assert none > 10 * top


def set_probability(p: list[float], chosen: tuple[int, ...]) -> float:
    """That states drawn one after the other without replacement are these, in any order."""
    total = 0.0
    for order in itertools.permutations(chosen):
        left, term = 1.0, 1.0
        for s in order:
            term *= p[s] / left
            left -= p[s]
        total += term
    return total


@pytest.mark.parametrize(("latents", "classes", "count"), [(1, 4, 2), (2, 3, 2), (2, 3, 3), (3, 2, 4), (2, 2, 4)])
def test_unordered_set_is_unbiased_summed_over_all_sets(
    latents: int, classes: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly: every set is a row, weighted by its probability, which is summed over all orders."""
    logits = torch.randn(1, latents, classes, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    w = torch.randn(latents * classes, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (flat("categorical", z) @ w).pow(3) + 0.3 * (flat("categorical", z) @ w).exp()

    joint = list(itertools.product(range(classes), repeat=latents))
    p = [float(logits[0].softmax(-1)[range(latents), s].prod()) for s in joint]
    sets = list(itertools.combinations(range(len(joint)), count))
    chosen = torch.tensor([[joint[s] for s in these] for these in sets])  # sets x count x L
    monkeypatch.setattr("estimators.unordered_set.draw_set", lambda log_probs, u: chosen)
    rows = logits.expand(len(sets), latents, classes).clone().requires_grad_()
    estimate = estimators.get("unordered-set").create(samples=count)(build("categorical", [rows]), f)
    (g,) = torch.autograd.grad(estimate.surrogate.sum(), rows)
    weights = torch.tensor([set_probability(p, these) for these in sets], dtype=torch.float64)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    leaf = logits.clone().requires_grad_()
    value = expectation(build("categorical", [leaf]), f)
    torch.testing.assert_close((weights * estimate.value).sum(), value[0].detach(), atol=1e-12, rtol=1e-10)
    (truth,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(torch.einsum("s,slc->lc", weights, g), truth[0], atol=1e-12, rtol=1e-10)


def test_sets_are_drawn_as_without_replacement() -> None:
    count = 200_000
    logits = torch.tensor([[0.5, -1.0], [0.2, 1.5]], dtype=torch.float64)
    u = torch.rand(2, count, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).clamp_min(1e-300)
    drawn = draw_set(logits.log_softmax(-1).expand(count, 2, 2), -u.log())
    code = (drawn * torch.tensor([2, 1])).sum(-1).sort(-1).values
    joint = list(itertools.product(range(2), repeat=2))
    p = [float(logits.softmax(-1)[range(2), s].prod()) for s in joint]
    for these in itertools.combinations(range(4), 2):
        expected = set_probability(p, these)
        found = float((code == torch.tensor(these)).all(-1).double().mean())
        assert abs(found - expected) < 5 * math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("sharpness", [1.0, 50.0])
def test_the_mass_outside_of_a_set_is_that_of_all_other_states(sharpness: float) -> None:
    logits = sharpness * torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q = from_parameters("categorical", logits)
    z = states(q)
    log_p = log_prob(q, z)
    order = log_p.argsort(descending=True)
    for count in (1, 2, 5, 26):
        inside, outside = order[:count], order[count:]
        found = log_mass_outside(logits.log_softmax(-1), z[inside])
        torch.testing.assert_close(found, log_p[outside].logsumexp(0), atol=1e-9, rtol=1e-9)


def test_unordered_set_beats_as_many_independent_draws() -> None:
    """Kool et al. 2020; most where q is sharp, and draws with replacement repeat each other."""
    f = objective("categorical", THETA, entropy=False)
    for sharpness, gain in ((1.0, 1.1), (4.0, 3.0)):
        q = build("categorical", leaves("categorical", sharpness, rows=1))
        without, independent = (
            gradient_moments(estimators.get(name).create(samples=3), q, f, draws=20_000).total.estimate
            for name in ("unordered-set", "rloo")
        )
        assert independent > gain * without
