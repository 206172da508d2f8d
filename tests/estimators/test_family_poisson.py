"""Poisson latents: the law of draws, log q and its gradient, the sum over counts, and what a rate of 0 does."""

import itertools
import math

import numpy
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, Poisson, kl_divergence

import estimators
from bench.measure import exact_moments
from estimators.distributions import from_parameters, kl, log_prob, sample, scores
from estimators.exact import expectation
from estimators.families import counts, family_named
from estimators.noise import LEAST, Noise

DOUBLE = torch.float64
RATES = (1e-30, 1e-3, 0.5, 1.0, 7.99, 8.01, 12.0, 30.0, 3e3, 1e4, 1e6)
FAMILY = family_named("poisson")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def q_of(*rates: float, dtype: torch.dtype = DOUBLE) -> Distribution:
    return from_parameters("poisson", torch.tensor(rates, dtype=dtype)[None])


class Given(Noise):
    """Hands out these odds in the place of random ones, the same for every latent."""

    def __init__(self, odds: Tensor) -> None:
        super().__init__()
        self.given = odds

    def odds(self, count: int, like: Tensor) -> Tensor:
        return self.given.reshape(count, *[1] * like.dim()).expand(count, *like.shape).clone()


@pytest.mark.parametrize("rate", [0.01, 1.0, 30.0, 3000.0])
def test_draws_have_the_law(rate: float) -> None:
    """Chi-square, of counts that are expected 10 times or more; the others are taken together at either end."""
    size = 100_000
    drawn = sample(q_of(rate, dtype=torch.float32), size, seeded()).numpy().ravel()
    assert (drawn == drawn.round()).all() and (drawn >= 0).all()
    law = stats.poisson(rate)
    inner = [k for k in range(int(law.ppf(1e-6)), int(law.isf(1e-6)) + 2) if size * law.pmf(k) >= 10]
    edges = numpy.array([-0.5, *(k + 0.5 for k in inner[:-1]), numpy.inf]) if inner[0] == 0 else None
    if edges is None:
        edges = numpy.array([-numpy.inf, *(k + 0.5 for k in inner), numpy.inf])
    expected = size * numpy.diff(law.cdf(edges))
    found = numpy.histogram(drawn, numpy.where(numpy.isinf(edges), numpy.sign(edges) * 1e9, edges))[0]
    assert found.sum() == size
    assert stats.chisquare(found, expected * size / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_a_uniform_number_is_inverted_to_all_digits_in_both_tails(rate: float) -> None:
    """The count k has P(z > k) <= u < P(z >= k), or for a large u the same of the other tail."""
    small = numpy.logspace(-15.9, math.log10(0.5), 1000)
    law, eps = stats.poisson(rate), 1e-8
    up = sample(q_of(rate), len(small), Given(torch.tensor(small / (1 - small)))).numpy().ravel()
    assert (small < law.sf(up - 1) * (1 + eps)).all() and (small >= law.sf(up) * (1 - eps)).all()
    down = sample(q_of(rate), len(small), Given(torch.tensor((1 - small) / small))).numpy().ravel()
    assert (small > law.cdf(down - 1) * (1 - eps)).all() and (small <= law.cdf(down) * (1 + eps)).all()


def test_a_draw_depends_on_its_own_noise_and_rate_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rates beside it are, whether they can be looked at, and in parts of any size."""
    odds = torch.cat((torch.logspace(-16, 15, 500, dtype=DOUBLE).clamp_min(LEAST), torch.ones(1, dtype=DOUBLE)))
    alone = torch.cat([sample(q_of(rate), len(odds), Given(odds)) for rate in RATES], -1)
    together = sample(q_of(*RATES), len(odds), Given(odds))
    assert torch.equal(alone, together)
    monkeypatch.setattr(counts, "NUMBERS_AT_ONCE", {"cpu": 3})
    assert torch.equal(alone[:20], sample(q_of(*RATES), 20, Given(odds[:20])))
    monkeypatch.setattr(counts, "watchable", lambda _: False)
    assert torch.equal(alone, sample(q_of(*RATES), len(odds), Given(odds)))


def test_log_q_and_its_gradient() -> None:
    rate = torch.tensor([[0.2, 1.0, 30.0], [3e3, 1e4, 1e-3]], dtype=DOUBLE, requires_grad=True)
    z = torch.tensor([[[0, 2, 31], [2900, 1e4, 1]], [[3, 0, 20], [3000, 9900, 0]]], dtype=DOUBLE)
    q = from_parameters("poisson", rate)
    found = log_prob(q, z)
    torch.testing.assert_close(found, Poisson(rate).log_prob(z).sum(-1), rtol=1e-11, atol=1e-11)
    for draw, score in zip(z, scores(q, z)[0], strict=True):
        (wanted,) = torch.autograd.grad(log_prob(q, draw[None]).sum(), rate)
        torch.testing.assert_close(score, wanted, rtol=1e-11, atol=1e-11)


def test_kl_is_that_of_torch_and_is_infinite_where_the_other_stays_at_0() -> None:
    rate, other = (torch.tensor(x, dtype=DOUBLE, requires_grad=True) for x in ([[0.2, 1.0], [30.0, 5.0]], [[1.0, 2.0]]))
    own, wanted = kl(FAMILY.build(rate), FAMILY.build(other)), kl_divergence(Poisson(rate), Poisson(other)).sum(-1)
    torch.testing.assert_close(own, wanted, rtol=1e-12, atol=1e-12)
    for found, right in zip(*(torch.autograd.grad(x.sum(), (rate, other)) for x in (own, wanted)), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    assert kl(q_of(0.0), q_of(2.0)).tolist() == [2.0]
    assert kl(q_of(0.0), q_of(0.0)).tolist() == [0.0]
    assert kl(q_of(1.0), q_of(0.0)).tolist() == [math.inf]


@pytest.mark.parametrize(("rate", "latents"), [(1e-3, 3), (1.0, 3), (4.0, 2), (9.0, 2), (30.0, 1), (1e4, 1)])
def test_the_sum_over_counts_is_right_for_powers_and_exponentials(rate: float, latents: int) -> None:
    """E[z^3] = r^3 + 3 r^2 + r, and E[exp(a z)] = exp(r (e^a - 1)), with their derivatives."""
    rates = torch.full((2, latents), rate, dtype=DOUBLE, requires_grad=True)
    q = FAMILY.build(rates)

    def check(f: object, value: float, slope: float) -> None:
        found = expectation(q, f)  # type: ignore[arg-type]
        assert found.tolist() == pytest.approx([value] * 2, rel=1e-10)
        (gradient,) = torch.autograd.grad(found.sum(), rates)
        assert gradient.flatten().tolist() == pytest.approx([slope] * 2 * latents, rel=1e-10)

    cubed = rate**3 + 3 * rate**2 + rate
    check(lambda z, q: z.pow(3).sum(-1), latents * cubed, 3 * rate**2 + 6 * rate + 1)
    if rate < 100:
        for a in (1.0, -1.0):
            mean = math.exp(latents * rate * math.expm1(a))
            check(lambda z, q, a=a: (a * z.sum(-1)).exp(), mean, math.expm1(a) * mean)


def test_too_many_counts_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"rates up to 1e\+04: 27\d\d\d\^2 counts matter, too many|rates up to 1e\+04"):
        expectation(q_of(1e4, 1e4), lambda z, q: z.sum(-1))


@pytest.mark.parametrize("name", ["rloo", "measure-valued-counts", "fini", "reinforce"])
def test_a_rate_of_0_stays_at_0_without_a_gradient(name: str) -> None:
    """Given as a rate, or as a logarithm of minus infinity; f is asked at whole numbers alone."""
    log_rate = torch.tensor([[-torch.inf, 0.0, -3.0]], dtype=DOUBLE, requires_grad=True)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        assert bool((z[..., 0] <= (1 if name == "measure-valued-counts" else 0)).all())
        assert bool((z == z.round()).all())
        return (z - 0.45).square().sum(-1)

    rate = log_rate.exp()
    (of_rate,) = torch.autograd.grad(
        estimators.get(name)
        .create(samples=4)(Poisson(rate, validate_args=False), f, generator=seeded())
        .surrogate.sum(),
        rate,
        retain_graph=True,
    )
    assert bool(of_rate.isfinite().all()) and float(of_rate[0, 0]) == 0
    (of_log,) = torch.autograd.grad(rate, log_rate, of_rate)
    assert bool(of_log.isfinite().all()) and float(of_log[0, 0]) == 0


def test_large_and_infinite_rates_are_drawn() -> None:
    drawn = sample(q_of(1e4, 1e6), 4000, seeded())
    for z, rate in zip(drawn.flatten(0, 1).T, (1e4, 1e6), strict=True):
        assert float(z.mean()) == pytest.approx(rate, abs=5 * math.sqrt(rate / 4000))
        assert float(z.var()) == pytest.approx(rate, rel=0.15)
    (finite,) = FAMILY.finite(torch.tensor([[torch.inf, 2.0]]))
    assert finite.tolist() == [[pytest.approx(1e15), 2.0]]


@pytest.mark.parametrize("samples", [2, 3])
def test_score_functions_have_the_exact_mean_with_cells_at_every_count(samples: int) -> None:
    """By integration over the noise: its cells are where the odds of a count lie."""
    rate = torch.tensor([[0.7], [2.0], [0.03]], dtype=DOUBLE, requires_grad=True)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return z[..., 0].pow(3) - 2 * (z[..., 0] == 1).to(z) + log_prob(q, z)

    q = FAMILY.build(rate)
    (wanted,) = torch.autograd.grad(expectation(q, f).sum(), rate)
    found = exact_moments(estimators.get("rloo").create(samples=samples), q, f)
    torch.testing.assert_close(found.mean.reshape(3, 1), wanted, rtol=1e-9, atol=1e-9)


# Estimators made for counts


def mean_gradient(name: str, rate: Tensor, f: object, **options: object) -> Tensor:
    estimator = estimators.get(name).create(**options)
    return exact_moments(estimator, FAMILY.build(rate), f).mean.reshape(rate.shape)  # type: ignore[arg-type]


def test_one_event_more_is_the_derivative_and_has_less_variance_than_the_score() -> None:
    rate = torch.tensor([[0.7, 1.5], [0.1, 2.0]], dtype=DOUBLE, requires_grad=True)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (z[..., 0] * (1 + z[..., 1])).square() + (z[..., 1] > 2).to(z)

    (wanted,) = torch.autograd.grad(expectation(FAMILY.build(rate), f).sum(), rate)
    torch.testing.assert_close(mean_gradient("measure-valued-counts", rate, f), wanted, rtol=1e-9, atol=1e-9)
    q = FAMILY.build(rate)
    ours, theirs = (
        exact_moments(estimators.get(name).create(samples=1), q, f).total
        for name in ("measure-valued-counts", "reinforce")
    )
    assert ours < theirs / 2


def test_fini_is_exact_for_quadratic_f_and_not_for_cubic_f() -> None:
    """Of z^3 it has 3 r^2 + 6 r + 3/2 where the derivative is 3 r^2 + 6 r + 1."""
    rate = torch.tensor([[0.7], [2.0]], dtype=DOUBLE, requires_grad=True)
    square = mean_gradient("fini", rate, lambda z, q: (z[..., 0] - 0.45).square())
    torch.testing.assert_close(square, 2 * rate.detach() + 1 - 0.9, rtol=1e-10, atol=1e-10)
    cube = mean_gradient("fini", rate, lambda z, q: z[..., 0].pow(3))
    torch.testing.assert_close(cube, 3 * rate.detach().square() + 6 * rate.detach() + 1.5, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_relaxed_counts_have_the_mean_that_campbells_theorem_gives(temperature: float) -> None:
    """E[z] = r times the integral of the indicator over time: 1 for the cubic, t log(1 + e^(1/t)) for the sigmoid."""
    rate = torch.full((20_000, 1), 2.5, dtype=DOUBLE, requires_grad=True)
    softly = temperature * math.log1p(math.exp(1 / temperature))
    for indicator, factor in (("cubic", 1.0), ("sigmoid", softly)):
        estimator = estimators.get("exponential-arrivals").create(indicator=indicator, temperature=temperature)
        estimate = estimator(FAMILY.build(rate), lambda z, q: z[..., 0], generator=seeded())
        (found,) = torch.autograd.grad(estimate.surrogate.sum(), rate)
        for draws, wanted in ((estimate.value, 2.5 * factor), (found[:, 0], factor)):
            error = float(draws.std()) / math.sqrt(len(draws))
            assert float(draws.mean()) == pytest.approx(wanted, abs=4.5 * error)
    assert temperature < 0.5 or softly > 1.1  # the sigmoid counts too much


def test_relaxed_counts_become_counts_as_they_cool() -> None:
    """At the same noise the cold relaxed number is the number of arrivals before time 1."""
    seen = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append(z.detach())
        return z.sum(-1)

    q = FAMILY.build(torch.full((1, 1000), 3.0, dtype=DOUBLE, requires_grad=True))
    for temperature in (1e-6, 0.3):
        with estimators.trusted():
            estimators.get("exponential-arrivals").create(temperature=temperature)(q, f, generator=seeded())
    cold, warm = seen
    assert float((cold - cold.round()).abs().max()) < 1e-3
    assert float((warm - warm.round()).abs().max()) > 0.2
    assert (
        stats.chisquare(
            [int((cold.round() == k).sum()) for k in range(7)] + [int((cold.round() > 6).sum())],
            1000 * numpy.array([*stats.poisson(3.0).pmf(range(7)), stats.poisson(3.0).sf(6)]),
        ).pvalue
        > 1e-3
    )


def test_arrivals_that_are_too_few_are_refused() -> None:
    create = estimators.get("exponential-arrivals").create
    with pytest.raises(
        estimators.BadInput, match=r"simulates 50 arrivals, too few for a rate of 60; give arrivals=\d+"
    ):
        create()(q_of(60.0), lambda z, q: z.sum(-1))
    create(arrivals=110)(q_of(60.0), lambda z, q: z.sum(-1))
    for options, says in (
        ({"arrivals": 0}, "arrivals must be 1 or more"),
        ({"indicator": "step"}, "unknown indicator"),
    ):
        with pytest.raises(estimators.BadInput, match=says):
            create(**options)


def test_a_toy_sweeps_the_rate_and_an_examined_f_sees_whole_numbers() -> None:
    q = FAMILY.toy(4.0, (3,))
    assert FAMILY.parameters(q)[0].tolist() == [[4.0, 2.0, 4.0]]
    z = FAMILY.spread_out(q_of(0.0, 2.0), 4, Noise(seeded()))
    assert not FAMILY.off_support(z) and (z[1] - z[0]).tolist() == [[0.0, 1.0]]
    for off in (0.5, -1.0):
        assert FAMILY.off_support(torch.full((1, 1, 2), off))
    (near,) = FAMILY.moderate(q_of(*itertools.repeat(0.0, 1), 1e-3, 1e4), Noise(seeded()))
    assert near[0, 0] == 0 and near[0, 1] > 0.1 and 1e3 < near[0, 2] < 1e5
