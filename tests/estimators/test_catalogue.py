"""What the papers say of each estimator: its formula draw by draw, what it asks of f, and who has less variance.

Identities hold draw by draw, or as sums over all outcomes of the noise; nothing here is sampled but where it says so.
"""

import inspect
import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators.base import Objective
from estimators.distributions import from_parameters, live, log_prob, sample, stopped
from estimators.exact import states
from estimators.iwae_score import log_sum_of_others, log_sum_with_geometric_mean
from estimators.noise import Noise
from estimators.objective import CountedObjective
from estimators.parts.baselines import BASELINES
from tests.estimators.cases import build, leaves, objective
from tests.estimators.drawing import (
    conditional_gumbel_scores,
    conditional_logistic_scores,
    gumbel_scores,
    hard,
    logistic_scores,
    normal,
    uniform,
)
from tests.estimators.tables import Table, deciding, estimate_with

DOUBLE = torch.float64
THETA = torch.tensor(0.7, dtype=DOUBLE)
DISCRETE = ("bernoulli", "categorical")
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradient(name: str, family: str, values: list[Tensor], f: Objective, seed: int = 3, **options) -> list[Tensor]:
    estimate = estimators.get(name).create(**options)(build(family, values), f, generator=seeded(seed))
    return list(torch.autograd.grad(estimate.surrogate.sum(), values))


def gradient_with(noise: Noise, name: str, family: str, values: list[Tensor], f: Objective, **options) -> list[Tensor]:
    estimate = estimate_with(noise, estimators.get(name).create(**options), build(family, values), f)
    return list(torch.autograd.grad(estimate.surrogate.sum(), values))


def rows_of(cost: Tensor, like: Tensor) -> Tensor:
    """Costs [S, *B], or [*B], with a dim of size one for each of the event's."""
    return cost.reshape(*cost.shape, *[1] * (like.dim() - cost.dim()))


def per_draw(family: str, values: list[Tensor], z: Tensor) -> tuple[Tensor, ...]:
    """Scores of z [S, *B, *event], draw by draw, with respect to each of q's parameters."""
    copies = [v.detach().expand(len(z), *v.shape).clone().requires_grad_() for v in values]
    return torch.autograd.grad(log_prob(build(family, copies), z).sum(), copies)


# What is asked of f

N, K, D, L, C = 4, 5, 3, 2, 3
"""Samples, samples of a bound, latents, latents of C categories each."""
COUNTS = ("poisson", "negative-binomial")
ALL = ("gaussian", *DISCRETE, *COUNTS)

COLUMNS: dict[str, tuple[bool, str, dict[str, int]]] = {
    "reparameterization": (True, "gradient of f", {"gaussian": N}),
    "sticking-the-landing": (True, "gradient of f", {"gaussian": N}),
    "antithetic-reparameterization": (True, "gradient of f", {"gaussian": N}),
    "quasi-monte-carlo": (True, "gradient of f", {"gaussian": N}),
    "reduced-variance-reparameterization": (True, "gradient of f", {"gaussian": N + 1}),
    "measure-valued": (True, "neither", {"gaussian": N * (3 * D + 1)}),
    "delta-method": (True, "gradient of f", {"gaussian": N + 1}),
    "lax": (True, "neither", {"gaussian": N}),
    "reinforce": (True, "neither", dict.fromkeys(ALL, N)),
    "optimal-baseline": (True, "neither", dict.fromkeys(ALL, N)),
    "rloo": (True, "neither", dict.fromkeys(ALL, N)),
    "exact": (True, "neither", {"bernoulli": 2**D, "categorical": C**L}),
    "local-expectation": (True, "neither", {"bernoulli": N * (D + 1), "categorical": N * (L * (C - 1) + 1)}),
    "muprop": (True, "relaxed f", {"bernoulli": N + 1, "categorical": N + 1}),
    # z~ is z in value, where the papers evaluate f at both.
    "rebar": (True, "relaxed f", {"bernoulli": 2 * N, "categorical": 2 * N}),
    "relax": (True, "neither", {"bernoulli": N, "categorical": N}),
    "relax-rebar": (True, "relaxed f", {"bernoulli": 2 * N, "categorical": 2 * N}),
    "augment-reinforce": (True, "neither", {"bernoulli": N}),
    "arm": (True, "neither", {"bernoulli": N}),
    "disarm": (True, "neither", {"bernoulli": N}),
    "arms": (True, "neither", {"bernoulli": N}),
    "bitflip": (True, "neither", {"bernoulli": N}),
    "ugc": (True, "neither", {"bernoulli": 3 * N // 2}),
    "double-cv": (True, "gradient of f", {"bernoulli": N}),
    "rodeo": (True, "gradient of f", {"bernoulli": N}),
    "straight-through": (False, "gradient of f", {"bernoulli": N, "categorical": N}),
    "gumbel-sigmoid": (False, "relaxed f", {"bernoulli": N}),
    "straight-through-gumbel-sigmoid": (False, "gradient of f", {"bernoulli": N}),
    "reinmax": (False, "gradient of f", {"bernoulli": N, "categorical": N}),
    "zgr": (False, "gradient of f", {"bernoulli": N, "categorical": N}),
    "score-no-entropy": (False, "neither", {"bernoulli": N}),
    "unordered-set": (True, "neither", {"categorical": N}),
    "rao-blackwell-top-k": (True, "neither", {"categorical": L * C}),
    "ars": (True, "neither", {"categorical": N * C}),
    "arsm": (True, "neither", {"categorical": N * (C * (C - 1) // 2 + 1)}),
    "disarm-stick-breaking": (True, "neither", {"categorical": N}),
    "disarm-tree": (True, "neither", {"categorical": N}),
    "carms": (True, "neither", {"categorical": N}),
    "gumbel-softmax": (False, "relaxed f", {"categorical": N}),
    "straight-through-gumbel-softmax": (False, "gradient of f", {"categorical": N}),
    "gumbel-rao": (False, "gradient of f", {"categorical": N}),
    "gapped-straight-through": (False, "gradient of f", {"categorical": N}),
    "reinmax-rao": (False, "gradient of f", {"categorical": N}),
    "mve": (False, "gradient of f", {"categorical": N}),
    "mve-int": (False, "gradient of f", {"categorical": N}),
    "measure-valued-counts": (True, "neither", dict.fromkeys(COUNTS, N * (D + 1))),
    "fini": (False, "gradient of f", {"poisson": N}),
    "exponential-arrivals": (False, "relaxed f", {"poisson": N}),
    "iwae-reparameterization": (True, "gradient of f", {"gaussian": K}),
    "iwae-sticking-the-landing": (False, "gradient of f", {"gaussian": K}),
    "dreg": (True, "gradient of f", {"gaussian": K}),
    "iwae-score": (True, "neither", dict.fromkeys(ALL, K)),
    "vimco": (True, "neither", dict.fromkeys(ALL, K)),
    "ovis": (True, "neither", dict.fromkeys(ALL, K)),
    "reweighted-wake-sleep": (False, "neither", dict.fromkeys(ALL, K)),
    "disarm-iwae": (True, "neither", {"bernoulli": 2 * K}),
    "arms-iwae": (True, "neither", {"bernoulli": 2 * K}),
}
"""Unbiased or not, what is asked of f beyond its values at draws, and evaluations of f, as the papers have them."""


@pytest.mark.parametrize("name", COLUMNS)
def test_bias_needs_and_evaluations_are_those_of_the_papers(name: str) -> None:
    """Evaluations are counted; the bias and the needs that are declared here are measured by the certificates."""
    unbiased, needs, evaluations = COLUMNS[name]
    entry = estimators.get(name)
    assert (entry.unbiased, entry.needs) == (unbiased, needs)
    assert tuple(family for family in entry.families if family in ALL) == tuple(evaluations)
    for family, expected in evaluations.items():
        counted = CountedObjective(objective(family, THETA))
        samples = N if entry.bound == "elbo" else K
        event = (L, C) if family == "categorical" else (D,)
        estimator = entry.create(samples=samples).bind(event=event).double()
        estimator(build(family, leaves(family, 1.0)), counted, generator=seeded())
        assert counted.evaluations == expected, family
        assert entry.enumerates or entry.evaluations(samples, event) == expected, family


TEMPERED = {"temperature": 0.5, "final_temperature": None, "anneal_steps": None, "anneal_every": 1}
OF_A_BASELINE = {"baseline": "none", "decay": None, "hidden": None, "variance_normalisation": None}
DEFAULTS = {
    "arms": {"copula": "dirichlet"},
    "arms-iwae": {"copula": "dirichlet"},
    "bitflip": {"proposal": "uniform"},
    "carms": {"copula": "dirichlet"},
    "delta-method": {"order": 2},
    "disarm-stick-breaking": {"order": "given"},
    "double-cv": {"scale": 0.0},
    "exponential-arrivals": {**TEMPERED, "temperature": 0.1, "indicator": "sigmoid", "arrivals": 50},
    "gapped-straight-through": {"gap": 1.0, **TEMPERED, "temperature": 1.0},
    "gumbel-rao": {"inner": 10, **TEMPERED},
    "gumbel-sigmoid": TEMPERED,
    "gumbel-softmax": TEMPERED,
    "lax": {"hidden": 32},
    "mve": {**TEMPERED, "temperature": 1.0},
    "mve-int": {**TEMPERED, "temperature": 1.0},
    "optimal-baseline": {"decay": 0.9},
    "ovis": {"gamma": 0.0},
    "rao-blackwell-top-k": {"baseline": "none"},
    "rebar": {"temperature": 0.5, "scale": 1.0, "learn": True, "coupled": True},
    "reinforce": OF_A_BASELINE,
    "reinmax": {"temperature": 1.0},
    "reinmax-rao": {"inner": 10, **TEMPERED, "temperature": 1.0},
    "relax": {"temperature": 0.5, "hidden": 100},
    "relax-rebar": {"temperature": 0.5, "scale": 1.0, "hidden": 100},
    "rodeo": {"scale": 0.0, "hidden": 32},
    "score-no-entropy": OF_A_BASELINE,
    "straight-through-gumbel-sigmoid": TEMPERED,
    "straight-through-gumbel-softmax": TEMPERED,
    "vimco": {"mean": "geometric"},
}
"""What an estimator takes where its label says nothing: of those left out it has no options."""
OF_BASELINES = {
    "none": {},
    "moving-average": {"decay": 0.9},
    "input-dependent": {"decay": 0.8, "hidden": 100, "variance_normalisation": False},
    "leave-one-out": {},
}


def defaults(cls: type) -> dict[str, object]:
    """Options of a class but its samples, in order, and what they are where they are not given."""
    return {name: p.default for name, p in inspect.signature(cls).parameters.items() if name != "samples"}


def test_options_have_the_defaults_that_labels_leave_out() -> None:
    """Labels and ids of cells hold what is given alone: with another default they would stand for other numbers."""
    found = {entry.name: defaults(entry.cls) for entry in estimators.available()}
    assert {name: options for name, options in found.items() if options} == DEFAULTS
    assert {name: defaults(kind) for name, kind in BASELINES.items()} == OF_BASELINES


# Formulas, draw by draw


def test_ar_and_arm_are_their_printed_formulas() -> None:
    values, f = leaves("bernoulli", 1.0, rows=50), objective("bernoulli", THETA)
    q = stopped(build("bernoulli", values))
    (u,) = uniform(q, 1, seeded())
    on, off = (u < q.logits.sigmoid()).double(), (u > (-q.logits).sigmoid()).double()
    at_on, at_off = (f(b[None], q)[0][:, None] for b in (on, off))
    expected = {"augment-reinforce": at_on * (1 - 2 * u), "arm": (at_off - at_on) * (u - 0.5)}
    for name, wanted in expected.items():
        (found,) = gradient(name, "bernoulli", values, f, samples=1 if name == "augment-reinforce" else 2)
        torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("proposal", ["uniform", "variance"])
def test_bitflip_is_its_printed_formula(proposal: str) -> None:
    """theta_i (1 - theta_i) / pi_i (f(b_i = 1) - f(b_i = 0)) at the bit that is chosen, 0 at the others."""
    values, f = leaves("bernoulli", 2.0, rows=6), objective("bernoulli", THETA)
    q = stopped(build("bernoulli", values))
    chosen = torch.eye(3, dtype=DOUBLE)[torch.arange(6) % 3]
    u = uniform(q, 1, seeded())
    noise = Table(deciding("categorical", chosen[None]), u)
    (found,) = gradient_with(noise, "bitflip", "bernoulli", values, f, proposal=proposal)
    (b,) = u < q.logits.sigmoid()
    variance = q.probs * (1 - q.probs)
    for row in range(6):
        i = row % 3
        one, zero = (b.double().index_fill(1, torch.tensor([i]), value) for value in (1.0, 0.0))
        chance = 1 / 3 if proposal == "uniform" else float(variance[row, i] / variance[row].sum())
        wanted = torch.zeros(3, dtype=DOUBLE)
        wanted[i] = variance[row, i] / chance * (f(one[None], q)[0, row] - f(zero[None], q)[0, row])
        torch.testing.assert_close(found[row], wanted, **EXACT)


@pytest.mark.parametrize(
    ("name", "family", "options"),
    [
        ("local-expectation", "bernoulli", {}),
        ("local-expectation", "categorical", {}),
        # Of all classes, top-k is the local expectation too.
        *(
            ("rao-blackwell-top-k", "categorical", {"samples": samples, "baseline": baseline})
            for samples, baseline in itertools.product((3, 5), ("none", "top"))
        ),
    ],
)
def test_local_expectations_are_the_gradient_of_the_mean_over_each_latent(
    name: str, family: str, options: dict[str, object]
) -> None:
    values, f = [v.detach().requires_grad_() for v in leaves(family, 2.0, rows=20)], objective(family, THETA)
    q = stopped(build(family, values))
    z, total = sample(q, 1, seeded()), torch.zeros((), dtype=DOUBLE)
    p = mean_of(family, values)
    for i in range(values[0].shape[1]):
        if family == "bernoulli":
            choices = [(p[:, i], torch.tensor(1.0)), (1 - p[:, i], torch.tensor(0.0))]
        else:
            choices = list(zip(p[:, i].T, torch.eye(3), strict=True))
        for chance, value in choices:
            there = z.clone()
            there[:, :, i] = value.double()
            total = total + (chance * f(there, q)[0]).sum()
    (wanted,) = torch.autograd.grad(total, values)
    torch.testing.assert_close(gradient(name, family, values, f, **options)[0], wanted, **EXACT)


def mean_of(family: str, values: list[Tensor]) -> Tensor:
    return values[0].softmax(-1) if family == "categorical" else values[0].sigmoid()


@pytest.mark.parametrize("family", DISCRETE)
def test_muprop_is_its_printed_formula(family: str) -> None:
    """(f(b) - f(m) - f'(m) (b - m)) s + f'(m) dm."""
    values, f = [v.detach().requires_grad_() for v in leaves(family, 1.0)], objective(family, THETA)
    q = stopped(build(family, values))
    b = sample(q, 1, seeded())
    m = mean_of(family, values).detach()[None].requires_grad_()
    there = f(m, q)
    (slope,) = torch.autograd.grad(there.sum(), m)
    rest = (f(b, q) - there - (slope * (b - m)).flatten(2).sum(-1)).detach()
    (through,) = torch.autograd.grad((slope[0] * mean_of(family, values)).sum(), values)
    wanted = (rows_of(rest, b) * per_draw(family, values, b)[0])[0] + through
    torch.testing.assert_close(gradient("muprop", family, values, f)[0], wanted, **EXACT)


def test_lax_is_its_printed_formula() -> None:
    """(f(z) - c(z)) s + dc(z(loc, scale))."""
    values, f = leaves("gaussian", 1.0), objective("gaussian", THETA)
    lax = estimators.get("lax").create().bind(event=(3,), generator=seeded(1)).double()
    estimate = lax(build("gaussian", values), f, generator=seeded())
    found = torch.autograd.grad(estimate.surrogate.sum(), values)
    loc, scale = values
    path = loc + scale * normal(build("gaussian", values), 1, seeded())
    control = lax.network(path)
    through = torch.autograd.grad(control.sum(), values)
    z = path.detach()
    rest = (f(z, stopped(build("gaussian", values))) - control).detach()
    for got, s, own in zip(found, per_draw("gaussian", values, z), through, strict=True):
        torch.testing.assert_close(got, (rest[..., None] * s)[0] + own, **EXACT)


def conditional_noise(family: str, logits: Tensor, u: Tensor) -> Tensor:
    """The v that leads to the same scores as u, given the draw that they decide for."""
    if family == "bernoulli":
        return torch.where(u > (-logits).sigmoid(), (1 - u) / logits.sigmoid(), u / (-logits).sigmoid())
    p, arrival = logits.softmax(-1), -u.log()
    first = (arrival / p).amin(-1, keepdim=True)  # minus the logarithm of it is the largest score
    later = arrival - p * first
    return torch.where(arrival / p == first, -first, -later).exp()


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
@pytest.mark.parametrize("family", DISCRETE)
def test_rebar_is_its_printed_formula(family: str, temperature: float, coupled: bool) -> None:
    """(f(b) - eta f(z~)) s + eta d(f(z) - f(z~)), relaxed; coupled, v is made of u by the conditional law."""
    f, scale, noise = objective(family, THETA), 0.7, seeded()
    values = [v.detach().requires_grad_() for v in leaves(family, 1.0, rows=20)]
    q = stopped(build(family, values))
    u = uniform(q, 1, noise)
    v = conditional_noise(family, q.logits, u) if coupled else uniform(q, 1, noise)
    categorical = family == "categorical"
    z = (gumbel_scores if categorical else logistic_scores)(values[0], u / (1 - u))
    b = hard(z, categorical=categorical)
    again = (conditional_gumbel_scores if categorical else conditional_logistic_scores)(values[0], b, v / (1 - v))
    if coupled:
        torch.testing.assert_close(again, z, rtol=1e-11, atol=1e-11)
    at_z, at_again = (f(mean_of(family, [x / temperature]), q) for x in (z, again))
    (through,) = torch.autograd.grad(scale * (at_z - at_again).sum(), values)
    rest = (f(b, q) - scale * at_again).detach()
    wanted = (rows_of(rest, b) * per_draw(family, values, b)[0])[0] + through
    rebar = estimators.get("rebar").create(coupled=coupled).double()
    torch.nn.init.constant_(rebar.scale, scale)
    torch.nn.init.constant_(rebar.log_temperature, math.log(temperature))
    estimate = rebar(build(family, values), f, generator=seeded())
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), values)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("family", DISCRETE)
def test_coupled_noise_is_uniform_given_the_draw(family: str) -> None:
    """Kolmogorov and Smirnov, sampled: without that REBAR would be biased."""
    logits = torch.tensor([1.3, -0.4, 0.2], dtype=DOUBLE).expand(1, 50_000, 3)
    if family == "categorical":
        logits = logits.unsqueeze(-2)
    u = uniform(from_parameters(family, logits[0]), 1, seeded())
    v = conditional_noise(family, logits, u).reshape(-1, 3)
    scores = (gumbel_scores if family == "categorical" else logistic_scores)(logits, u / (1 - u))
    b = hard(scores, categorical=family == "categorical").reshape(-1, 3)
    for i, value in itertools.product(range(3), (0.0, 1.0)):
        assert stats.kstest(v[b[:, i] == value, i].numpy(), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("family", DISCRETE)
def test_coupled_rebar_has_less_variance_where_q_is_sharp(family: str) -> None:
    """Sampled; near |logit| 0 it is the other way round, by a fifth."""
    q, f = build(family, leaves(family, 6.0, rows=1)), objective(family, THETA)
    coupled, independent = (
        gradient_moments(estimators.get("rebar").create(learn=False, coupled=c), q, f, draws=40_000).total.estimate
        for c in (True, False)
    )
    assert coupled < 0.85 * independent


def test_bits_of_second_order_are_half_the_distance_times_the_slope() -> None:
    """ReinMax and ZGR are |b - theta| f'(b) / 2, straight-through theta (1 - theta) f'(b)."""
    for level in (0.0, 1.0, 6.0):
        values, f = leaves("bernoulli", level, rows=40), objective("bernoulli", THETA)
        q = stopped(build("bernoulli", values))
        b = sample(q, 1, seeded()).requires_grad_()
        (slope,) = torch.autograd.grad(f(b, q).sum(), b)
        expected = {
            "reinmax": (b - q.probs).abs() / 2,
            "zgr": (b - q.probs).abs() / 2,
            "straight-through": (q.probs * (1 - q.probs))[None],
        }
        for name, weight in expected.items():
            (found,) = gradient(name, "bernoulli", values, f)
            torch.testing.assert_close(found, (weight * slope)[0].detach(), **EXACT)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("family", DISCRETE)
def test_straight_through_of_relaxed_draws_is_its_printed_formula(family: str, temperature: float) -> None:
    """The gradient of f at the hard draws, through the relaxation of the scores that decided for them."""
    values, f = [v.detach().requires_grad_() for v in leaves(family, 1.0)], objective(family, THETA)
    q, seen = stopped(build(family, values)), []

    def watched(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append(z)
        return f(z, q)

    u = uniform(q, N, seeded())
    scores = (gumbel_scores if family == "categorical" else logistic_scores)(q.logits, u / (1 - u))
    z = hard(scores, categorical=family == "categorical").requires_grad_()
    (slope,) = torch.autograd.grad(f(z, q).sum(), z)
    soft = mean_of(family, [scores / temperature])
    other = (soft * slope).sum(-1, keepdim=True) if family == "categorical" else soft * slope
    name = "straight-through-gumbel-softmax" if family == "categorical" else "straight-through-gumbel-sigmoid"
    (found,) = gradient_with(Table(u), name, family, values, watched, samples=N, temperature=temperature)
    torch.testing.assert_close(found, (soft * (slope - other) / temperature).mean(0), **EXACT)
    assert torch.equal(seen[0], z)


@pytest.mark.parametrize("family", ["gaussian", *DISCRETE])
def test_leave_one_out_is_the_gradient_of_half_the_variance_of_f(family: str) -> None:
    """VarGrad: where f depends on q through + log q alone, and z is held fixed."""
    values, f = leaves(family, 1.0), objective(family, THETA)
    q = build(family, values)
    wanted = torch.autograd.grad(0.5 * f(sample(q, N, seeded()), live(q)).var(0).sum(), values)
    for got, expected in zip(gradient("rloo", family, values, f, samples=N), wanted, strict=True):
        torch.testing.assert_close(got, expected, **EXACT)


# Identities


def over_states(name: str, family: str, value: Tensor, f: Objective) -> tuple[Tensor, Tensor]:
    """The gradient [N, *event] at each joint state as the one draw, and the chances [N] of the states."""
    q = from_parameters(family, value)
    z = states(q).reshape(-1, *value.shape[1:])
    rows = value.detach().expand(z.shape).clone().requires_grad_()
    (found,) = gradient_with(Table(deciding(family, z[None])), name, family, [rows], f)
    return found, log_prob(q, z[:, None]).exp()[:, 0].detach()


@pytest.mark.parametrize("family", DISCRETE)
@pytest.mark.parametrize("level", [0.0, 2.0, 6.0])
def test_local_expectation_is_the_score_function_averaged_over_each_latent(family: str, level: float) -> None:
    """Rao and Blackwell: given the other latents it is the mean of the score function, and so has less variance."""
    (value,), f = leaves(family, level, rows=1), objective(family, THETA)
    local, chances = over_states("local-expectation", family, value, f)
    plain, _ = over_states("reinforce", family, value, f)
    z = states(build(family, [value])).reshape(-1, *value.shape[1:])
    for i in range(value.shape[1]):
        others = torch.cat((z[:, :i], z[:, i + 1 :]), 1).flatten(1)
        same = (others[:, None] == others).all(-1).double() * chances  # N x N
        mean = same @ plain[:, i].reshape(len(z), -1) / same.sum(1, keepdim=True)
        torch.testing.assert_close(local[:, i].reshape(len(z), -1), mean, **EXACT)
    second = [chances @ g.flatten(1).square() for g in (local, plain)]
    assert bool((second[0] < second[1]).all())


def test_top_k_has_less_variance_the_more_classes_are_summed() -> None:
    """Liu et al. 2018, of one latent: from the score function's down to none, each class of the rest a row."""
    logits, classes = torch.tensor([0.7, -0.5, 1.0, 0.1], dtype=DOUBLE), 4
    w = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=DOUBLE)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return z[..., 0, :] @ w

    p = logits.softmax(-1)
    exact = p * (w - p @ w)
    score = torch.eye(classes, dtype=DOUBLE) - p  # of each class
    second = [float((p * (w[:, None] * score).square().sum(1)).sum())]
    for samples in (2, 3, 4):
        top = logits.topk(samples - 1).indices
        rest = [c for c in range(classes) if c not in top]
        rows = logits.expand(len(rest), 1, classes).clone().requires_grad_()
        each = torch.eye(classes, dtype=DOUBLE)[rest][None, :, None]  # 1 x R x 1 x C, each class of the rest
        left = p[rest].sum()
        chances = p[rest] / left
        of_top = (p[top] @ w[top]) / p[top].sum()
        for baseline, b in (("top", of_top), ("none", 0.0)):
            noise = Table(torch.full(each.shape, 0.5), deciding("categorical", each))
            found = gradient_with(
                noise, "rao-blackwell-top-k", "categorical", [rows], f, samples=samples, baseline=baseline
            )[0][:, 0]
            wanted = (p[top, None] * (w - b)[top, None] * score[top]).sum(0)
            torch.testing.assert_close(found, wanted + left * (w - b)[rest, None] * score[rest], **EXACT)
            torch.testing.assert_close(chances @ found, exact, **EXACT)
        second.append(float(chances @ found.square().sum(1)))
    assert second[0] > 1.2 * second[1] > 1.2**2 * second[2] > 1.2**3 * second[3]
    assert second[3] == pytest.approx(float(exact.square().sum()), abs=1e-12)


def test_gumbel_rao_of_one_is_straight_through_gumbel_softmax_at_the_same_scores() -> None:
    values, f = [v.detach().requires_grad_() for v in leaves("categorical", 1.0)], objective("categorical", THETA)
    q = stopped(build("categorical", values))
    u = uniform(q, N, seeded())
    same = Table(u, conditional_noise("categorical", q.logits, u))
    (found,) = gradient_with(same, "gumbel-rao", "categorical", values, f, samples=N, inner=1, temperature=0.6)
    name = "straight-through-gumbel-softmax"
    (wanted,) = gradient_with(Table(u), name, "categorical", values, f, samples=N, temperature=0.6)
    torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("cold", [0.1, 1.0])
def test_gumbel_rao_averages_jacobians_and_nothing_else(cold: float) -> None:
    """K sets of scores give the mean of what each of them gives alone: all K have the bias of one."""
    values, f = [v.detach().requires_grad_() for v in leaves("categorical", 1.0)], objective("categorical", THETA)
    q = build("categorical", values)
    u, several = uniform(q, 1, seeded()), uniform(q, 5, seeded(1))
    found = []
    for v in (several, *several.split(1)):
        found += gradient_with(Table(u, v), "gumbel-rao", "categorical", values, f, inner=len(v), temperature=cold)
    torch.testing.assert_close(found[0], torch.stack(found[1:]).mean(0), **EXACT)


# Importance-weighted bounds of Normal latents, by quadrature


def over_pairs(name: str, f: Objective, nodes: int = 60) -> list[float]:
    """Mean gradients of loc and of scale, of a bound of two draws of one latent, by Gauss and Hermite's rule."""
    off = torch.arange(1, nodes, dtype=DOUBLE).sqrt()
    points, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    weights = vectors[0].square()
    noise = torch.cartesian_prod(points, points).T[..., None]  # 2 x R x 1
    chances = (weights[:, None] * weights).flatten()
    loc, scale = (torch.full((len(chances), 1), x, dtype=DOUBLE, requires_grad=True) for x in (0.4, 0.8))
    found = gradient_with(Table(noise), name, "gaussian", [loc, scale], f, samples=2)
    return [float(chances @ g[:, 0]) for g in found]


def test_bounds_agree_in_mean_but_for_sticking_the_landing_whose_bias_is_the_weighted_score() -> None:
    """Tucker et al. 2018: what is dropped is sum_k w_k grad log q(z_k), w_k normalised, which has a mean."""

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return log_prob(q, z) + 0.5 * (z[..., 0] - 1).square() + 0.3 * z[..., 0].sin()

    path = over_pairs("iwae-reparameterization", f)
    for name in ("dreg", "iwae-score", "vimco", "ovis"):
        assert over_pairs(name, f) == pytest.approx(path, abs=1e-9), name
    score = over_pairs("reweighted-wake-sleep", f)  # which follows minus the weighted score
    landing = [a + b for a, b in zip(path, score, strict=True)]
    assert over_pairs("iwae-sticking-the-landing", f) == pytest.approx(landing, abs=1e-9)
    assert max(map(abs, score)) > 0.02


def test_what_is_left_of_the_weights_keeps_its_digits_where_one_dominates() -> None:
    """By subtraction from the sum, weights of e^-50 and less beside one of 1 would be rounding, or nothing."""
    log_weights = torch.tensor([0.0, -50.0, -53.0, -400.0], dtype=DOUBLE)
    others = log_sum_of_others(log_weights[:, None])[:, 0].tolist()
    geometric = log_sum_with_geometric_mean(log_weights[:, None])[:, 0].tolist()
    for k in range(4):
        rest = [w for j, w in enumerate(log_weights.tolist()) if j != k]
        for found, terms in ((others[k], rest), (geometric[k], [*rest, sum(rest) / 3])):
            top = max(terms)
            assert found == pytest.approx(top + math.log(sum(math.exp(x - top) for x in terms)), abs=1e-12)
    # The dominant draw's own signal: what the bound would be without it, by either mean.
    bound = log_weights.logsumexp(0)[None]
    for mean, without in (("arithmetic", others[0] - math.log(3)), ("geometric", geometric[0] - math.log(4))):
        signal = estimators.get("vimco").create(samples=4, mean=mean).signal(log_weights[:, None], bound - math.log(4))
        assert float(signal[0, 0]) == pytest.approx(-math.log(4) - without, abs=1e-12)
