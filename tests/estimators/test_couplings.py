"""Couplings of categorical draws, and the score functions of the bound: exact means and variances by enumeration.

All outcomes of the noise are in a table, one a row of q, so that means and variances have no error but rounding.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import estimators
from estimators import bitflip
from estimators.base import Objective
from estimators.distributions import from_parameters, log_prob
from estimators.exact import expectation, expectation_of_bound, states
from estimators.noise import Noise
from tests.estimators.cases import build, gradients, leaves, objective
from tests.estimators.drawing import gumbel
from tests.estimators.tables import Exact, Table, all_draws, deciding, estimate_with, moments

DOUBLE = torch.float64


def _theta() -> Tensor:
    return torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)


def _over_draws(
    name: str, family: str, value: Tensor, f: Objective, theta: Tensor, samples: int, **options: Any
) -> Exact:
    """Moments over all tuples of independent draws."""
    z, chances = all_draws(family, value, samples)
    rows = value.detach().expand(z.shape[1:]).clone().requires_grad_()
    estimator = estimators.get(name).create(samples=samples, **options)
    estimate = estimate_with(Table(deciding(family, z)), estimator, from_parameters(family, rows), f)
    return moments(estimate, rows, chances, theta)


BOUNDS = [("iwae-score", {}), ("vimco", {}), ("vimco", {"mean": "arithmetic"}), ("ovis", {})]


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
@pytest.mark.parametrize("level", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("samples", [2, 3])
def test_scores_of_the_bound_are_exact_in_mean(family: str, level: float, samples: int) -> None:
    theta, (value,) = _theta(), leaves(family, level, rows=1)
    f = objective(family, theta)
    exact = gradients(lambda v: expectation_of_bound(build(family, v), f, samples), [value], (theta,))
    found = {
        (name, *options): _over_draws(name, family, value, f, theta, samples, **options) for name, options in BOUNDS
    }
    for exactly in found.values():
        torch.testing.assert_close(exactly.mean, exact[0][0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(exactly.theta, exact[1], rtol=1e-9, atol=1e-12)
    # At large logits the mode costs next to nothing here: no baseline is then hard to beat, and the others are noise.
    for name in (("vimco",), ("vimco", "mean")) if level < 3 else ():
        assert found[name].variance < found["iwae-score",].variance


def test_ovis_is_biased_by_gamma_times_the_gradient_of_reweighted_wake_sleep() -> None:
    theta, (value,) = _theta(), leaves("bernoulli", 1.0, rows=1)
    f = objective("bernoulli", theta)
    (exact,) = gradients(lambda v: expectation_of_bound(build("bernoulli", v), f, 3), [value])
    wake = _over_draws("reweighted-wake-sleep", "bernoulli", value, f, theta, 3)
    for gamma in (0.5, 1.0):
        found = _over_draws("ovis", "bernoulli", value, f, theta, 3, gamma=gamma)
        torch.testing.assert_close(found.mean, exact[0] + gamma * wake.mean, rtol=1e-9, atol=1e-12)
    assert (found.mean - exact[0]).norm() > 0.5 * exact.norm()
    entry = estimators.get("ovis")
    assert entry.claims_unbiased({}) and entry.claims_unbiased({"gamma": 0.0})
    assert not entry.claims_unbiased({"gamma": 0.5})


@pytest.mark.parametrize("samples", [2, 5])
def test_ovis_is_vimco_with_the_arithmetic_mean_but_for_a_constant_or_the_own_weight(samples: int) -> None:
    log_weights = 5 * torch.randn(samples, 7, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    bound = log_weights.logsumexp(0)

    def signal(name: str, **options) -> Tensor:
        return estimators.get(name).create(samples=samples, **options).signal(log_weights, bound)

    arithmetic, shift = signal("vimco", mean="arithmetic"), torch.tensor(1 - 1 / samples, dtype=DOUBLE).log()
    torch.testing.assert_close(signal("ovis"), arithmetic - shift)
    torch.testing.assert_close(signal("ovis", gamma=1.0), arithmetic + log_weights.softmax(0))


def test_reweighted_wake_sleep_follows_an_objective_of_its_own() -> None:
    """The mean of -sum_k v_k log q(z_k), draws and weights held fixed; with more draws, the inclusive divergence's."""
    theta, (value,) = _theta(), leaves("bernoulli", 1.0, rows=1)
    f = objective("bernoulli", theta)
    one = states(build("bernoulli", [value]))[:, 0]
    drawn, cost = log_prob(build("bernoulli", [value]), one).detach(), f(one, build("bernoulli", [value])).detach()
    posterior = (drawn - cost).softmax(0)

    def inclusive(v: list[Tensor]) -> Tensor:
        return -(posterior * log_prob(build("bernoulli", v), one)).sum()

    (divergence,) = gradients(inclusive, [value])
    errors = []
    for samples in (2, 3, 4):
        found = _over_draws("reweighted-wake-sleep", "bernoulli", value, f, theta, samples)
        index = torch.cartesian_prod(*[torch.arange(len(one))] * samples)
        chances, share = drawn[index].sum(1).exp(), (-cost)[index].softmax(1)

        def own(v: list[Tensor], index: Tensor = index, weight: Tensor = chances[:, None] * share) -> Tensor:
            return -(weight * log_prob(build("bernoulli", v), one)[index]).sum()

        (expected,) = gradients(own, [value])
        torch.testing.assert_close(found.mean, expected[0], rtol=1e-9, atol=1e-12)
        (by_theta,) = torch.autograd.grad(expectation_of_bound(build("bernoulli", [value]), f, samples).sum(), theta)
        torch.testing.assert_close(found.theta, by_theta, rtol=1e-9, atol=1e-12)
        errors.append((found.mean - divergence[0]).norm())
    assert errors[0] > errors[1] > errors[2]


# Couplings of categorical draws.


class Cells(Noise):
    """One antithetic pair: the noise of each decision lies below, between or above its two thresholds.

    Args:
        cell: [N, L, C - 1], which of the three it is in each outcome.
    """

    def __init__(self, cell: Tensor) -> None:
        super().__init__()
        self.cell = cell

    def odds(self, count: int, like: Tensor) -> Tensor:
        assert count == 1
        least = (-like.detach().abs()).sigmoid()  # N x L x C - 1, the smaller threshold; the larger is 1 - least
        self.chances = torch.where(self.cell == 1, 1 - 2 * least, least).flatten(1).prod(1)
        u = torch.where(self.cell == 0, least / 2, torch.where(self.cell == 1, 0.5, 1 - least / 2))
        return (u / (1 - u)).unsqueeze(0)


def _over_decisions(name: str, value: Tensor, f: Objective, theta: Tensor, **options: Any) -> Exact:
    """Moments over one antithetic pair."""
    latents, decisions = value.shape[-2], value.shape[-1] - 1
    cell = torch.cartesian_prod(*[torch.arange(3)] * (latents * decisions)).reshape(-1, latents, decisions)
    rows, noise = value.detach().expand(len(cell), *value.shape[1:]).clone().requires_grad_(), Cells(cell)
    estimator = estimators.get(name).create(samples=2, **options)
    estimate = estimate_with(noise, estimator, from_parameters("categorical", rows), f)
    return moments(estimate, rows, noise.chances, theta)


def _logits(level: float, latents: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(classes)
    return level * torch.randn(1, latents, classes, dtype=DOUBLE, generator=generator).clamp(-1, 1)


def _smooth(latents: int, classes: int, theta: Tensor, *, entropy: bool) -> Objective:
    generator = torch.Generator().manual_seed(latents)
    weights = torch.randn(latents * classes, 4, dtype=DOUBLE, generator=generator)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        cost = theta * torch.tanh(z.flatten(-2) @ weights).sum(-1) + (z.flatten(-2) @ weights[:, 0]).square()
        return cost + log_prob(q, z) if entropy else cost

    return f


DECISIONS = [
    ("disarm-stick-breaking", {}),
    ("disarm-stick-breaking", {"order": "descending"}),
    ("disarm-stick-breaking", {"order": "ascending"}),
    ("disarm-tree", {}),
]


@pytest.mark.parametrize(("name", "options"), DECISIONS)
@pytest.mark.parametrize(("latents", "classes"), [(2, 3), (2, 4), (1, 5), (3, 2)])
def test_sticks_and_trees_are_exact_in_mean(name: str, options: dict[str, str], latents: int, classes: int) -> None:
    for level in (0.0, 3.0, 6.0, 15.0):
        theta, value = _theta(), _logits(level, latents, classes).requires_grad_()
        f = _smooth(latents, classes, theta, entropy=True)
        exact = gradients(lambda v, f=f: expectation(build("categorical", v), f), [value], (theta,))
        found = _over_decisions(name, value, f, theta, **options)
        torch.testing.assert_close(found.mean, exact[0][0], rtol=1e-8, atol=1e-11)
        torch.testing.assert_close(found.theta, exact[1], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("latents", "classes"), [(2, 3), (2, 4), (3, 3)])
def test_sticks_and_trees_have_at_most_the_variance_of_two_independent_draws(latents: int, classes: int) -> None:
    theta, value = _theta(), _logits(0.0, latents, classes)
    f = _smooth(latents, classes, theta, entropy=False)
    independent = _over_draws("rloo", "categorical", value, f, theta, 2)
    for name, options in DECISIONS:
        assert _over_decisions(name, value, f, theta, **options).variance < independent.variance


def _as_bits(f: Objective) -> Objective:
    """f of categorical draws of two classes as a function of bits, the bit being the first class."""
    return lambda b, q: f(torch.stack((b, 1 - b), -1), q)


@pytest.mark.parametrize("name", ["disarm-stick-breaking", "disarm-tree"])
@pytest.mark.parametrize("samples", [2, 6])
def test_of_two_classes_sticks_and_trees_are_disarm(name: str, samples: int) -> None:
    logits = _logits(2.0, 3, 2).expand(5, 3, 2).clone().requires_grad_()
    bits = (logits[..., 0] - logits[..., 1]).detach().requires_grad_()
    f = _smooth(3, 2, _theta(), entropy=False)
    found = estimators.get(name).create(samples=samples)(
        build("categorical", [logits]), f, generator=torch.Generator().manual_seed(1)
    )
    expected = estimators.get("disarm").create(samples=samples)(
        build("bernoulli", [bits]), _as_bits(f), generator=torch.Generator().manual_seed(1)
    )
    (grad,) = torch.autograd.grad(found.surrogate.sum(), logits)
    (wanted,) = torch.autograd.grad(expected.surrogate.sum(), bits)
    torch.testing.assert_close(grad, torch.stack((wanted, -wanted), -1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-12, atol=1e-12)
    assert wanted.abs().max() > 0.1


@pytest.mark.parametrize("descending", [True, False])
def test_an_order_of_the_sticks_is_that_of_sorted_logits(descending: bool) -> None:
    logits = _logits(2.0, 2, 4).requires_grad_()
    by_size, order = logits.detach().sort(-1, descending=descending)
    by_size.requires_grad_()
    f = _smooth(2, 4, _theta(), entropy=False)

    def unsorted(z: Tensor, q: Distribution, /) -> Tensor:
        return f(torch.zeros_like(z).scatter(-1, order.expand(z.shape), z), q)

    create = estimators.get("disarm-stick-breaking").create
    named = create(samples=8, order="descending" if descending else "ascending")
    found = named(build("categorical", [logits]), f, generator=torch.Generator().manual_seed(1))
    expected = create(samples=8)(build("categorical", [by_size]), unsorted, generator=torch.Generator().manual_seed(1))
    (grad,) = torch.autograd.grad(found.surrogate.sum(), logits)
    (wanted,) = torch.autograd.grad(expected.surrogate.sum(), by_size)
    torch.testing.assert_close(grad.gather(-1, order), wanted, rtol=1e-12, atol=1e-12)
    assert wanted.abs().max() > 0.1


@pytest.mark.parametrize("name", ["arsm", "ars"])
def test_of_two_classes_swaps_are_arm(name: str) -> None:
    """(f(1[u > sigmoid(-e)]) - f(1[u < sigmoid(e)])) (u - 1/2), u being the noise of the first class."""
    logits = _logits(2.0, 3, 2).expand(50, 3, 2).clone().requires_grad_()
    q = build("categorical", [logits])
    f = _smooth(3, 2, _theta(), entropy=False)
    u = (-gumbel(q, 1, torch.Generator().manual_seed(1))).softmax(-1)[..., 0]
    e = (logits[..., 0] - logits[..., 1]).detach()
    on = _as_bits(f)
    gap = on((u > (-e).sigmoid()).double(), q) - on((u < e.sigmoid()).double(), q)
    wanted = (gap.detach().unsqueeze(-1) * (u - 0.5))[0]
    found = estimators.get(name).create()(q, f, generator=torch.Generator().manual_seed(1))
    (grad,) = torch.autograd.grad(found.surrogate.sum(), logits)
    torch.testing.assert_close(grad, torch.stack((wanted, -wanted), -1), rtol=1e-12, atol=1e-12)
    assert wanted.abs().max() > 0.1


def test_arsm_is_the_mean_of_ars_over_the_references() -> None:
    logits = _logits(2.0, 2, 4).expand(50, 2, 4).clone().requires_grad_()
    theta = _theta()
    f = _smooth(2, 4, theta, entropy=True)

    u = torch.rand(3, 50, 2, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))

    def found(name: str, *more: Tensor) -> list[Tensor]:
        estimator = estimators.get(name).create(samples=3)
        estimate = estimate_with(Table(u, *more), estimator, build("categorical", [logits]), f)
        return [*torch.autograd.grad(estimate.surrogate.sum(), (logits, theta)), estimate.value]

    merged = found("arsm")
    references = [found("ars", torch.full((3, 50), j)) for j in range(4)]
    for got, *parts in zip(merged, *references, strict=True):
        torch.testing.assert_close(got, torch.stack(parts).mean(0), rtol=1e-12, atol=1e-12)
    # The value and theta's gradient come from the draw that was not swapped, whatever the reference.
    torch.testing.assert_close(references[0][1:], references[3][1:], rtol=1e-12, atol=1e-12)


def _proposed(monkeypatch: pytest.MonkeyPatch, name: str, logits: Tensor, **options: str) -> Tensor:
    """The chances with which an estimator proposes to flip each bit of rows [B, D]."""
    seen: list[Tensor] = []

    def choose(log_chances: Tensor, *more: object) -> Tensor:
        seen.append(log_chances.softmax(-1))
        return flip_one(log_chances, *more)

    flip_one = bitflip.choose
    monkeypatch.setattr(bitflip, "choose", choose)
    estimators.get(name).create(**options)(build("bernoulli", [logits.requires_grad_()]), lambda z, q: z.sum(-1))
    (chances,) = seen
    return chances


def test_bits_are_proposed_all_alike_or_in_proportion_to_their_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    theta = torch.tensor([[0.5, 0.8, 0.1]], dtype=DOUBLE)
    uniform = _proposed(monkeypatch, "bitflip", theta.logit())
    torch.testing.assert_close(uniform, torch.full((1, 3), 1 / 3, dtype=DOUBLE))
    monkeypatch.undo()
    variance = torch.tensor([[0.25, 0.16, 0.09]], dtype=DOUBLE)
    torch.testing.assert_close(_proposed(monkeypatch, "bitflip", theta.logit(), proposal="variance"), variance / 0.5)


def test_ugc_flips_the_bits_whose_rarer_value_has_a_chance_below_half_of_one_in_d(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theta = torch.tensor([[0.4, 0.88, 0.13, 0.12], [0.4, 0.2, 0.5, 0.6]], dtype=DOUBLE)  # 1 / (2 D) = .125
    expected = torch.tensor([[0, 0.5, 0, 0.5], [0.25] * 4], dtype=DOUBLE)  # of no such bits any one, for nothing
    torch.testing.assert_close(_proposed(monkeypatch, "ugc", theta.logit()), expected)
