"""Every registered estimator against the exact gradient, at |logit| 0, 3 and 6, in several dimensions."""

import pytest
import torch
from torch import Tensor

import estimators
from estimators.exact import expectation, expectation_of_bound
from estimators.registry import Entry
from tests.estimators.cases import FAMILIES, build, gradients, leaves, objective

DRAWS = 50_000  # at |logit| 6 the rarer value of a bit is drawn some 120 times
LIMIT = 5.0  # standard errors; of 1,500 coordinates one is beyond by chance in a thousandth of all runs

# The bound of a continuous q has no exact oracle here; its two estimators are held against each other below.
PAIRS = [
    (entry, family)
    for entry in estimators.available()
    for family in entry.families
    if (entry.bound, family) != ("iwae", "gaussian")
]


def _exact(entry: Entry, family: str, values: list[Tensor], theta: Tensor, samples: int) -> tuple[Tensor, ...]:
    f = objective(family, theta)
    if entry.bound == "elbo":
        return gradients(lambda v: expectation(build(family, v), f, nodes=24), values, (theta,))
    return gradients(lambda v: expectation_of_bound(build(family, v), f, samples), values, (theta,))


def _sampled(
    entry: Entry, family: str, values: list[Tensor], theta: Tensor, samples: int
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Draws of the gradient of each parameter [R, ...], the mean gradient of theta, and draws of the value."""
    estimator = entry.create(samples=samples).double().eval()
    copies = [v.detach().expand(DRAWS, *v.shape).clone().requires_grad_() for v in values]
    weights = theta.detach().expand(DRAWS, 1).clone().requires_grad_()  # a theta a draw, for its spread
    generator = torch.Generator().manual_seed(11)
    estimate = estimator(build(family, copies), objective(family, weights), generator=generator)
    *draws, own = torch.autograd.grad(estimate.surrogate.sum(), (*copies, weights))
    return draws, own, estimate.value


def _z(draws: Tensor, exact: Tensor) -> Tensor:
    error = draws.std(0) / DRAWS**0.5
    return ((draws.mean(0) - exact) / error.clamp_min(1e-12)).abs().max()


@pytest.mark.parametrize("sharpness", [0.0, 3.0, 6.0])
@pytest.mark.parametrize(("entry", "family"), PAIRS, ids=[f"{e.name}-{family}" for e, family in PAIRS])
def test_mean_is_the_exact_gradient_where_declared(entry: Entry, family: str, sharpness: float) -> None:
    samples = 2 if entry.samples.min <= 2 else entry.samples.min
    values, theta = leaves(family, sharpness), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    *exact, exact_theta = _exact(entry, family, values, theta, samples)
    draws, own, _ = _sampled(entry, family, values, theta, samples)
    largest = max(_z(d, e) for d, e in zip(draws, exact, strict=True))
    if entry.unbiased:
        assert largest < LIMIT
        assert _z(own, exact_theta) < LIMIT
    elif sharpness == 3.0:
        assert largest > 2 * LIMIT, "declared biased, and no bias to be seen"


@pytest.mark.parametrize("family", FAMILIES)
def test_value_estimates_the_expectation(family: str) -> None:
    values, theta = leaves(family, 1.0), torch.tensor(0.7, dtype=torch.float64)
    exact = expectation(build(family, values), objective(family, theta), nodes=24).detach()
    for entry in estimators.available(family=family, bound="elbo"):
        if entry.unbiased:
            _, _, value = _sampled(entry, family, values, theta, entry.samples.default)
            assert _z(value, exact) < LIMIT, entry.name


def test_the_unbiased_estimators_of_the_gaussian_bound_agree() -> None:
    values, theta = leaves("gaussian", 1.0), torch.tensor(0.7, dtype=torch.float64)
    entries = [entry for entry in estimators.available(family="gaussian", bound="iwae") if entry.unbiased]
    first, *others = [_sampled(entry, "gaussian", values, theta, 3)[0] for entry in entries]
    assert len(others) >= 2
    for other in others:
        for a, b in zip(first, other, strict=True):
            error = ((a.var(0) + b.var(0)) / DRAWS).sqrt()
            assert ((a.mean(0) - b.mean(0)) / error).abs().max() < LIMIT


def test_the_oracle_is_right_by_finite_differences() -> None:
    for family in FAMILIES:
        theta = torch.tensor(0.7, dtype=torch.float64)
        f = objective(family, theta)
        assert torch.autograd.gradcheck(
            lambda *v, family=family, f=f: expectation(build(family, list(v)), f), leaves(family, 1.0)
        )


def test_the_oracle_agrees_with_a_long_sum_written_out() -> None:
    """E over two bits of a table, and its gradient, by hand."""
    logits = torch.tensor([[0.4, -1.2]], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)

    def f(z: Tensor, q: object, /) -> Tensor:
        return table[z[..., 0].long(), z[..., 1].long()]

    a, b = logits.detach()[0].sigmoid()
    by_hand = (1 - a) * ((1 - b) * 1.0 + b * -2.0) + a * ((1 - b) * 0.5 + b * 3.0)
    slope = torch.stack(
        [
            a * (1 - a) * ((1 - b) * (0.5 - 1.0) + b * (3.0 + 2.0)),
            b * (1 - b) * ((1 - a) * (-2.0 - 1.0) + a * (3.0 - 0.5)),
        ]
    )
    value = expectation(build("bernoulli", [logits]), f)
    assert value.item() == pytest.approx(by_hand.item())
    torch.testing.assert_close(torch.autograd.grad(value.sum(), logits)[0][0], slope)


def test_too_many_states_are_refused() -> None:
    with pytest.raises(ValueError, match="too many to enumerate"):
        expectation(build("bernoulli", [torch.zeros(1, 40)]), lambda z, q: z.sum(-1))
