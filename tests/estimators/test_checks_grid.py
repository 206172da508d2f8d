"""The problems of a certificate, their exact gradients by formula, their noise, and what is drawn on them."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor
from torch.distributions import Independent, Normal

from estimators import Estimate, Estimator
from estimators.checks.grid import Grid
from estimators.checks.noise import REACHES, Draw, Forced, Watch, count_of
from estimators.checks.ridges import CONSTANT, Ridge, ridges
from estimators.checks.sampling import Prepared, call, deviations, gradients, noise_of
from estimators.contract import Broken
from estimators.distributions import log_prob, sample, stopped
from estimators.families.gaussian import scale_of
from estimators.families.quadrature import laguerre as _laguerre
from estimators.families.quadrature import trapezoid as _line

DOUBLE = torch.float64
NAMES = ["constant", "quadratic", "cubic", "coupled", "mlp", "entropy"]
SHAPES = {
    "constant": np.square,
    "quadratic": np.square,
    "cubic": lambda x: x**3,
    "coupled": np.square,
    "mlp": np.tanh,
    "entropy": np.tanh,
}


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def plain(ridge: Ridge, y: np.ndarray) -> np.ndarray:
    """A sum of ridge functions at y [..., N], by its definition."""
    weights, shift, amplitude = (np.asarray(x) for x in (ridge.weights, ridge.shift, ridge.amplitude))
    return (SHAPES[ridge.name](y @ weights.T + shift) * amplitude).sum(-1) + ridge.offset


# Objectives


def test_a_ridge_by_hand() -> None:
    ridge = Ridge(
        "cubic", double([[1.0, 2.0], [0.0, -1.0]]), double([0.5, 3.0]), double([3.0, -1.0]), lambda x: x**3, -1.0
    )
    # 3 (1 + 4 + 0.5)^3 - (3 - 2)^3 - 1 and 3 (0 - 2 + 0.5)^3 - (3 + 1)^3 - 1
    assert ridge(double([[1.0, 2.0], [0.0, -1.0]])).tolist() == [497.125, -75.125]
    points = double([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-2.0, 1.0], [0.5, 0.5]])
    ridge = ridge._replace(offset=0.0)
    standard = ridge.standardised(points)(points).numpy()
    assert standard.mean() == pytest.approx(0)
    assert standard.std(ddof=1) == pytest.approx(1)
    slope = np.diff(standard) / np.diff(ridge(points).numpy())
    assert slope == pytest.approx([slope[0]] * 4)


@pytest.mark.parametrize("size", [1, 3, 6])
def test_the_six_objectives_are_of_mean_zero_and_spread_one(size: int) -> None:
    typical = torch.randn(400, size, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    found = ridges(typical)
    assert [ridge.name for ridge in found] == NAMES
    assert [ridge.entropy for ridge in found] == [False] * 5 + [True]
    y = typical.numpy()
    for ridge in found:
        cost = ridge(typical).numpy()
        np.testing.assert_allclose(cost, plain(ridge, y), atol=1e-12)
        if ridge.name == "constant":
            assert set(cost) == {CONSTANT} == {3.0}
        else:
            assert (cost.mean(), cost.std(ddof=1)) == pytest.approx((0, 1))
    quadratic, cubic, coupled, mlp = found[1:5]
    assert torch.equal(quadratic.weights, torch.eye(size, dtype=DOUBLE))
    # Each latent of another weight, from a half on in steps of 1 / D.
    np.testing.assert_allclose(quadratic.amplitude / quadratic.amplitude[0], 1 + 2 * np.arange(size) / size)
    assert bool((quadratic.shift.abs() <= 1.45).all())
    assert bool((quadratic.shift <= 0.55).all())
    for ridge, count in ((cubic, 3), (coupled, 3), (mlp, 6)):
        assert tuple(ridge.weights.shape) == (count, size)
        assert len(set(ridge.shift.tolist())) == count
    for ridge in (cubic, coupled):
        np.testing.assert_allclose(ridge.amplitude / ridge.amplitude[0], [1, -0.7, 0.5])


def test_draws_of_an_objective_s_numbers_have_their_sizes() -> None:
    """Over many latents: weights of length about one, a half or twice that; shifts by a half or a whole."""
    size = 1500
    typical = torch.randn(5, size, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    _, quadratic, cubic, coupled, mlp, entropy = ridges(typical)
    for ridge, length in ((cubic, 1.0), (coupled, 1.5), (mlp, 2.0), (entropy, 2.0)):
        assert ridge.weights.norm(dim=1).tolist() == pytest.approx([length] * len(ridge.weights), rel=0.05)
        directions = ridge.weights / ridge.weights.norm(dim=1, keepdim=True)
        assert float((directions @ directions.T).fill_diagonal_(0).abs().max()) < 0.07
    assert not torch.equal(mlp.weights, entropy.weights)
    shift = quadratic.shift + 0.45  # of a normal number cut off at 1
    assert (float(shift.min()), float(shift.max())) == pytest.approx((-1, 1))
    assert float((shift.abs() == 1).double().mean()) == pytest.approx(2 * stats.norm.sf(1), abs=0.02)
    one = ridges(typical, one_direction=True)
    for ridge in one[2:]:
        lines = ridge.weights @ ridge.weights.T
        lengths = ridge.weights.norm(dim=1)
        np.testing.assert_allclose(lines.abs(), lengths.outer(lengths), rtol=1e-9)
        assert lengths.max() == pytest.approx(float(lengths.min()))
    assert torch.equal(
        one[1].weights / one[1].weights[:1].abs(),
        one[1].weights.sign() / one[1].weights[:1].sign() * one[1].weights[:1].sign(),
    )
    bounded = ridges(typical, weights_of_a_bound=True)
    assert [ridge.entropy for ridge in bounded] == [False, True, True, True, True, True]
    assert bounded[4].weights.tolist() == mlp.weights.tolist()


# Parameters of q


def test_logits_of_bits_fall_to_a_third_and_their_signs_differ() -> None:
    grid = Grid("bernoulli", (3,), 1, levels=(0.0, 1.5, 6.0))
    (logits,) = grid.values
    assert [(row.objective, row.level) for row in grid.rows] == [
        (name, level) for name in NAMES for level in (0.0, 1.5, 6.0)
    ]
    # The sign of latent i of objective o at the l-th level is that of o + l + i, even or odd: both come at every level.
    np.testing.assert_allclose(logits[1], [-1.5, 1.0, -0.5])
    np.testing.assert_allclose(logits[2], [6.0, -4.0, 2.0])
    np.testing.assert_allclose(logits[4], [1.5, -1.0, 0.5])
    np.testing.assert_allclose(logits[17], [-6.0, 4.0, -2.0])
    assert logits[::3].abs().max() == 0
    two = Grid("bernoulli", (6,), 1, levels=(3.0, 3.0)).values[0]
    np.testing.assert_allclose(two[0], [3, -2.6, 2.2, -1.8, 1.4, -1])
    np.testing.assert_allclose(two[1], [-3, 2.6, -2.2, 1.8, -1.4, 1])
    np.testing.assert_allclose(two[2], [-3, 2.6, -2.2, 1.8, -1.4, 1])  # turned by the objective too
    shift = grid.shift
    np.testing.assert_allclose(shift[2], [6.0, 4.0, 0.0])  # beyond 3 alone
    assert float(shift[:2].max()) == 0.0
    np.testing.assert_allclose(grid.rarity[2], [1 / (1 + math.exp(6)), 1 / (1 + math.exp(4)), 1 / (1 + math.exp(2))])
    z = double([[[1.0, 0, 1], [0, 1, 0]], [[0.0, 1, 1], [1, 0, 0.4]]])
    assert grid.is_rare(z, [2, 1]).tolist() == [
        [[False, False, False], [False, False, False]], [[True, True, False], [True, True, False]]
    ]  # fmt: skip
    np.testing.assert_allclose(grid.theta, np.linspace(0.8, 1.2, 18))


def test_logits_of_classes_favour_one_and_tell_the_others_apart() -> None:
    grid = Grid("categorical", (2, 4), 1, levels=(0.0, 0.5, 9.0))
    (logits,) = grid.values
    assert tuple(logits.shape) == (18, 2, 4)
    # Latent i of the l-th level of objective o favours class o + l + i, counted round.
    np.testing.assert_allclose(logits[1], [[-0.2, 0.5, -0.35, -0.1], [-0.2, -0.05, 0.5 / 3, -0.1]])
    np.testing.assert_allclose(logits[2], [[-0.4, -0.1, 9, -0.2], [-0.4, -0.1, -0.7, 3]])
    np.testing.assert_allclose(logits[5], [[-0.4, -0.1, -0.7, 9], [3, -0.1, -0.7, -0.2]])  # 1 + 2
    assert float(logits[0].abs().max()) == 0
    np.testing.assert_allclose(grid.shift[2], [9.4, 3.7])
    assert float(grid.shift[1].max()) == 0.0
    for row in (0, 1, 2):
        np.testing.assert_allclose(grid.rarity[row], 1 - special.softmax(logits[row].numpy(), -1).max(-1), rtol=1e-9)
    one_hot = torch.eye(4, dtype=DOUBLE)
    z = torch.stack((one_hot[[2, 1]], one_hot[[1, 2]]))
    assert grid.is_rare(z, [2, 2]).tolist() == [[False, True], [True, True]]


def test_a_gaussian_is_ten_times_sharper_every_eight_levels() -> None:
    np.testing.assert_allclose(scale_of(double([0.0, 4, 8, 16])), [2, 2 / math.sqrt(10), 0.2, 0.02])
    grid = Grid("gaussian", (3,), 1, levels=(0.0, 8.0))
    loc, scale = grid.values
    np.testing.assert_allclose(loc[0], np.array([0.6, -0.4, 0.2]))
    np.testing.assert_allclose(loc[1], np.array([-1.4, 1.4 * 2 / 3, -1.4 / 3]))
    np.testing.assert_allclose(scale[0], [2, 4 / 3, 2 / 3])
    np.testing.assert_allclose(scale[1], [0.2, 0.4 / 3, 0.2 / 3])
    assert float(grid.shift.abs().max()) == 0.0
    assert tuple(grid.shift.shape) == (12, 3)


def test_f_of_chosen_rows_is_theta_times_the_ridge_and_log_q_where_the_name_says_so() -> None:
    grid = Grid("categorical", (2, 3), 1, levels=(1.0, 2.0))
    rows = [0, 2, 3, 3, 5, 10, 11]  # a row may come twice, and an objective not at all
    theta = double(np.arange(1.0, 8.0) / 2)
    (logits,) = grid.values
    chosen = logits[rows]
    q = torch.distributions.OneHotCategorical(logits=chosen, validate_args=False)
    z = torch.eye(3, dtype=DOUBLE)[torch.tensor([[[0, 1]] * 7, [[2, 1]] * 7])]  # 2 x 7 x 2 x 3
    found = grid.f(theta, rows)(z, q)
    for i, row in enumerate(rows):
        ridge = grid.objectives[NAMES.index(grid.rows[row].objective)]
        expected = theta[i].item() * plain(ridge, z[:, i].flatten(-2).numpy())
        if grid.rows[row].objective == "entropy":
            log_q = np.log(special.softmax(chosen[i].numpy(), -1))
            expected = expected + (z[:, i].numpy() * log_q).sum((-2, -1))
        np.testing.assert_allclose(found[:, i], expected)
    everything = grid.f(grid.theta)(z[:, :1].expand(2, 12, 2, 3), torch.distributions.OneHotCategorical(logits=logits))
    assert tuple(everything.shape) == (2, 12)
    np.testing.assert_allclose(everything[:, :2], 3 * grid.theta[:2].expand(2, 2))


@pytest.mark.parametrize(
    ("grid", "states", "known"),
    [
        (Grid("bernoulli", (6,), 4), 64, True),
        (Grid("categorical", (3, 2), 9), 8, True),
        (Grid("bernoulli", (3,), 1, "iwae"), 8, True),
        (Grid("bernoulli", (3,), 3, "iwae"), 8, True),
        (Grid("bernoulli", (6,), 2, "iwae"), 64, True),
        (Grid("bernoulli", (6,), 3, "iwae"), 64, False),
        (Grid("categorical", (2, 4), 5, "iwae"), 16, False),
    ],
)  # fmt: skip
def test_a_bound_s_exact_value_is_known_while_its_tuples_are_few(grid: Grid, states: int, known: bool) -> None:
    assert grid.states == states
    assert grid.has_oracle == known


def test_a_gaussian_bound_is_known_for_two_samples_and_for_three_of_one_latent() -> None:
    known = {(d, s): Grid("gaussian", (d,), s, "iwae").has_oracle for d in (1, 3) for s in (1, 2, 3, 4)}
    assert [key for key, value in known.items() if not value] == [(1, 4), (3, 3), (3, 4)]


# Exact answers


def test_quadrature_is_exact_for_what_it_is_meant_for() -> None:
    points, weights = _line(9.0, 0.04)
    assert (float(points[0]), float(points[-1])) == pytest.approx((-9, 9))
    for power, moment in ((0, 1), (2, 1), (4, 3), (6, 15)):
        assert float((weights * points**power).sum()) == pytest.approx(moment, rel=1e-9)
    for alpha in (0.0, 0.5, -0.5):
        nodes, shares = _laguerre(16, alpha)
        for power in (0, 1, 2, 7):  # moments of a Gamma(alpha + 1) number
            expected = special.gamma(alpha + 1 + power) / special.gamma(alpha + 1)
            assert float((shares * nodes**power).sum()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("event", [(1,), (3,)])
def test_the_exact_answers_of_bits_by_the_sum_over_their_states(event: tuple[int, ...]) -> None:
    """The gradient by the score, written out: sum q(z) f(z) (z - p), and the entropy's in the end."""
    grid = Grid("bernoulli", event, 2, levels=(1.0, 6.0))
    z = np.array(list(product((0.0, 1.0), repeat=event[0])))
    for row, (name, _) in enumerate(grid.rows):
        logits, weight = grid.values[0][row].numpy(), grid.theta[row].item()
        p = special.expit(logits)
        chance = np.prod(np.where(z == 1, p, 1 - p), -1)
        cost = plain(grid.objectives[NAMES.index(name)], z)
        log_q = np.log(chance) if name == "entropy" else 0.0
        value = chance @ (weight * cost + log_q)
        gradient = (chance * (weight * cost + log_q)) @ (z - p)
        np.testing.assert_allclose(grid.exact[row], [*gradient, chance @ cost, value], atol=1e-12)
    constant = grid.exact[[0, 1]]
    np.testing.assert_allclose(constant[:, :-2], 0, atol=1e-12)
    np.testing.assert_allclose(constant[:, -2], 3.0)
    np.testing.assert_allclose(constant[:, -1], 3 * grid.theta[:2])


def test_the_exact_answers_of_a_gaussian_by_formula_or_quadrature() -> None:
    grid = Grid("gaussian", (3,), 1, levels=(0.0, 6.0))
    nodes = np.arange(-10, 10.001, 0.01)
    weights = stats.norm.pdf(nodes) * 0.01
    for row, (name, _) in enumerate(grid.rows):
        loc, scale, theta = grid.values[0][row].numpy(), grid.values[1][row].numpy(), grid.theta[row].item()
        ridge = grid.objectives[NAMES.index(name)]
        w, shift, amplitude = (np.asarray(x) for x in (ridge.weights, ridge.shift, ridge.amplitude))
        mean, variance = w @ loc + shift, w**2 @ scale**2
        if name in ("quadratic", "coupled", "constant"):
            inner, by_mean, by_variance = mean**2 + variance, 2 * mean, 1.0
        elif name == "cubic":
            inner, by_mean, by_variance = mean**3 + 3 * mean * variance, 3 * (mean**2 + variance), 3 * mean
        else:
            x = mean[:, None] + np.sqrt(variance)[:, None] * nodes
            inner = np.tanh(x) @ weights
            by_mean = (1 - np.tanh(x) ** 2) @ weights
            by_variance = (-np.tanh(x) * (1 - np.tanh(x) ** 2)) @ weights  # half the second derivative
        cost = amplitude @ inner + ridge.offset
        of_loc, of_scale = theta * (amplitude * by_mean) @ w, theta * (amplitude * by_variance) @ (2 * w**2 * scale)
        entropy = 0.0
        if name == "entropy":
            entropy, of_scale = stats.norm(loc, scale).entropy().sum(), of_scale - 1 / scale
        np.testing.assert_allclose(
            grid.exact[row], [*of_loc, *of_scale, cost, theta * cost - entropy], rtol=2e-7, atol=1e-7
        )


def test_the_exact_bound_of_a_gaussian_of_one_latent_by_a_double_integral() -> None:
    grid = Grid("gaussian", (1,), 2, "iwae", levels=(0.0, 3.0))
    x = np.arange(-9, 9.001, 0.05)
    weight = stats.norm.pdf(x) * 0.05
    for row, (name, _) in enumerate(grid.rows):
        loc, scale, theta = grid.values[0][row].item(), grid.values[1][row].item(), grid.theta[row].item()
        cost = theta * plain(grid.objectives[NAMES.index(name)], (loc + scale * x)[:, None])
        if name != "constant":
            cost = cost + stats.norm.logpdf(x) - math.log(scale)
        pair = math.log(2) - np.logaddexp(-cost[:, None], -cost)
        assert float(grid.exact[row, -1]) == pytest.approx(weight @ pair @ weight, rel=1e-6, abs=1e-8)
    three = Grid("gaussian", (1,), 3, "iwae", levels=(1.0,))
    sparse = np.arange(-7, 7.001, 0.2)
    weight = stats.norm.pdf(sparse) * 0.2
    loc, scale, theta = three.values[0][2].item(), three.values[1][2].item(), three.theta[2].item()
    cost = (
        theta * plain(three.objectives[2], (loc + scale * sparse)[:, None])
        + stats.norm.logpdf(sparse)
        - math.log(scale)
    )
    total = np.logaddexp(np.logaddexp(-cost[:, None, None], -cost[:, None]), -cost)
    assert float(three.exact[2, -1]) == pytest.approx(math.log(3) - weight @ (total @ weight) @ weight, rel=1e-5)


def test_the_exact_bound_of_three_latents_sees_one_direction_of_them() -> None:
    """With sticks of another kind: the bound of one sample is E[f] with log q, and of two lies above it by Jensen."""
    two = Grid("gaussian", (3,), 2, "iwae", levels=(2.0,))
    for row, (name, _) in enumerate(two.rows):
        q = Normal(*(v[row] for v in two.values))
        z = sample(Normal(*(v[row : row + 1] for v in two.values)), 200_000, torch.Generator().manual_seed(0))[:, 0]
        cost = two.theta[row].item() * plain(two.objectives[NAMES.index(name)], z.numpy())
        if name != "constant":
            cost = cost + q.log_prob(z).sum(-1).numpy()
        first, second = np.split(cost, 2)
        pairs = math.log(2) - np.logaddexp(-first, -second)
        assert abs(pairs.mean() - float(two.exact[row, -1])) < 4.5 * stats.sem(pairs) + 1e-9
        assert float(two.exact[row, -1]) < cost.mean() + 1e-9


# Noise


def likelihood(u: np.ndarray, shift: np.ndarray, chance: float) -> np.ndarray:
    """Density of the mixture at uniform numbers: plain, or moved up or down by a logistic shift of either reach."""
    x = special.logit(u)
    moved = sum(
        stats.logistic.pdf(x - sign * reach * shift) / (u * (1 - u)) for reach in (0.6, 1.0) for sign in (1, -1)
    )
    return 1 - chance + chance / 4 * moved


def test_a_forced_number_carries_the_ratio_of_its_densities() -> None:
    """Latents [3 rows, 2] of which the first row has none that are rare; one number in four is forced."""
    assert REACHES == (0.6, 1.0)
    shift = double([[0.0, 0.0], [4.0, 0.0], [7.0, 9.0]])
    with Forced(211, shift, 3, torch.Generator().manual_seed(1)) as watch:
        first = torch.rand(5, 211, 3, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
        second = torch.rand(211, 3, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    assert tuple(watch.log_weight.shape) == (211, 3)
    expected = -np.log(likelihood(first.numpy(), shift.numpy(), 0.25)).sum((0, -1))
    expected -= np.log(
        likelihood(second.numpy(), np.array([0.0, 4.0, 9.0]), 0.25)
    )  # without latents, the row's largest
    expected[:, 0] = 0
    np.testing.assert_allclose(watch.log_weight, expected, atol=1e-9)
    again = torch.rand(5, 211, 3, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert torch.equal(first[:, :, 0], again[:, :, 0])
    torch.testing.assert_close(first[..., 1, 1], again[..., 1, 1])  # a shift of nothing
    assert [draw.source for draw in watch.draws] == ["torch.rand"] * 2
    assert watch.draws[0].noise is first


def test_a_number_is_forced_with_its_chance_to_either_side_by_either_reach() -> None:
    """At a shift of 100 forced numbers lie beyond e^-20 of the ends, and beyond e^-80 by the whole of it."""
    n = 40009
    with Forced(n, double([[100.0]]), 1, torch.Generator().manual_seed(1)):
        u = torch.rand(1, n, 1, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE).flatten()
    low, far = (float((u < math.exp(-size)).double().mean()) for size in (20, 80))
    high = float((1 - u < 1e-9).double().mean())
    for share, expected in ((low, 1 / 4), (far, 1 / 8), (high, 1 / 4)):
        assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / n)
    assert float(u.max()) < 1.0
    assert float(u.min()) > 0.0


def test_numbers_of_noise_that_a_row_takes() -> None:
    def of(*shape: int) -> Draw:
        return Draw("torch.rand", torch.zeros(shape), None, True)

    rows = (53, 4)
    assert count_of([of(2, 53, 4, 3), of(53, 4), of(53, 4, 5)], rows) == 6 + 1 + 5
    assert count_of([of(2, 53, 4, 3), of(4, 53), of(9)], rows) == 6  # what has other rows is not counted
    assert count_of([of(53, 4, 53, 4)], rows) == 1  # nor where they could be either
    assert count_of([], rows) == 1


def test_a_watch_lists_what_was_drawn_and_how() -> None:
    g = torch.Generator().manual_seed(0)
    with Watch() as watch:
        torch.rand(2, 3, generator=g)
        torch.randn(2, generator=g, device="cpu")
        torch.rand_like(torch.zeros(4))
        torch.zeros(3).exponential_(generator=g)
        torch.zeros(3).uniform_()
        torch.ones(3).sum()
    assert [(draw.source, draw.generator is g, draw.device_given) for draw in watch.draws] == [
        ("torch.rand", True, False), ("torch.randn", True, True), ("torch.rand_like", False, True),
        ("Tensor.exponential_", True, True), ("Tensor.uniform_", False, True),
    ]  # fmt: skip
    assert tuple(watch.draws[0].noise.shape) == (2, 3)


# Draws


class Told(Estimator):
    """Two samples of each bit; the surrogate is z . logits, and theta's gradient is the mean cost."""

    def __init__(self, samples=2):
        super().__init__(samples)

    def forward(self, q, f, *, generator=None, context=None):
        assert context is not None
        z = sample(q, self.samples, generator)
        mean = q.logits.detach().sigmoid().expand(1, *q.logits.shape)
        cost = f(z, stopped(q))
        f(mean, stopped(q))  # a point between the values, the same in all draws
        return Estimate((z * q.logits).sum(-1).mean(0) + cost.mean(0), cost.detach().mean(0) + context[..., 0])


def test_draws_are_held_against_the_exact_answers_weighted_and_their_rare_outcomes_counted() -> None:
    grid = Grid("bernoulli", (3,), 2, levels=(1.0, 6.0))
    context = torch.arange(48, dtype=DOUBLE).reshape(12, 4)
    prepared = Prepared(Told(), context, None)
    rows, n = [3, 4, 11], 211
    found = deviations(prepared, grid, rows, n, torch.Generator().manual_seed(5), torch.Generator().manual_seed(6), 0)
    q = torch.distributions.Bernoulli(logits=grid.values[0][rows].expand(n, 3, 3), validate_args=False)
    z = sample(q, 2, torch.Generator().manual_seed(5))
    f = grid.f(grid.theta[rows].expand(n, 3), rows)
    cost = f(z, q).mean(0)
    slope = grid.f(torch.ones(n, 3, dtype=DOUBLE), rows)(z, q).mean(0)
    entropy = log_prob(q, z).mean(0) * double([0.0, 0.0, 1.0])
    exact = grid.exact[rows]
    error = torch.cat((z.mean(0), (slope - entropy)[..., None], (cost + context[rows, 0])[..., None]), -1) - exact
    along = (error[..., :3] * exact[:, :3]).sum(-1) / exact[:, :3].square().sum(-1)
    torch.testing.assert_close(found.error, torch.cat((error, along[..., None]), -1))
    wrong = (z != (grid.values[0][rows] > 0)).double().sum(0)
    wrong[:, 1] = 0  # at level 1 nothing is rare
    torch.testing.assert_close(found.rare, wrong)
    assert found.slots.tolist() == [2 * n] * 3  # not of the mean
    assert found.size == pytest.approx(float((cost + context[rows, 0]).abs().max()))
    assert found.plain == []

    forced = deviations(prepared, grid, rows, n, torch.Generator().manual_seed(5), torch.Generator().manual_seed(6), 6)
    with Forced(n, grid.shift[rows], 6, torch.Generator().manual_seed(6)) as again:
        z = sample(q, 2, torch.Generator().manual_seed(5))
    weight = again.log_weight.exp()
    assert float(weight[:, 1].min()) == 1.0 > float(weight[:, [0, 2]].min())
    error = (z.mean(0) - exact[:, :3]) * weight[..., None]
    torch.testing.assert_close(forced.error[..., :3], error)
    wrong = (z != (grid.values[0][rows] > 0)).double().sum(0) * weight[..., None]
    wrong[:, 1] = 0
    torch.testing.assert_close(forced.rare, wrong)
    assert forced.plain == []
    assert noise_of(prepared, grid, torch.Generator().manual_seed(5)) == (6, 3)  # 2 x 3 numbers; 2 draws and the mean


def test_noise_that_torch_does_not_show_is_named() -> None:
    class Silent(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            z = (q.logits > 0).double().unsqueeze(0).detach()
            return Estimate((z * q.logits).sum(-1).mean(0), f(z, stopped(q)).detach().mean(0))

    grid = Grid("bernoulli", (1,), 1, levels=(6.0,))
    found = deviations(
        Prepared(Silent(), torch.zeros(6, 4, dtype=DOUBLE), None),
        grid,
        [1, 2],
        53,
        torch.Generator(),
        torch.Generator(),
        1,
    )
    assert found.plain == ["a source that torch does not show"]
    assert found.error[..., 1].unique().numel() == 2  # theta's gradient is none, and taken as zero
    torch.testing.assert_close(found.error[0, :, 1], -grid.exact[[1, 2], -2])


def test_draws_that_are_not_finite_are_said_with_their_share_and_place() -> None:
    class Bad(Told):
        def forward(self, q, f, *, generator=None, context=None):
            found = super().forward(q, f, generator=generator, context=context)
            bad = torch.ones_like(found.value)
            bad[:53, 1] = torch.nan
            return found._replace(surrogate=found.surrogate * bad)

    grid = Grid("bernoulli", (3,), 2, levels=(1.0, 6.0))
    prepared = Prepared(Bad(), torch.zeros(12, 4, dtype=DOUBLE), None)
    with pytest.raises(Broken, match=r"^12\.56% of the draws are not finite, first on coupled at level 6$"):
        deviations(prepared, grid, [3, 7], 211, torch.Generator(), torch.Generator(), 0)


def test_classes_without_rows_are_handed_over_as_one_row() -> None:
    seen: list[Any] = []

    class Looks(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            seen.append(q)
            cost = f(torch.eye(3, dtype=DOUBLE)[[0, 1]].unsqueeze(0), q)
            return Estimate(cost.mean(0) + 0 * getattr(q, "base_dist", q).logits.sum(), cost.detach().mean(0))

    leaf = torch.zeros(2, 3, dtype=DOUBLE).requires_grad_()

    def f(z: Tensor, q: Any, /) -> Tensor:
        assert not isinstance(q, Independent)
        return z[..., 0, 0] + 2 * z[..., 1, 1]

    assert call(Looks(), "categorical", [leaf], f, None).value.tolist() == 3.0
    assert isinstance(seen[0], (Independent, torch.distributions.OneHotCategorical))


def test_what_an_estimator_raises_is_a_finding_in_one_line() -> None:
    class Raises(Estimator):
        def forward(self, q, f, *, generator=None, context=None):
            raise KeyError("no\nsuch   thing " + "x" * 400)

    leaf = torch.zeros(4, 3, dtype=DOUBLE).requires_grad_()
    with pytest.raises(Broken) as caught:
        call(Raises(), "bernoulli", [leaf], lambda z, q: z.sum(-1), None)
    message = str(caught.value)
    assert message.startswith("forward raises KeyError for rows [4]: 'no\\nsuch thing xxx")
    assert len(message) == len("forward raises KeyError for rows [4]: ") + 300
    with pytest.raises(Broken, match=r"^the surrogate has no gradient at all: it is detached, or made under no_grad$"):
        gradients(torch.zeros(3), [leaf])
    used = (leaf * leaf).sum(-1)
    used.sum().backward()
    with pytest.raises(
        Broken, match=r"^the surrogate cannot be differentiated: Trying to backward through the graph a second"
    ):
        gradients(used, [leaf])
    other = torch.zeros(2, requires_grad=True)
    found = gradients((3 * leaf).sum(-1), [other, leaf])
    assert found[0] is None
    assert found[1] is not None
    assert float(found[1].mean()) == 3.0
