"""Noise that does not interact: its nodes add up, and the moments are those of the product of all."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from estimators.families import Enumerated, family_named
from estimators.integration import Evaluated, Source, integrate
from estimators.integration.integral import Integration
from estimators.noise import Noise
from tests.estimators.test_integration import CHANCE, LOGITS, Toy, nothing

DOUBLE = torch.float64
Function = Callable[[Noise, Tensor], tuple[Tensor, Tensor]]


def relaxed(samples: int, weights: Tensor | None = None) -> Function:
    """Relaxed bits of logistic noise, each sample a number of its own; their weighted sum."""

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        z = (logits + noise.odds(samples, logits).log()) / 0.5
        b, s = (z > 0).double(), z.sigmoid()
        own = torch.ones(samples, dtype=DOUBLE) if weights is None else weights
        return b.movedim(0, -1), torch.tensordot(own, b * s + s.square(), 1)

    return function


def parts(found: Integration) -> list[tuple[list[int], int]]:
    """Blocks of each part, and how many copies of it there are."""
    assert found.shape is not None
    return [(part.blocks, len(part.copies)) for part in found.shape.parts]


@pytest.mark.parametrize("samples", [3, 8])
def test_samples_with_noise_of_their_own_are_integrated_once(samples: int) -> None:
    """Mean and variance are S times those of one, with cells cut towards their ends for one of them alone."""
    one, many = (integrate(Toy(relaxed(s))) for s in (1, samples))
    assert many.moments.reasons == [None] * len(LOGITS)
    assert parts(many) == [([0], samples)]
    assert bool(((many.moments.mean - samples * one.moments.mean).abs() <= many.moments.tolerance).all())
    assert bool((many.moments.tolerance <= 1e-7).all())
    torch.testing.assert_close(many.moments.variance, samples * one.moments.variance, rtol=1e-6, atol=0)
    assert bool((many.moments.nodes <= one.moments.nodes).all())


def test_samples_that_weigh_differently_are_no_copies() -> None:
    """A term that counts twice for one sample alone is neither lost nor taken for all."""
    one = integrate(Toy(relaxed(1))).moments
    weights = torch.tensor([1.0, 2.0, 1.0], dtype=DOUBLE)
    many = integrate(Toy(relaxed(3, weights)))
    assert parts(many) == [([0], 2), ([1], 1)]
    assert bool(((many.moments.mean - 4 * one.mean).abs() <= many.moments.tolerance).all())
    torch.testing.assert_close(many.moments.variance, 6 * one.variance, rtol=1e-6, atol=0)


def test_normal_samples() -> None:
    """The mean of exp(x / 2) over six normal numbers: exp(1/8), with a sixth of the variance exp(1/2) - exp(1/4)."""
    found = integrate(Toy(lambda noise, x: (nothing(x), noise.normal(6, x).div(2).exp().mean(0))))
    assert parts(found) == [([0], 6)]
    ones = torch.ones(len(LOGITS), 1, dtype=DOUBLE)
    torch.testing.assert_close(found.moments.mean, ones * torch.tensor(1 / 8, dtype=DOUBLE).exp(), rtol=1e-11, atol=0)
    variance = (torch.tensor(0.5, dtype=DOUBLE).exp() - torch.tensor(0.25, dtype=DOUBLE).exp()) / 6
    torch.testing.assert_close(found.moments.variance, ones * variance, rtol=1e-9, atol=0)


def test_groups_inside_a_region() -> None:
    """b picks the function, u and v add up once b is known: E[b u + (1 - b) v^2 + b v] by hand."""

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        b = (noise.odds_to_compare(1, logits)[0] < logits.exp()).double()
        u, v, w = noise.uniform(3, logits).pow(1.5)
        return b, b * (u + v) + (1 - b) * v.square() * 4 + b * w.sin()

    found = integrate(Toy(function))
    assert found.shape is not None and found.moments.reasons == [None] * len(LOGITS)
    (part,) = found.shape.parts
    assert part.blocks == [0, 1, 2, 3] and sorted(part.groups) == [[1], [2], [3]]
    sine = torch.linspace(0, 1, 2_000_001, dtype=DOUBLE).pow(1.5).sin()
    expected = CHANCE * (4 / 5 + torch.trapezoid(sine, dx=5e-7)) + (1 - CHANCE) * 4 / 4
    torch.testing.assert_close(found.moments.mean, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("latents", [1, 2])
def test_samples_that_interact_where_few_points_are(latents: int) -> None:
    """An extra term where three uniform numbers are small together, one point in 64: it is not lost in silence."""

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        u = noise.uniform(3, logits)
        small = (u < 0.25).all(0)
        return nothing(logits), (u.square().sum(0) + 8.0 * small).sum(-1, keepdim=True)

    logits = torch.zeros(3, latents, dtype=DOUBLE)
    moments = integrate(Toy(function, logits)).moments
    exact = latents * (1 + 8 / 64)
    for row in range(3):
        off = abs(float(moments.mean[row]) - exact)
        assert moments.reasons[row] is not None or off <= 4 * float(moments.tolerance[row])


def test_products_of_samples_interact() -> None:
    """E[(u1 u2 u3)^2] is 1/27, and no sum of functions of one of them."""

    def function(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        return nothing(logits), noise.uniform(3, logits).prod(0).square()

    found = integrate(Toy(function))
    assert found.shape is not None and [part.groups for part in found.shape.parts] == [[[0, 1, 2]]]
    torch.testing.assert_close(found.moments.mean, torch.full((4, 1), 1 / 27, dtype=DOUBLE), rtol=1e-12, atol=0)


class Drawing(Toy):
    """A toy that says which outcomes its hard draws are to meet, bits or classes, one draw a sample."""

    def __init__(self, draw: Callable[[Noise, Tensor], Tensor], logits: Tensor, family: str) -> None:
        super().__init__(lambda noise, x: ((z := draw(noise, x)).movedim(0, -1), z.mean(0)), logits)
        self.draw, self.family = draw, family_named(family)
        assert isinstance(self.family, Enumerated)
        self.chances = self.family.outcome_chances(logits)

    def __call__(self, source: Source, rows: Tensor) -> Evaluated:
        found = super().__call__(source, rows)
        assert isinstance(self.family, Enumerated)
        again = Source(*source.rows, source.given, source.expected)
        with again:
            z = self.draw(again.noise(torch.Generator(), None), self.logits[rows].expand(source.rows[0], -1, -1))
        if source.given is None:
            return found._replace(met=torch.zeros(*source.rows, self.chances.shape[-1]))
        return found._replace(met=self.family.is_outcome(self.logits[rows], z).double().mean(0))


def rotated(samples: int) -> Callable[[Noise, Tensor], Tensor]:
    """Draws from u, u + 1/S and so on: those after the first are rare in windows far from the ends of a cell."""

    def draw(noise: Noise, logits: Tensor) -> Tensor:
        turned = noise.uniform(1, logits) + torch.arange(samples, dtype=DOUBLE).reshape(-1, 1, 1, 1) / samples
        return ((turned % 1.0) < logits.sigmoid()).double()

    return draw


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_rare_outcomes_in_windows_that_were_not_found(samples: int) -> None:
    """Of a sharp row nothing is said, as f meets the rare outcome too seldom; at |logit| 1 the mean is p."""
    sharp = integrate(Drawing(rotated(samples), torch.tensor([[-15.0]], dtype=DOUBLE), "bernoulli")).moments
    assert sharp.reasons[0] is not None and "less often than q has it" in sharp.reasons[0]
    mild = torch.tensor([[1.0]], dtype=DOUBLE)
    torch.testing.assert_close(
        integrate(Drawing(rotated(samples), mild, "bernoulli")).moments.mean, mild.sigmoid(), rtol=1e-9, atol=0
    )


def test_draws_that_meet_all_outcomes_pass() -> None:
    """Plain bits down to |logit| 15."""
    moments = integrate(
        Drawing(lambda noise, x: (noise.uniform(2, x) < x.sigmoid()).double(), LOGITS, "bernoulli")
    ).moments
    assert moments.reasons == [None] * len(LOGITS)
    torch.testing.assert_close(moments.mean, CHANCE, rtol=1e-9, atol=0)


def test_a_class_rarer_than_any_point_that_was_looked_at() -> None:
    """Clocks -log(1 - u) with two likely classes and one of e^-12: its chance is found to all digits."""
    logits = torch.tensor([[[0.0, -12.0, 0.0]]], dtype=DOUBLE)

    def function(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.rand(x.shape, dtype=DOUBLE)
        z = torch.nn.functional.one_hot((x - (-torch.log1p(-u)).log()).argmax(-1), 3)
        return z, z.double()[..., 0, :]

    moments = integrate(Toy(function, logits)).moments
    torch.testing.assert_close(moments.mean, logits[:, 0].softmax(-1), rtol=1e-9, atol=0)


@pytest.mark.parametrize("seed", range(6))
def test_a_pattern_of_all_samples_that_is_rare(seed: int) -> None:
    """Nine more bits are to be as in a mask: once in 512 times samples interact, which a mean that is found holds."""
    mask = torch.randint(2, (3, 1, 1, 3), generator=torch.Generator().manual_seed(seed)).double()
    logits = torch.tensor([[0.3, -0.4, 0.2]], dtype=DOUBLE)

    def function(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        z = (noise.uniform(4, x) < x.sigmoid()).double()
        hit = ((z[1:] - z[0]).abs() == mask).all(-1).all(0)
        return z.movedim(0, -2).flatten(-2), (z.sum((0, -1)) + 10.0 * hit).unsqueeze(-1)

    p = logits.sigmoid()[0]
    first = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 3)  # 8 x 3
    others = (mask[:, 0, 0] - first.unsqueeze(1)).abs()  # 8 x 3 x 3, what the other samples must be
    chance = (first * p + (1 - first) * (1 - p)).prod(-1) * (others * p + (1 - others) * (1 - p)).prod(-1).prod(-1)
    moments = integrate(Toy(function, logits)).moments
    if moments.reasons == [None]:
        assert float(moments.mean) == pytest.approx(4 * float(p.sum()) + 10 * float(chance.sum()), rel=1e-11)
