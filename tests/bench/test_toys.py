"""Toys: their values at every outcome, their q, their exact means and gradients, held against the formulas."""

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from bench.problems.toys import OBJECTIVES, ToyConfig, ToyPoint
from estimators.distributions import from_parameters, parameters

TARGET = 0.25
ROOT = math.sqrt(3)
A = [[math.cos(1 + i + j) / ROOT for j in range(3)] for i in range(3)]
GENERATOR = torch.Generator().manual_seed(3)  # three latents
FIRST, SECOND, SHIFT = (
    torch.randn(shape, generator=GENERATOR, dtype=torch.float64).tolist() for shape in ((3, 8), 8, 8)
)
TABLE = torch.randn(8, generator=torch.Generator().manual_seed(3), dtype=torch.float64).tolist()

Function = Callable[[Sequence[float]], float]


def _coupled(y: Sequence[float]) -> float:
    c = [v - TARGET for v in y]
    return sum(c[i] * A[i][j] * c[j] for i in range(3) for j in range(3))


def _network(y: Sequence[float]) -> float:
    unit = lambda u: math.tanh(2 * sum((y[i] - TARGET) * FIRST[i][u] for i in range(3)) / ROOT + SHIFT[u])  # noqa: E731
    return sum(SECOND[u] * unit(u) for u in range(8))


def _random(y: Sequence[float]) -> float:
    """Each corner of the cube by the product of its bits' weights; the first bit counts most."""
    corners = itertools.product((0, 1), repeat=3)
    weight = lambda corner: math.prod(v if bit else 1 - v for v, bit in zip(y, corner, strict=True))  # noqa: E731
    return sum(weight(corner) * value for corner, value in zip(corners, TABLE, strict=True)) - TARGET


DEFINITIONS: dict[str, Function] = {
    "quadratic": lambda y: sum((v - TARGET) ** 2 for v in y),
    "cubic": lambda y: sum((v - TARGET) ** 3 for v in y),
    "coupled": _coupled,
    "exp": lambda y: sum(math.exp(-TARGET * v**2) for v in y),
    "cos": lambda y: sum(math.cos(TARGET * v) for v in y),
    "network": _network,
    "random": _random,
}


def _point(objective: str, family: str, *, logit: float | None = None, scale: float | None = None) -> ToyPoint:
    swept = {"logits": (logit,)} if logit is not None else {"scales": (scale,)}
    categories = 3 if family == "categorical" else None
    given = {"objective": objective, "family": family, "latents": 3, "categories": categories, "target": TARGET}
    (point,) = ToyConfig(kind="toy", **given, **swept).points()
    return point


def test_every_toy_is_defined_here() -> None:
    assert set(DEFINITIONS) == set(OBJECTIVES)
    assert {name: toy.families for name, toy in OBJECTIVES.items() if len(toy.families) < 3} == {
        "network": ("bernoulli", "categorical"),
        "random": ("bernoulli",),
    }


@pytest.mark.parametrize("objective", DEFINITIONS)
def test_a_toy_of_bits_has_the_values_and_the_exact_gradient_of_its_formula(objective: str) -> None:
    """Relaxed bits too: off the corners f goes on by the same formula."""
    f = DEFINITIONS[objective]
    outcomes = list(itertools.product((0.0, 1.0), repeat=3))
    for logit in (0.0, 1.5, 6.0):
        toy = _point(objective, "bernoulli", logit=logit)
        q = toy.q()
        z = torch.tensor([*outcomes, (0.25, 0.5, 1.0), (0.9, 0.3, 0.2)], dtype=torch.float64)[:, None]
        expected = [f(row) for row in z[:, 0].tolist()]
        torch.testing.assert_close(toy.f()(z, q), torch.tensor(expected, dtype=torch.float64)[:, None])
        ups = [1 / (1 + math.exp(-sign * logit)) for sign in (1, -1, 1)]
        chances = [math.prod(u if bit else 1 - u for u, bit in zip(ups, row, strict=True)) for row in outcomes]
        mean = sum(p * f(row) for p, row in zip(chances, outcomes, strict=True))
        slopes = [
            sum(p * (row[i] - ups[i]) * f(row) for p, row in zip(chances, outcomes, strict=True)) for i in range(3)
        ]
        _holds(toy, [parameters(q)[0]], mean, [[slopes]])


@pytest.mark.parametrize("objective", [name for name in DEFINITIONS if name != "random"])
def test_a_toy_of_classes_has_the_values_and_the_exact_gradient_of_its_formula(objective: str) -> None:
    """Of three classes the values are 0, 1/2 and 1; latent i favours class i."""
    f, places = DEFINITIONS[objective], (0.0, 0.5, 1.0)
    outcomes = list(itertools.product(range(3), repeat=3))
    hot = torch.nn.functional.one_hot(torch.tensor(outcomes), 3).double()
    values = [f([places[c] for c in row]) for row in outcomes]
    for logit in (0.0, 1.5, 6.0):
        toy = _point(objective, "categorical", logit=logit)
        q = toy.q()
        torch.testing.assert_close(toy.f()(hot[:, None], q), torch.tensor(values, dtype=torch.float64)[:, None])
        likely, rare = (math.exp(part) / (math.exp(logit) + 2) for part in (logit, 0.0))
        chances = [math.prod(likely if i == c else rare for i, c in enumerate(row)) for row in outcomes]
        mean = sum(p * value for p, value in zip(chances, values, strict=True))
        slopes = [
            [
                sum(
                    p * ((row[i] == c) - (likely if i == c else rare)) * value
                    for p, row, value in zip(chances, outcomes, values, strict=True)
                )
                for c in range(3)
            ]
            for i in range(3)
        ]
        _holds(toy, [parameters(q)[0]], mean, [[slopes]])


S = 2.0
SPREAD = 1 + 2 * TARGET * S**2  # 3
DAMPED = math.exp(-((TARGET * S) ** 2) / 2)
LOCS = (0.5, 1.0, 0.5)
PEAKS = [math.exp(-TARGET * m**2 / SPREAD) / math.sqrt(SPREAD) for m in LOCS]
GAUSSIAN = {
    # Mean, and its slopes in loc and in scale, at loc .5, 1, .5 and scale 2: by hand where numbers stand.
    "quadratic": (0.0625 + 0.5625 + 0.0625 + 12, (0.5, 1.5, 0.5), (4, 4, 4)),
    "cubic": (3.015625 + 9.421875 + 3.015625, (12.1875, 13.6875, 12.1875), (3, 9, 3)),
    "coupled": (
        _coupled(LOCS) + S**2 * sum(A[i][i] for i in range(3)),
        [2 * sum(A[i][j] * (LOCS[j] - TARGET) for j in range(3)) for i in range(3)],
        [2 * S * A[i][i] for i in range(3)],
    ),
    "exp": (
        sum(PEAKS),
        [-2 * TARGET * m / SPREAD * peak for m, peak in zip(LOCS, PEAKS, strict=True)],
        [
            2 * TARGET * S * peak * (2 * TARGET * m**2 / SPREAD**2 - 1 / SPREAD)
            for m, peak in zip(LOCS, PEAKS, strict=True)
        ],
    ),
    "cos": (
        DAMPED * sum(math.cos(TARGET * m) for m in LOCS),
        [-TARGET * DAMPED * math.sin(TARGET * m) for m in LOCS],
        [-(TARGET**2) * S * DAMPED * math.cos(TARGET * m) for m in LOCS],
    ),
}


@pytest.mark.parametrize("objective", GAUSSIAN)
def test_a_gaussian_toy_has_the_values_mean_and_gradient_of_its_formula(objective: str) -> None:
    toy = _point(objective, "gaussian", scale=S)
    mean, *slopes = GAUSSIAN[objective]
    rows = [(-1.5, 0.0, 2.0), (0.25, 3.0, -0.5)]
    values = torch.tensor([[DEFINITIONS[objective](row)] for row in rows], dtype=torch.float64)
    torch.testing.assert_close(toy.f()(torch.tensor(rows, dtype=torch.float64)[:, None], toy.q()), values)
    _holds(toy, parameters(toy.q()), mean, [[part] for part in slopes])


def _holds(toy: ToyPoint, values: Sequence[Tensor], mean: float, slopes: Sequence[object]) -> None:
    """The exact mean of a row, and its gradient in q's parameters."""
    leaves = [p.detach().clone().requires_grad_() for p in values]
    found = toy.expectation(from_parameters(toy.family, *leaves))
    torch.testing.assert_close(found, torch.tensor([mean], dtype=torch.float64))
    gradients = torch.autograd.grad(found.sum(), leaves)
    expected = tuple(torch.tensor(part, dtype=torch.float64) for part in slopes)
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-12)


def test_q_is_one_row_at_the_sharpness_of_the_point() -> None:
    def q(family: str, **more: object) -> list[list[float]]:
        config = ToyConfig(kind="toy", objective="cubic", family=family, latents=4, **more)
        values = parameters(config.points()[0].q())
        assert all(p.dtype == torch.float64 and len(p) == 1 for p in values)
        return [p[0].tolist() for p in values]

    assert q("bernoulli", logits=(2.5,)) == [[2.5, -2.5, 2.5, -2.5]]
    assert q("gaussian", scales=(0.125,)) == [[0.5, 1.0, 0.5, 1.0], [0.125] * 4]
    likely, rare = 0.8, 0.1  # e^(log 8) = 8 to 1 and 1
    (found,) = q("categorical", categories=3, logits=(math.log(8),))
    for row, favoured in zip(found, (0, 1, 2, 0), strict=True):
        chances = [likely if c == favoured else rare for c in range(3)]
        assert [math.exp(value) for value in row] == pytest.approx(chances)


def test_a_toy_computes_in_the_precision_of_its_draws() -> None:
    for objective in DEFINITIONS:
        toy = _point(objective, "bernoulli", logit=1.0)
        z = torch.tensor([[[1.0, 0.0, 1.0]]])
        found = toy.f()(z, toy.q())
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(DEFINITIONS[objective]((1, 0, 1)), rel=1e-5)


def test_a_sweep_is_a_point_a_sharpness_under_one_label() -> None:
    config = ToyConfig(
        kind="toy", objective="cos", family="categorical", latents=2, categories=5, target=0.7, logits=(0, 3, 1)
    )
    points = config.points()
    assert [(p.logit, p.scale) for p in points] == [(0, None), (3, None), (1, None)]
    for point in points:
        assert (point.objective, point.latents, point.categories, point.target) == ("cos", 2, 5, 0.7)
        assert (point.label, point.bound) == ("cos/categorical-2x5/target-0.7", "elbo")
    assert (config.states(), config.bound, config.importance_samples) == (25, "elbo", None)
    wide = ToyConfig(kind="toy", objective="exp", family="gaussian", scales=(0.1, 2.0))
    assert [(p.logit, p.scale, p.target, p.latents) for p in wide.points()] == [
        (None, 0.1, 0.45, 4),
        (None, 2, 0.45, 4),
    ]
    assert (wide.states(), wide.label) == (None, "exp/gaussian-4")
    assert ToyConfig(kind="toy", objective="exp", family="bernoulli", latents=3, logits=(1,)).states() == 8
    assert ToyConfig(kind="toy", objective="exp", family="bernoulli", logits=(1,), label="mine").label == "mine"


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"scales": (1.0,)}, "a bernoulli toy is swept over logits"),
        ({"logits": (1.0,), "scales": (1.0,)}, "a bernoulli toy is swept over logits"),
        ({"family": "gaussian", "logits": (1.0,)}, "a gaussian toy is swept over scales"),
        ({"family": "gaussian", "scales": (0.0,)}, "greater than 0"),
        ({"logits": (-1.0,)}, "greater than or equal to 0"),
        ({"logits": (50.5,)}, "less than or equal to 50"),
        ({"logits": (1.0,), "categories": 3}, "categories belongs to categorical"),
        ({"family": "categorical", "logits": (1.0,)}, "categories belongs to categorical"),
        ({"family": "categorical", "logits": (1.0,), "categories": 1}, "greater than or equal to 2"),
        ({"logits": (1.0,), "latents": 0}, "greater than or equal to 1"),
        ({"family": "gaussian", "scales": (1.0,), "latents": 17}, "less than or equal to 16"),
        ({"logits": (1.0,), "latents": 17}, "less than or equal to 16"),
        (
            {"family": "categorical", "categories": 41, "latents": 3, "logits": (1.0,)},
            r"would take 41\^3 joint states, more than 65536",
        ),
        ({"objective": "exp", "logits": (1.0,), "target": -0.1}, "the exp toy takes target >= 0"),
        ({"objective": "random", "logits": (1.0,), "latents": 9}, "takes at most 8 latents, got 9"),
        (
            {"objective": "random", "family": "categorical", "categories": 2, "logits": (1.0,)},
            "the random toy is for bernoulli latents, not categorical",
        ),
        ({"objective": "cubic", "family": "gaussian", "scales": (float("inf"),)}, "finite number"),
        ({"logits": (0.0, 1.0, 0.0)}, "logits holds 0 more than once: give each once"),
        ({"logits": (0.0, -0.0)}, "logits holds 0 more than once: give each once"),
        ({"family": "gaussian", "scales": (0.5, 0.5)}, "scales holds 0.5 more than once: give each once"),
        ({"logits": tuple(i / 3 for i in range(101))}, "at most 100 items"),
        ({"table": 3, "logits": (1.0,)}, "the cubic toy has no random numbers: leave table = 3 out"),
    ],
)
def test_toys_that_make_no_sense_are_refused(factors: dict[str, object], message: str) -> None:
    given = {"kind": "toy", "objective": "cubic", "family": "bernoulli", "latents": 2} | factors
    with pytest.raises(ValidationError, match=message):
        ToyConfig(**given)


@pytest.mark.parametrize("objective", ["random", "network"])
def test_tables_of_random_numbers_are_other_toys_and_the_first_is_as_it_was(objective: str) -> None:
    given = {"kind": "toy", "objective": objective, "family": "bernoulli", "latents": 3, "logits": (1.0,)}
    first, again, third = (ToyConfig(**given, **more) for more in ({}, {"table": 0}, {"table": 3}))
    assert first.model_dump() == again.model_dump()
    assert "table" not in first.model_dump()  # so that published cells keep their ids
    assert "table" not in first.points()[0].model_dump()
    assert third.points()[0].model_dump()["table"] == 3
    assert [toy.default_label() for toy in (first, third)] == [
        f"{objective}/bernoulli-3",
        f"{objective}/bernoulli-3/table-3",
    ]
    z = torch.tensor([[[0.0, 1.0, 1.0]]], dtype=torch.float64)
    values = [float(toy.points()[0].f()(z, toy.points()[0].q())) for toy in (first, again, third)]
    assert values[0] == values[1] != values[2]


def test_the_limits_themselves_are_allowed() -> None:
    ToyConfig(kind="toy", objective="random", family="bernoulli", latents=8, logits=(0, 50))
    ToyConfig(kind="toy", objective="exp", family="gaussian", latents=16, target=0, scales=(3,))
    ToyConfig(kind="toy", objective="cos", family="categorical", latents=2, categories=64, logits=(1,))
    for latents, categories, family in ((16, None, "bernoulli"), (4, 16, "categorical")):
        toy = ToyConfig(kind="toy", objective="cos", family=family, latents=latents, categories=categories, logits=(1,))
        assert toy.states() == 65536
