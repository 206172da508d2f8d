"""Antithetic estimators: identities sample by sample, and moments by integrating exactly over the noise."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators.base import Objective
from estimators.distributions import from_parameters
from estimators.exact import expectation
from estimators.parts.copula import COPULAS
from tests.estimators.tables import Table, estimate_with

DOUBLE = torch.float64
LATENTS = 4


def table(seed: int, size: int = LATENTS) -> Objective:
    """A standard normal cost for each of the 2^size states, the first bit the most significant."""
    costs = torch.randn(2**size, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    place = 2.0 ** torch.arange(size - 1, -1, -1, dtype=DOUBLE)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return costs[(z @ place).long()]

    return f


def exact_gradient(logits: Tensor, f: Objective) -> Tensor:
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(expectation(from_parameters("bernoulli", leaf), f).sum(), leaf)
    return gradient


def product(points: Sequence[Sequence[tuple[float, float]]]) -> tuple[Tensor, Tensor]:
    """All combinations [R, D] of (point, weight) pairs, one list a coordinate, and their weights [R]."""
    grid = torch.tensor(list(itertools.product(*points)), dtype=DOUBLE)
    return grid[..., 0], grid[..., 1].prod(-1)


def pieces(*cuts: float, order: int = 1) -> list[tuple[float, float]]:
    """Points and weights that integrate polynomials of degree 2 order - 1 between the cuts of the unit interval."""
    nodes, weights = (part.tolist() for part in _legendre(order))
    ends = sorted({0.0, 1.0, *cuts})
    return [
        (a + (b - a) * (x + 1) / 2, (b - a) * w / 2)
        for a, b in itertools.pairwise(ends)
        for x, w in zip(nodes, weights, strict=True)
    ]


def _legendre(order: int) -> tuple[Tensor, Tensor]:
    if order == 1:
        return torch.zeros(1), torch.full((1,), 2.0)
    return torch.tensor([-1, 1], dtype=DOUBLE) / math.sqrt(3), torch.ones(2, dtype=DOUBLE)


def gradients_at(name: str, logits: Tensor, f: Objective, rows: int, samples: int = 2, **options: object) -> Tensor:
    """The gradient [R, D] of one row of logits, for each of R rows of noise."""
    leaf = logits.expand(rows, -1).clone().requires_grad_()
    estimate = estimators.get(name).create(samples=samples, **options)(from_parameters("bernoulli", leaf), f)
    (gradient,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    return gradient


def all_gradients(name: str, logits: Tensor, f: Objective) -> tuple[Tensor, Tensor]:
    """Every gradient [R, D] that the noise can lead to, or enough of them to integrate, and their weights [R]."""
    theta, size = logits.sigmoid().tolist(), len(logits)
    if name == "rloo":
        u, weight = product([pieces(t) for t in theta] * 2)
        tables = [u.unflatten(-1, (2, size)).movedim(1, 0)]
    elif name in ("bitflip", "ugc"):
        u, weight = product([pieces(t) if name == "bitflip" else pieces(t, 1 - t) for t in theta])
        # Where all bits that may be chosen are equally likely, only the order of their noise matters.
        orders = (torch.tensor(list(itertools.permutations(range(size))), dtype=DOUBLE) + 0.5) / size
        race = orders.repeat(len(u), 1)
        u, weight = (x.repeat_interleave(len(orders), 0) for x in (u, weight / len(orders)))
        tables = [race[None], u[None]] if name == "bitflip" else [u[None], race[None]]
    else:
        u, weight = product([pieces(t, 1 - t, order=2) for t in theta])
        tables = [u[None]]
    leaf = logits.expand(len(weight), -1).clone().requires_grad_()
    estimator = estimators.get(name).create(samples=1 if name == "augment-reinforce" else 2)
    estimate = estimate_with(Table(*tables), estimator, from_parameters("bernoulli", leaf), f)
    return torch.autograd.grad(estimate.surrogate.sum(), leaf)[0], weight


@pytest.mark.parametrize("name", ["augment-reinforce", "arm", "disarm", "bitflip", "ugc"])
def test_means_are_exact_integrated_over_the_noise(name: str) -> None:
    f = table(5, 3)
    for values in ([0.0, 0.0, 0.0], [0.7, -2.0, 3.1], [-6.0, 15.0, -0.2]):
        logits = torch.tensor(values, dtype=DOUBLE)
        found, weight = all_gradients(name, logits, f)
        mean = (weight[:, None] * found).sum(0)
        torch.testing.assert_close(mean, exact_gradient(logits, f), rtol=1e-9, atol=1e-12)


RELATIVE_DEVIATIONS = {0: (2.71, 1.90, 3.22), 3: (3.66, 3.57, 1.91), 6: (14.3, 14.3, 1.74), 10: (105, 105, 1.73)}
"""By |logit|, of rloo, disarm and bitflip with 2 evaluations: root of the total variance over the gradient's length."""


@pytest.mark.parametrize("logit", list(RELATIVE_DEVIATIONS))
def test_bitflip_is_the_worst_at_the_start_and_by_far_the_best_at_the_end(logit: int) -> None:
    """A benchmark at initialisation only would rank these three in the wrong order."""
    logits, f = logit * torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=DOUBLE), table(1)
    exact = exact_gradient(logits, f)
    for name, expected in zip(("rloo", "disarm", "bitflip"), RELATIVE_DEVIATIONS[logit], strict=True):
        found, weight = all_gradients(name, logits, f)
        torch.testing.assert_close((weight[:, None] * found).sum(0), exact)
        variance = (weight * found.square().sum(1)).sum() - exact.square().sum()
        assert float(variance.sqrt() / exact.norm()) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("theta", [0.5, 0.3, 0.05])
def test_second_moments_of_one_bit_are_the_closed_forms(theta: float) -> None:
    """Over Delta^2, for theta <= 1/2: DisARM gains theta^3 / 6 on ARM, which vanishes as q sharpens."""
    logits, f = torch.tensor([math.log(theta / (1 - theta))], dtype=DOUBLE), table(2, 1)
    delta = float(f(torch.ones(1, dtype=DOUBLE), None) - f(torch.zeros(1, dtype=DOUBLE), None))
    mean = theta * (1 - theta)
    expected = {
        "rloo": mean / 2,
        "arm": theta / 2 - theta**2 + 2 * theta**3 / 3,
        "disarm": theta / 2 - theta**2 + theta**3 / 2,
        "bitflip": mean**2,
    }
    for name, moment in expected.items():
        found, weight = all_gradients(name, logits, f)
        assert float(weight @ found[:, 0]) / delta == pytest.approx(mean, abs=1e-12), name
        assert float(weight @ found[:, 0].square()) / delta**2 == pytest.approx(moment, abs=1e-12), name
    if theta == 0.5:  # variances .0625, .0208 and none
        variance = {name: moment - mean**2 for name, moment in expected.items()}
        assert variance == pytest.approx({"rloo": 1 / 16, "arm": 1 / 48, "disarm": 0, "bitflip": 0}, abs=1e-12)


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.7, -2.0, 3.1], [-6.0, 0.5, 6.0]])
def test_disarm_is_the_mean_of_arm_given_its_pair_of_draws(values: list[float]) -> None:
    """Dong et al. 2020: so it has at most ARM's variance, whatever f is."""
    logits, f = torch.tensor(values, dtype=DOUBLE), table(5, 3)
    arm, weight = all_gradients("arm", logits, f)
    disarm, _ = all_gradients("disarm", logits, f)
    u, _ = product([pieces(t, 1 - t, order=2) for t in logits.sigmoid().tolist()])
    pairs = torch.cat((u < logits.sigmoid(), u > (-logits).sigmoid()), 1)
    _, which = pairs.unique(dim=0, return_inverse=True)
    mass = torch.zeros(int(which.max()) + 1, dtype=DOUBLE).index_add(0, which, weight)
    total = torch.zeros(len(mass), 3, dtype=DOUBLE).index_add(0, which, weight[:, None] * arm)
    torch.testing.assert_close(disarm, (total / mass[:, None])[which], rtol=1e-9, atol=1e-12)
    second = [weight @ g.square() for g in (disarm, arm)]
    assert bool((second[0] < second[1]).all())


def test_bitflip_beats_disarm_by_eight_at_large_logits_for_any_table() -> None:
    """The mean over tables, at |logit| 6: 14.3 to 1.75."""
    logits = torch.full((LATENTS,), 6.0, dtype=DOUBLE)
    ratio = {}
    for name in ("disarm", "bitflip"):
        deviations = []
        for seed in range(40):
            found, weight = all_gradients(name, logits, table(seed))
            length = exact_gradient(logits, table(seed)).square().sum()
            deviations.append(float(((weight * found.square().sum(1)).sum() / length - 1).sqrt()))
        ratio[name] = sum(deviations) / len(deviations)
    assert ratio["disarm"] == pytest.approx(14.3, rel=0.01)
    assert ratio["bitflip"] == pytest.approx(1.75, rel=0.03)


def test_ugc_is_the_better_of_its_two_parts_at_both_ends() -> None:
    for logit in (0.0, 6.0):
        logits, f = torch.full((LATENTS,), logit, dtype=DOUBLE), table(1)
        exact = exact_gradient(logits, f)
        variance = {}
        for name in ("disarm", "bitflip", "ugc"):
            found, weight = all_gradients(name, logits, f)
            variance[name] = float((weight * found.square().sum(1)).sum() - exact.square().sum())
        assert variance["ugc"] == pytest.approx(min(variance["disarm"], variance["bitflip"]))


def test_bitflip_of_one_bit_is_exact() -> None:
    logits = torch.tensor([0.7], dtype=DOUBLE)
    found = gradients_at("bitflip", logits, table(2, 1), rows=50)
    torch.testing.assert_close(found, exact_gradient(logits, table(2, 1)).expand_as(found))


def _seen(f: Objective) -> tuple[Objective, list[Tensor]]:
    """f, and a list of the z that it is asked for."""
    seen: list[Tensor] = []

    def watched(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append(z)
        return f(z, q)

    return watched, seen


@pytest.mark.parametrize(
    ("name", "options"), [("disarm", {}), ("arms", {"copula": "dirichlet"}), ("arms", {"copula": "gaussian"})]
)
def test_disarm_and_arms_of_two_are_the_printed_formula_at_an_antithetic_pair(
    name: str, options: dict[str, str]
) -> None:
    """For the same pair of draws: sigmoid(|logit|) is 1 / (1 - rho)."""
    logits, (f, seen) = torch.tensor([0.0, 1.5, -4.0, 20.0], dtype=DOUBLE), _seen(table(3))
    found = gradients_at(name, logits, f, rows=500, **options)
    b, other = seen[0]
    gap = f(b, from_parameters("bernoulli", logits)) - f(other, from_parameters("bernoulli", logits))
    torch.testing.assert_close(found, 0.5 * gap[:, None] * (b - other) * logits.abs().sigmoid(), rtol=0, atol=1e-12)
    rare = (b != (logits >= 0)).double(), (other != (logits >= 0)).double()
    assert float((rare[0] * rare[1])[:, 1:].sum()) == 0.0  # the rarer value never twice
    assert bool((b + other == 1)[:, 0].all())


CLASS_COSTS = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


@pytest.mark.parametrize(
    ("name", "family", "logits", "f"),
    [
        ("arms", "bernoulli", [0.0, 1.5, -4.0, 2.0], table(3)),
        (
            "carms",
            "categorical",
            [[0.3, -1.0, 2.0], [0.0, 4.0, -4.0]],
            lambda z, q: torch.einsum("...i,ij,...j->...", z[..., 0, :], CLASS_COSTS, z[..., 1, :]),
        ),
    ],
)
def test_arms_and_carms_with_independent_draws_are_rloo(
    name: str, family: str, logits: list[Any], f: Objective
) -> None:
    row, (watched, seen) = torch.tensor(logits, dtype=DOUBLE), _seen(f)
    leaf = row.expand(200, *row.shape).clone().requires_grad_()
    estimate = estimators.get(name).create(samples=3, copula="independent")(from_parameters(family, leaf), watched)
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    cost = f(seen[0], from_parameters(family, row))
    advantage = (cost - (cost.sum(0) - cost) / 2)[(..., *(None for _ in row.shape))]
    mean = row.sigmoid() if family == "bernoulli" else row.softmax(-1)
    torch.testing.assert_close(found, (advantage * (seen[0] - mean)).mean(0), atol=1e-12, rtol=0)


@pytest.mark.parametrize("copula", list(COPULAS))
@pytest.mark.parametrize("samples", [2, 5])
def test_carms_of_two_categories_is_arms(copula: str, samples: int) -> None:
    """The logit of a bit is the difference of the two categories' logits."""
    logits, f = torch.tensor([0.3, 1.5, -4.0, 20.0], dtype=DOUBLE), table(3)
    rows, start = 300, torch.Generator().manual_seed(0).get_state()
    bits = logits.expand(rows, -1).clone().requires_grad_()
    pairs = (
        torch.stack((-0.4 * torch.ones_like(logits), logits - 0.4), -1).expand(rows, -1, -1).clone().requires_grad_()
    )
    found = []
    for name, family, leaf, g in (
        ("arms", "bernoulli", bits, f),
        ("carms", "categorical", pairs, lambda z, q: f(z[..., 1], q)),
    ):
        generator = torch.Generator()
        generator.set_state(start)
        estimator = estimators.get(name).create(samples=samples, copula=copula)
        estimate = estimator(from_parameters(family, leaf), g, generator=generator)
        found += torch.autograd.grad(estimate.surrogate.sum(), leaf)
    torch.testing.assert_close(found[1], torch.stack((-found[0], found[0]), -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [3, 4, 9])
def test_gaussian_decorrelation_is_that_of_the_bivariate_normal_law(count: int) -> None:
    """P(x < t, y > t) is integrated over the correlation by Plackett's identity, another way than ours."""
    away = torch.tensor([0.0, 0.4, 2.0, 7.0, 15.0, 50.0], dtype=DOUBLE)
    found = COPULAS["gaussian"].decorrelation(count, away)
    end = math.asin(-1 / (count - 1))
    nodes = torch.linspace(-math.pi / 2, end, 400_001, dtype=DOUBLE)[1:]
    step = float(nodes[1] - nodes[0])
    for value, chance in zip(found.tolist(), (-away).sigmoid().tolist(), strict=True):
        t = stats.norm.ppf(chance)
        both = float(torch.exp(-(t**2) / (1 + nodes.sin())).sum() - 0.5 * math.exp(-(t**2) / (1 + math.sin(end))))
        both *= step / (2 * math.pi)
        assert value == pytest.approx((1 - both / chance) / (1 - chance), rel=1e-5)


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decorrelation_lies_between_independence_and_the_most_possible(copula: str, dtype: torch.dtype) -> None:
    away = torch.tensor([0.0, 0.1, 1.0, 6.0, 15.0, 50.0, 100.0, 1000.0], dtype=dtype)
    for count in (2, 3, 5, 30):
        found = COPULAS[copula].decorrelation(count, away)
        assert bool((found >= 1 - 1e-6).all())
        assert bool((found <= (1 + 1e-6) / away.sigmoid()).all())
    torch.testing.assert_close(COPULAS[copula].decorrelation(2, away), 1 / away.sigmoid())


@pytest.mark.parametrize("copula", ["dirichlet", "gaussian"])
def test_antithetic_draws_beat_independent_ones(copula: str) -> None:
    """Dimitriev and Zhou 2021, at initialisation, where it shows."""
    q = from_parameters("bernoulli", torch.full((1, LATENTS), 0.5, dtype=DOUBLE))
    variance = [
        gradient_moments(estimators.get(name).create(samples=3, **options), q, table(1), draws=40_000).total.estimate
        for name, options in (("arms", {"copula": copula}), ("rloo", {}))
    ]
    assert variance[0] < 0.85 * variance[1]


def test_local_disarm_of_one_draw_is_disarm() -> None:
    f, found = table(3), []
    for name, samples in (("disarm", 2), ("disarm-iwae", 1)):
        leaf = torch.tensor([[0.3, -2.0, 1.1, 0.0]], dtype=DOUBLE).expand(50, -1).clone().requires_grad_()
        estimator = estimators.get(name).create(samples=samples)
        estimate = estimator(from_parameters("bernoulli", leaf), f, generator=torch.Generator().manual_seed(2))
        found += torch.autograd.grad(estimate.surrogate.sum(), leaf)
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("name", ["disarm-iwae", "arms-iwae"])
def test_local_bounds_are_the_sums_written_out(name: str) -> None:
    logits, (f, seen), count = torch.tensor([0.3, -2.0, 1.1, 0.0], dtype=DOUBLE), _seen(table(3)), 3
    (found,) = gradients_at(name, logits, f, rows=1, samples=count)
    antithetic, b = (z[:, 0] for z in seen)  # in the order of the calls
    q = from_parameters("bernoulli", logits)
    weights, replacing = (-f(b, q)).exp().tolist(), (-f(antithetic, q)).exp().tolist()
    expected = torch.zeros(LATENTS, dtype=DOUBLE)
    for k in range(count):
        others = sum(weights) - weights[k]
        bounds = [math.log((others + w) / count) for w in replacing]
        if name == "disarm-iwae":
            gap = math.log(sum(weights) / count) - bounds[k]
            expected -= 0.5 * gap * (b[k] - antithetic[k]) * logits.abs().sigmoid()
            continue
        mean = sum(bounds) / count
        factor = 1 / COPULAS["dirichlet"].decorrelation(count, logits.abs())
        for bound, z in zip(bounds, antithetic, strict=True):
            expected -= (bound - mean) * (z - logits.sigmoid()) * factor / (count - 1)
    torch.testing.assert_close(found, expected)


def test_signals_of_bounds_keep_the_rest_where_one_weight_dominates() -> None:
    """By subtraction of the largest weight from the sum it would be rounding, or the logarithm of a negative number."""
    for name in ("disarm-iwae", "arms-iwae", "vimco", "ovis"):
        leaf = torch.zeros(200, 2, requires_grad=True)
        estimate = estimators.get(name).create(samples=4)(
            from_parameters("bernoulli", leaf), lambda z, q: -200.0 * z[..., 0] + z[..., 1]
        )
        (gradient,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
        assert bool(gradient.isfinite().all())
