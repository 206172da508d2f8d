"""Control variates: identities draw by draw, exactness, orderings, and what own parameters learn."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

import estimators
from bench.measure import gradient_moments
from estimators import Estimator, Objective
from estimators.distributions import live, log_prob, sample, stopped
from estimators.exact import expectation
from tests.estimators.cases import build, flat, gradients, leaves, objective
from tests.estimators.drawing import hard, logistic_scores, uniform

THETA = torch.tensor(0.7, dtype=torch.float64)
DISCRETE = ("bernoulli", "categorical")
EVENTS = {"bernoulli": (3,), "categorical": (2, 3)}


def create(name: str, family: str, **options: object) -> Estimator:
    estimator = estimators.get(name).create(**options)
    return estimator.bind(event=EVENTS[family], generator=torch.Generator().manual_seed(1)).double()


def gradient(estimator: Estimator, family: str, values: list[Tensor], seed: int = 3) -> Tensor:
    f, generator = objective(family, THETA), torch.Generator().manual_seed(seed)
    estimate = estimator(build(family, values), f, generator=generator)
    return torch.autograd.grad(estimate.surrogate.sum(), values)[0]


def trained(estimator: Estimator, family: str, values: list[Tensor], steps: int) -> Estimator:
    """Some steps of Adam on the auxiliary loss, at fixed parameters of q."""
    optimiser = torch.optim.Adam(estimator.parameters(), lr=0.03)
    generator, f = torch.Generator().manual_seed(0), objective(family, THETA)
    estimator.train()
    for _ in range(steps):
        q = build(family, [v.detach().expand(32, *v.shape[1:]) for v in values])
        optimiser.zero_grad()
        estimator(q, f, generator=generator).auxiliary.mean().backward()
        optimiser.step()
    return estimator.eval()


def variance(estimator: Estimator, family: str, values: list[Tensor], draws: int = 20_000) -> float:
    f = objective(family, THETA)
    return gradient_moments(estimator, build(family, values), f, draws=draws, warm_up=0).total.estimate


def affine(family: str) -> Objective:
    weights = torch.linspace(-2, 3, 6 if family == "categorical" else 3, dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return flat(family, z) @ weights + 2

    return f


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("family", DISCRETE)
def test_rebar_without_scale_is_reinforce(family: str, samples: int) -> None:
    values = leaves(family, 1.0)
    got = gradient(create("rebar", family, samples=samples, scale=0.0, learn=False), family, values)
    if family == "categorical":
        expected = gradient(create("reinforce", family, samples=samples), family, values)
    else:  # its draws are made of the same noise in another way
        q = build(family, values)
        u = uniform(q, samples, torch.Generator().manual_seed(3))
        b = hard(logistic_scores(values[0], u / (1 - u)), categorical=False)
        cost = objective(family, THETA)(b, stopped(q))
        (expected,) = torch.autograd.grad((cost * log_prob(live(q), b)).mean(0).sum(), values)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("family", DISCRETE)
def test_relax_is_rebar_and_what_its_network_adds_to_the_score_function(family: str) -> None:
    values = leaves(family, 1.0)
    options = {"samples": 3, "temperature": 0.7}
    both, alone = create("relax-rebar", family, scale=0.6, **options), create("relax", family, **options)
    alone.surrogate.load_state_dict(both.surrogate.state_dict())
    rebar, score = (gradient(create("rebar", family, scale=s, **options), family, values) for s in (0.6, 0.0))
    added = gradient(alone, family, values) - score
    assert added.abs().max() > 0.01
    torch.testing.assert_close(gradient(both, family, values), rebar + added, atol=1e-12, rtol=1e-12)
    torch.nn.init.zeros_(both.surrogate.second)
    torch.testing.assert_close(gradient(both, family, values), rebar, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["double-cv", "rodeo"])
def test_without_scale_they_are_leave_one_out(name: str) -> None:
    values = leaves("bernoulli", 1.0)
    for samples in (2, 4):
        expected = gradient(create("rloo", "bernoulli", samples=samples), "bernoulli", values)
        got = gradient(create(name, "bernoulli", samples=samples), "bernoulli", values)
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


def additive(family: str) -> Objective:
    def f(z: Tensor, q: Distribution, /) -> Tensor:
        wave = torch.linspace(0.5, 2.5, z.shape[-1], dtype=torch.float64)
        return (wave * z.exp() + z.cos()).flatten(-len(EVENTS[family])).sum(-1)

    return f


@pytest.mark.parametrize(
    ("name", "family", "options", "make"),
    [
        ("local-expectation", "bernoulli", {}, additive),
        ("local-expectation", "categorical", {}, additive),
        ("muprop", "bernoulli", {}, affine),
        ("muprop", "categorical", {}, affine),
        ("double-cv", "bernoulli", {"scale": -1.0, "samples": 3}, affine),
    ],
)
def test_no_noise_is_left_where_f_is_affine_or_additive(
    name: str, family: str, options: dict[str, object], make: Callable[[str], Objective]
) -> None:
    for level in (0.0, 1.0, 6.0):
        values, f = leaves(family, level), make(family)
        exact = gradients(lambda v, family=family, f=f: expectation(build(family, v), f), values)[0]
        estimator = create(name, family, **options)
        moments = gradient_moments(estimator, build(family, values), f, draws=50, warm_up=0)
        assert moments.total.estimate < 1e-20
        torch.testing.assert_close(moments.mean, exact, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize(("family", "evaluations"), [("bernoulli", 4), ("categorical", 5)])
def test_local_expectation_beats_leave_one_out_at_large_logits(family: str, evaluations: int) -> None:
    values = leaves(family, 6.0, rows=1)
    local = create("local-expectation", family)
    assert estimators.get("local-expectation").evaluations(1, EVENTS[family]) == evaluations
    assert variance(local, family, values) < 0.01 * variance(
        create("rloo", family, samples=evaluations), family, values
    )


def test_learned_rebar_beats_leave_one_out_at_equal_evaluations() -> None:
    values = leaves("bernoulli", 1.0, rows=1)
    rebar = trained(create("rebar", "bernoulli"), "bernoulli", values, steps=200)
    assert variance(rebar, "bernoulli", values) < variance(create("rloo", "bernoulli", samples=3), "bernoulli", values)


@pytest.mark.parametrize(("name", "gain"), [("double-cv", 4.0), ("rodeo", 4.0)])
def test_learned_controls_beat_leave_one_out_by_far(name: str, gain: float) -> None:
    values = leaves("bernoulli", 1.0, rows=1)
    learned = trained(create(name, "bernoulli", samples=2), "bernoulli", values, steps=150)
    plain = create("rloo", "bernoulli", samples=2)
    assert gain * variance(learned, "bernoulli", values) < variance(plain, "bernoulli", values)


@pytest.mark.parametrize(
    ("name", "family", "options"),
    [
        ("rebar", "bernoulli", {}),
        ("rebar", "categorical", {}),
        ("relax", "bernoulli", {}),
        ("relax-rebar", "bernoulli", {}),
        ("relax-rebar", "categorical", {}),
        ("double-cv", "bernoulli", {"scale": 0.4, "samples": 3}),
        ("rodeo", "bernoulli", {"scale": 0.4, "samples": 3}),
    ],
)
def test_own_parameters_learn_by_the_squared_estimate(name: str, family: str, options: dict[str, object]) -> None:
    """Every number's slope is that of the squared estimate of one draw, by finite differences at the same noise."""
    values = leaves(family, 1.0)
    estimator = create(name, family, **options).train()
    f, noise = objective(family, THETA.clone().requires_grad_()), torch.Generator()
    loss = estimator(build(family, values), f, generator=noise.manual_seed(5)).auxiliary.sum()
    names, own = zip(*estimator.named_parameters(), strict=True)
    for which, slope in zip(names, torch.autograd.grad(loss, own), strict=True):
        index = int(slope.abs().flatten().argmax())
        ends = []
        for step in (1e-5, -1e-5):
            moved = copy.deepcopy(estimator)
            with torch.no_grad():
                dict(moved.named_parameters())[which].flatten()[index] += step
            ends.append(float(gradient(moved, family, values, seed=5).square().sum()))
        assert float(slope.flatten()[index]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8), which


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_optimal_baseline_is_the_ratio_of_earlier_steps(family: str) -> None:
    values, f = leaves(family, 1.0), objective(family, THETA)
    estimator = estimators.get("optimal-baseline").create(samples=50, decay=0.0).double().train()
    seen: list[Tensor] = []

    def watched(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append(z)
        return f(z, q)

    estimator(build(family, values), watched, generator=torch.Generator().manual_seed(0))
    q = build(family, values)
    cost = f(seen[0], stopped(q)).detach()
    per_draw = [p.detach().expand(50, *p.shape).clone().requires_grad_() for p in values]
    scores = torch.autograd.grad(log_prob(build(family, per_draw), seen[0]).sum(), per_draw)
    for own, ratio in zip(scores, (estimator.first, estimator.second), strict=False):
        wide = cost[(..., *(None for _ in range(own.dim() - 2)))]
        expected = (wide * own.square()).mean((0, 1)) / own.square().mean((0, 1))
        torch.testing.assert_close(ratio.value()[0], expected)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_optimal_baseline_takes_a_constant_away(family: str) -> None:
    values = leaves(family, 1.0)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return 0 * z.flatten(2).sum(-1) + 1000.0

    estimator = estimators.get("optimal-baseline").create().double().train()
    noise = torch.Generator().manual_seed(0)
    for step in range(2):
        estimate = estimator(build(family, values), f, generator=noise)
        size = max(float(g.abs().max()) for g in torch.autograd.grad(estimate.surrogate.sum(), values))
        assert (size > 10) if step == 0 else (size < 1e-6)


def test_rodeo_beside_sums_over_draws_and_flipped_bits() -> None:
    """With silent networks, h is f's linear extrapolation from the other draws alone."""
    logits = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64).requires_grad_()
    q, count, alpha, beta = Bernoulli(logits=logits), 3, 0.7, -0.4
    w, v = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), torch.tensor([0.3, 0.4, -1.0], dtype=torch.float64)

    def f(z: Tensor, q: Distribution) -> Tensor:
        return (z @ w).square() + torch.tanh(z @ v)

    def slope(z: Tensor) -> Tensor:
        return 2 * (z @ w) * w + (1 - torch.tanh(z @ v).square()) * v

    estimator = create("rodeo", "bernoulli", samples=count)
    for name, parameter in estimator.named_parameters():
        torch.nn.init.constant_(parameter, {"alpha": alpha, "beta": beta}.get(name, 0.0))
    found = estimator(q, f, generator=torch.Generator().manual_seed(3)).surrogate
    b = sample(q, count, torch.Generator().manual_seed(3))
    chance = logits.detach().sigmoid()

    def stein(h: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        total = torch.zeros_like(h(z))
        for i in range(3):
            neighbour = z.clone()
            neighbour[i] = 1 - z[i]
            total += (chance[i] if neighbour[i] == 1 else 1 - chance[i]) * (h(neighbour) - h(z))
        return total

    def extrapolated(k: int) -> Callable[[Tensor], Tensor]:
        others = [j for j in range(count) if j != k]
        return lambda z: sum(slope(b[j]) @ (z - b[j]) for j in others) / len(others)

    def of_scores(k: int) -> Callable[[Tensor], Tensor]:
        return lambda z: extrapolated(k)(z) * (z - chance)

    expected = torch.zeros(3, dtype=torch.float64)
    for k in range(count):
        others = [j for j in range(count) if j != k]
        level = sum(f(b[j], q) + alpha * stein(extrapolated(j), b[j]) for j in others) / len(others)
        expected += (f(b[k], q) - level) * (b[k] - chance)
        expected += beta * stein(of_scores(k), b[k])
    torch.testing.assert_close(torch.autograd.grad(found, logits)[0], expected / count)
