"""Where rules do not do at once: cells that are cut further, products given up, and means by scrambled points."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators.integration import integrate
from estimators.integration.blocks import Normals, Single
from estimators.integration.placed import at, cells, coordinates
from estimators.integration.races import Race
from estimators.integration.regression import cross_fitted, features
from estimators.integration.scrambled import REPLICATES, Points, student
from estimators.noise import Noise
from tests.estimators.test_integration import Toy
from tests.estimators.test_integration_parts import Function

DOUBLE = torch.float64


def relaxed(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    """A function of two hard draws and of their relaxations, which interact."""
    z = (logits + noise.odds(2, logits).log()) / 0.5
    b, s = (z > 0).double(), z.sigmoid()
    return b.movedim(0, -1).flatten(-2), (b.prod(0) + 0.3) * (1 + s.sum(0)).square().log()


def exponential(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of three normal numbers, as skewed as they come."""
    return logits * 0, noise.normal(3, logits).sum(0).div(2).exp()


def score(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    """A cost times a score, of two normal numbers."""
    x, y = noise.normal(2, logits)
    return logits * 0, (x + y).tanh() * (x * x - 1) + (x - y) ** 3 * x


@pytest.mark.parametrize("function", [relaxed, exponential, score])
@pytest.mark.parametrize("count", [64, 256])
def test_errors_are_those_that_are_said(function: Function, count: int) -> None:
    """Over forty scramblings: as large as is said, and hardly ever beyond Student's t of 99.9 %."""
    logits = torch.tensor([[0.7], [-3.0]], dtype=DOUBLE)
    found = integrate(Toy(function, logits))
    assert found.moments.reasons == [None, None] and found.shape is not None
    both = torch.arange(2)
    every = [Points(found.shape, both, seed, 1e9).replicated(both, count) for seed in range(40)]
    off, error = (
        torch.stack(parts)[..., 0] for parts in ([e.mean - found.moments.mean for e in every], [e.error for e in every])
    )
    share = off.square().mean(0).sqrt() / error.square().mean(0).sqrt()
    assert bool((share > 0.7).all()) and bool((share < 1.4).all())
    assert float((off.abs() > student(math.log(1e-3), REPLICATES - 1) * error).double().mean()) <= 0.05
    assert bool((off.mean(0).abs() < 4 * off.std(0) / math.sqrt(40)).all())


def test_points_inside_regions_beat_points_over_all_noise() -> None:
    """At as many numbers of noise."""
    found = integrate(Toy(relaxed))
    assert found.shape is not None
    rows = torch.tensor([0, 1])
    inside, everywhere = (
        Points(found.shape, rows, 0, most).replicated(rows, count) for most, count in ((1e9, 64), (0.0, 4 * 64))
    )
    share = inside.error / everywhere.error
    assert float(share[0]) < 0.01 and float(share[1]) < 0.5  # at logits 0.7 and -3
    assert bool(((everywhere.mean - found.moments.mean[rows]).abs() < 6 * everywhere.error).all())
    torch.testing.assert_close(inside.variance, found.moments.variance[rows], rtol=0.1, atol=1e-4)


@pytest.mark.parametrize("domain", ["normal", "unit"])
@pytest.mark.parametrize(("dims", "degree"), [(1, 4), (2, 4), (5, 3), (9, 2)])
def test_features_are_orthonormal(domain: str, dims: int, degree: int) -> None:

    def points(count: int) -> Tensor:
        u = torch.quasirandom.SobolEngine(dims, scramble=True, seed=1).draw(count, dtype=DOUBLE).clamp(1e-9, 1 - 1e-9)
        return u if domain == "unit" else torch.special.ndtri(u)

    found = features(points(1024), [domain] * dims)
    assert found.shape == (1024, math.comb(dims + degree, dims))
    assert bool((found[:, 0] == 1).all())
    spread = features(points(2**16), [domain] * dims)[:, : 1 + dims]
    torch.testing.assert_close(spread.T @ spread / 2**16, torch.eye(1 + dims, dtype=DOUBLE), rtol=0, atol=0.05)
    assert float(found.mean(0)[1:].abs().max()) < 0.15


def test_polynomials_need_no_sampling() -> None:
    """Every replicate's mean of one is exact; of anything else all of them share the weight 1 of a constant."""
    u = torch.rand(REPLICATES * 64, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x, y = u.T
    weights = cross_fitted(features(u, ["unit", "unit"]), torch.ones(len(u), dtype=DOUBLE), REPLICATES)
    assert weights.shape == (len(u), REPLICATES)
    ninth = torch.full((REPLICATES,), 1 / 9, dtype=DOUBLE)
    torch.testing.assert_close(weights.T @ (x * y).square(), ninth, rtol=1e-5, atol=0)
    own = weights.unflatten(0, (REPLICATES, -1)).sum(1).diagonal()
    torch.testing.assert_close(own, torch.ones_like(own), rtol=1e-12, atol=0)


def test_no_point_of_its_own_fits_a_replicate() -> None:
    """What a replicate alone sees moves its own mean by its plain weight: otherwise that mean would be biased."""
    u = torch.rand(REPLICATES * 32, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    law = 0.5 + u[:, 0]
    weights = cross_fitted(features(u, ["unit", "normal", "unit"]), law, REPLICATES).unflatten(0, (REPLICATES, -1))
    for replicate in range(REPLICATES):
        plain = law.unflatten(0, (REPLICATES, -1))[replicate] / 32
        torch.testing.assert_close(weights[replicate, :, replicate], plain, rtol=1e-14, atol=0)


@pytest.mark.parametrize("often", [0.0, 0.25])
@pytest.mark.parametrize(
    "block",
    [
        Single.cut_at(0, 0, 2, torch.tensor([6.0, -1.0], dtype=DOUBLE)),
        Normals.of(0, (0,), 2, cut=False),
        Normals.of(0, (0,), 2, cut=True),
        Race.of(0, (0, 1, 2), torch.tensor([[0.0, 6.0, -1.0], [0.5, 0.0, 0.0]], dtype=DOUBLE)),
    ],
)
def test_points_keep_the_law_however_widely_they_are_drawn(block: Any, often: float) -> None:
    """Weighted means of a cell's chance, and of two moments of its first number, over all cells and in one region."""
    u = torch.quasirandom.SobolEngine(1 + block.axes, scramble=True, seed=3).draw(2**14, dtype=DOUBLE)
    u = u.clamp(1e-12, 1 - 1e-12)
    rows, wide, ones = torch.arange(2), range(block.axes), torch.ones(2, dtype=DOUBLE)
    found = coordinates(block, u[:, 1:], wide, often)
    (cell_of, share), weight = cells(block, u[:, 0], rows, 0.25), found.weight
    assert float(weight.max()) <= (1 - often) ** -block.axes * (1 + 1e-12)
    weights = share * weight[:, None]
    torch.testing.assert_close(weights.mean(0), ones, rtol=2e-3, atol=0)
    for cell in range(block.cells):
        torch.testing.assert_close((weights * (cell_of == cell)).mean(0), block.weight[cell], rtol=0.03, atol=1e-4)
    number = block.place(at(cell_of, found), rows)[0][..., 0]
    moments = [(weights * number**k).mean(0) for k in (1, 2)]
    expected = (0.0, 1.0) if isinstance(block, Normals) else (0.5, 1 / 3)
    for moment, value in zip(moments, expected, strict=True):
        torch.testing.assert_close(moment, value * ones, rtol=0.02, atol=0.01)
    for region in range(block.regions):
        inside, share = cells(block, u[:, 0], rows, 0.25, region)
        assert bool((block.region[inside] == region).all())
        torch.testing.assert_close((share * weight[:, None]).mean(0), ones, rtol=2e-3, atol=0)


@pytest.mark.parametrize("count", [64, 256])
def test_layers_next_to_a_cut_are_seen(count: int) -> None:
    """Half of what a relaxed bit of |logit| 15 adds lies within e^-15 of the end of a cell that comes nearly always."""
    logits = torch.tensor([[-6.0], [-10.0], [-15.0]], dtype=DOUBLE)

    def function(noise: Noise, given: Tensor) -> tuple[Tensor, Tensor]:
        z = (given + noise.odds(1, given)[0].log()) / 0.5
        return z > 0, z.sigmoid() * (1 + noise.uniform(1, given)[0].square())

    found = integrate(Toy(function, logits))
    assert found.moments.reasons == [None] * 3 and found.shape is not None
    rows = torch.arange(3)
    for seed in range(8):
        points = Points(found.shape, rows, seed, 1e9)
        assert points.inside
        one = points.replicated(rows, count)
        off = (one.mean - found.moments.mean).abs()
        assert bool((off <= student(math.log(1e-3), REPLICATES - 1) * one.error).all())
        assert bool((off < 0.3 * found.moments.mean).all())


def test_what_is_not_finite_is_not_found() -> None:
    moments = integrate(Toy(lambda noise, x: (x * 0, noise.normal(1, x)[0] * torch.nan))).moments
    assert set(moments.reasons) == {"it is not finite at all of its noise"}


def test_a_race_that_is_run_again_with_clocks_exchanged_is_cut_where_that_changes_it() -> None:
    """As ARS does it: two classes, whose noise is swapped. Both draws agree with chance 1 - 2 min(p, 1 - p)."""
    logits = torch.tensor([0.0, 0.7, 3.0, 6.0], dtype=DOUBLE)
    pairs = torch.stack((logits, torch.zeros_like(logits)), -1).unsqueeze(1)  # B x 1 x 2

    def function(noise: Noise, given: Tensor) -> tuple[Tensor, Tensor]:
        gumbel = noise.gumbel(1, given)[0]
        first, again = ((given + g).argmax(-1) for g in (gumbel, gumbel.flip(-1)))
        hard = torch.nn.functional.one_hot(torch.cat((first, again), -1), 2).double()
        return hard.flatten(-2), (first == again).double()

    found = integrate(Toy(function, pairs)).moments
    assert found.reasons == [None] * 4
    p = logits.sigmoid()
    torch.testing.assert_close(found.mean[:, 0], 1 - 2 * torch.minimum(p, 1 - p), rtol=1e-9, atol=0)


def test_rows_whose_products_are_too_large_are_given_up_and_the_others_found() -> None:
    """Five numbers that interact: a polynomial of them takes few nodes, a sharp function far too many."""
    sharp = torch.tensor([[0.0], [0.0], [30.0], [30.0]], dtype=DOUBLE)

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        u = noise.uniform(5, logits)
        return logits * 0, u.prod(0) + torch.where(logits > 0, (logits * (u.sum(0) - 2.5)).tanh(), 0.0)

    found = integrate(Toy(function, sharp)).moments
    assert found.reasons[:2] == [None, None]
    torch.testing.assert_close(found.mean[:2, 0], torch.full((2,), 2.0**-5, dtype=DOUBLE), rtol=1e-12, atol=0)
    for reason in found.reasons[2:]:
        assert reason is not None and reason.startswith("the product over its noise has more than ")


def test_a_normal_number_whose_sign_counts_is_cut_at_zero() -> None:
    """As in measure-valued derivatives: E[exp(-x); x > 0] - E[cos x; x < 0] = e^(1/2) Phi(-1) - e^(-1/2) / 2."""

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        x = noise.normal(1, logits)[0]
        return logits * 0, torch.where(x > 0, (-x).exp(), -x.cos())

    logits = torch.zeros(2, 1, dtype=DOUBLE)
    found = integrate(Toy(function, logits)).moments
    assert found.reasons == [None, None]
    half, minus_one = torch.tensor([0.5, -1.0], dtype=DOUBLE)
    expected = half.exp() * torch.special.ndtr(minus_one) - (-half).exp() / 2
    torch.testing.assert_close(found.mean, expected.expand(2, 1), rtol=1e-9, atol=0)
    assert float(found.tolerance.max()) < 1e-9


def test_layers_are_seen_in_every_copy_of_a_part() -> None:
    """Of samples with noise of their own the first alone is looked at; points all over the noise are as wide in all."""
    logits = torch.tensor([[-6.0], [-15.0]], dtype=DOUBLE)

    def function(noise: Noise, given: Tensor) -> tuple[Tensor, Tensor]:
        z = (given + noise.odds(3, given).log()) / 0.5
        return (z > 0).movedim(0, -1).flatten(-2), z.sigmoid().mean(0)

    found = integrate(Toy(function, logits))
    assert found.moments.reasons == [None, None] and found.shape is not None
    assert [len(part.copies) for part in found.shape.parts] == [3]
    rows = torch.arange(2)
    for seed in range(4):
        points = Points(found.shape, rows, seed, 0.0)
        assert not points.inside
        one = points.replicated(rows, 1024)
        off = (one.mean - found.moments.mean).abs()
        assert bool((off <= student(math.log(1e-3), REPLICATES - 1) * one.error).all())
        assert bool((off < 0.5 * found.moments.mean).all())
