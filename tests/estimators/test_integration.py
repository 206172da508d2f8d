"""The integrator over noise: right for every kind of noise, and silent where it has not converged."""

import math
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from estimators.integration import Evaluated, NotIntegrable, Source, integrate
from estimators.integration.blocks import Normals, Single
from estimators.integration.design import Design
from estimators.integration.races import Race
from estimators.integration.rules import STEPS, rule
from estimators.integration.scrambled import Points, student
from estimators.integration.source import Site
from estimators.integration.structure import Shape
from estimators.noise import Noise

DOUBLE = torch.float64
LOGITS = torch.tensor([[0.7], [-3.0], [15.0], [-15.0]], dtype=DOUBLE)
CHANCE = LOGITS.sigmoid()


class Toy:
    """A function of noise and of logits [N, B, *event], as an integrand; its hard draws are what it returns first."""

    def __init__(self, function: Callable[[Noise, Tensor], tuple[Tensor, Tensor]], logits: Tensor = LOGITS) -> None:
        self.function, self.logits, self.problems = function, logits, len(logits)
        self.chances = None

    def __call__(self, source: Source, rows: Tensor) -> Evaluated:
        logits = self.logits[rows].expand(source.rows[0], *self.logits[rows].shape)
        try:
            with source:
                hard, numbers = self.function(source.noise(Generator(), None), logits)
        except NotIntegrable:
            raise
        except Exception as error:
            raise NotIntegrable(source.failure or str(error)) from error
        weight = 1 + torch.arange(hard[0, 0].numel(), dtype=DOUBLE)
        signature = (hard.flatten(2).double() * weight).sum(-1)
        return Evaluated(numbers.flatten(2), signature, torch.zeros(*signature.shape, 0))


def nothing(x: Tensor) -> Tensor:
    """No hard draws."""
    return torch.zeros(*x.shape[:2], 1)


def found(function: Any, logits: Tensor = LOGITS, most: float = 3e7) -> tuple[Tensor, Tensor]:
    """Mean and variance of the one number of each problem."""
    moments = integrate(Toy(function, logits), most=most).moments
    assert moments.reasons == [None] * len(logits)
    return moments.mean[:, 0], moments.variance[:, 0]


def reason(function: Any, logits: Tensor = LOGITS, most: float = 3e7) -> str:
    """Why there is no mean in any of the problems."""
    (only,) = set(integrate(Toy(function, logits), most=most).moments.reasons)
    assert only is not None
    return only


def bit(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    b = noise.odds_to_compare(1, logits)[0] < logits.exp()
    return b, b.double()


def torch_bit(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    b = torch.rand(logits.shape, dtype=DOUBLE, generator=noise.generator) < logits.sigmoid()
    return b, b.double()


def torch_bernoulli(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    b = torch.bernoulli(logits.sigmoid(), generator=noise.generator)
    return b, b


@pytest.mark.parametrize("draw", [bit, torch_bit, torch_bernoulli])
def test_a_bits_mean_and_variance(draw: Any) -> None:
    """p and p (1 - p), at |logit| 15 too."""
    mean, variance = found(draw)
    torch.testing.assert_close(mean, CHANCE[:, 0], rtol=1e-12, atol=0)
    torch.testing.assert_close(variance, (CHANCE * (1 - CHANCE))[:, 0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("factor", [1.0001, 0.9])
def test_a_threshold_that_is_off_is_found(factor: float) -> None:
    """A comparison inside a cell is located: its chance is that of the wrong threshold, to all digits."""

    def wrong(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        b = torch.rand(logits.shape, dtype=DOUBLE) < logits.sigmoid() * factor
        return b, b.double()

    small = LOGITS[[0, 1, 3]]
    torch.testing.assert_close(found(wrong, small)[0], small.sigmoid()[:, 0] * factor, rtol=1e-10, atol=0)


def test_polynomials_of_uniform_noise() -> None:
    """E u^3 = 1/4, Var u^3 = 1/7 - 1/16."""
    mean, variance = found(lambda noise, x: (nothing(x), noise.uniform(1, x)[0].pow(3)))
    torch.testing.assert_close(mean, torch.full_like(mean, 0.25), rtol=1e-12, atol=0)
    torch.testing.assert_close(variance, torch.full_like(mean, 1 / 7 - 1 / 16), rtol=1e-12, atol=0)


def test_a_relaxed_bit_above_its_threshold() -> None:
    """E[1(z > 0) sigmoid(z)] of z = logit + logistic noise in closed form, at |logit| 15 too.

    With s = sigmoid(z), a = exp(-logit) and k = 1 - a, the density of s is a / (1 - k s)^2, so that the mean over
    s > 1/2 is the integral of a s / (1 - k s)^2.
    """

    def relaxed(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        z = logits + noise.odds(1, logits)[0].log()
        return z > 0, (z > 0) * z.sigmoid()

    a = (-LOGITS[:, 0]).exp()
    k = 1 - a

    def primitive(y: Tensor) -> Tensor:
        return a * (y.log() + 1 / y) / k.square()

    torch.testing.assert_close(found(relaxed)[0], primitive(a) - primitive(1 - k / 2), rtol=1e-8, atol=0)


def test_normal_noise() -> None:
    """Moments and exponentials of normal numbers, by both doors."""
    mean, variance = found(lambda noise, x: (nothing(x), noise.normal(1, x)[0].pow(4)))
    torch.testing.assert_close(mean, torch.full_like(mean, 3.0), rtol=1e-12, atol=0)
    torch.testing.assert_close(variance, torch.full_like(mean, 96.0), rtol=1e-12, atol=0)
    mean, _ = found(lambda noise, x: (nothing(x), torch.randn(x.shape, dtype=DOUBLE).cos()))
    torch.testing.assert_close(mean, torch.full_like(mean, math.exp(-0.5)), rtol=1e-10, atol=0)


def test_a_probit_draw_is_cut_where_it_is_compared() -> None:
    """A normal number that is compared with a quantile."""

    def probit(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        b = noise.normal(1, logits)[0] < torch.special.ndtri(logits.sigmoid())
        return b, b.double()

    torch.testing.assert_close(found(probit, LOGITS[:2])[0], CHANCE[:2, 0], rtol=1e-9, atol=0)


CLASSES = torch.tensor([[[0.3, -1.0, 1.5]], [[6.0, 0.0, -2.0]], [[-15.0, 0.0, 0.5]]], dtype=DOUBLE)


def winner(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    z = torch.nn.functional.one_hot((logits + noise.gumbel(1, logits)[0]).argmax(-1), 3)
    return z, z.double()[..., 0, :]


def torch_winner(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    u = torch.rand(logits.shape, dtype=DOUBLE, generator=noise.generator)
    z = torch.nn.functional.one_hot((logits - (-u.log()).log()).argmax(-1), 3)
    return z, z.double()[..., 0, :]


def other_end(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    u = torch.rand(logits.shape, dtype=DOUBLE)
    z = torch.nn.functional.one_hot((logits - (-torch.log1p(-u)).log()).argmax(-1), 3)
    return z, z.double()[..., 0, :]


def multinomial(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    p = logits.softmax(-1).flatten(0, 2)
    chosen = torch.multinomial(p, 1, generator=noise.generator)
    z = torch.nn.functional.one_hot(chosen.reshape(logits.shape[:-1]), 3)
    return z, z.double()[..., 0, :]


def inverse(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    edges = logits.softmax(-1).cumsum(-1)[..., :-1]
    u = torch.rand(logits.shape[:-1], dtype=DOUBLE)
    z = torch.nn.functional.one_hot((u.unsqueeze(-1) > edges).sum(-1), 3)
    return z, z.double()[..., 0, :]


def exponential(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
    clocks = torch.empty(logits.shape, dtype=DOUBLE).exponential_(generator=noise.generator)
    z = torch.nn.functional.one_hot((clocks.log() - logits).argmin(-1), 3)
    return z, z.double()[..., 0, :]


@pytest.mark.parametrize("draw", [winner, torch_winner, other_end, multinomial, inverse, exponential])
def test_who_wins_a_race(draw: Any) -> None:
    """The probabilities of the classes, however they are drawn."""
    moments = integrate(Toy(draw, CLASSES)).moments
    assert moments.reasons == [None] * 3
    torch.testing.assert_close(moments.mean, CLASSES[:, 0].softmax(-1), rtol=1e-8, atol=1e-15)


def test_the_order_of_a_race() -> None:
    """Without replacement: classes i then j come with p_i p_j / (1 - p_i)."""

    def first_two(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        order = (logits + noise.gumbel(1, logits)[0]).argsort(-1, descending=True)[..., 0, :2]
        return order, (order[..., 0] * 3 + order[..., 1] == 1).double().unsqueeze(-1)  # class 0, then class 1

    p = CLASSES[:, 0].softmax(-1)
    torch.testing.assert_close(found(first_two, CLASSES)[0], p[:, 0] * p[:, 1] / (1 - p[:, 0]), rtol=1e-9, atol=0)


def test_what_else_the_arrivals_say() -> None:
    """The first arrival of a race of rates p is exponential whoever wins: E[T 1(c wins)] = p_c, E[T^2] = 2."""

    def arrival(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        scores = logits.log_softmax(-1) + noise.gumbel(1, logits)[0]
        z = torch.nn.functional.one_hot(scores.argmax(-1), 3)
        return z, (-scores.amax(-1)).exp() * z[..., 0]

    mean, variance = found(arrival, CLASSES[:2])
    p = CLASSES[:2, 0].softmax(-1)[:, 0]
    torch.testing.assert_close(mean, p, rtol=1e-8, atol=0)
    torch.testing.assert_close(variance, 2 * p - p.square(), rtol=1e-8, atol=0)


def test_choices() -> None:
    """Whole numbers, by both doors."""
    mean, variance = found(lambda noise, x: ((c := noise.choice(5, x.shape, x.device)), c.double()))
    torch.testing.assert_close(mean, torch.full_like(mean, 2.0))
    torch.testing.assert_close(variance, torch.full_like(mean, 2.0))
    mean, _ = found(lambda noise, x: ((c := torch.randint(2, 6, x.shape)), c.double()))
    torch.testing.assert_close(mean, torch.full_like(mean, 3.5))


def test_the_same_number_used_twice() -> None:
    """Is no other noise: E[b 1(u < 1/4)] of one number is min(p, 1/4), though a product of chances would be less."""

    def twice(noise: Noise, logits: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.rand(logits.shape, dtype=DOUBLE)
        b = u < logits.sigmoid()
        return torch.cat((b, u < 0.25), -1), (b & (u < 0.25)).double()

    torch.testing.assert_close(found(twice)[0], CHANCE[:, 0].clamp_max(0.25), rtol=1e-10, atol=0)


def test_what_cannot_be_told_is_not_called_found() -> None:
    """Comparisons of two numbers, state, hidden noise, too many nodes, unknown laws, noise of no row."""

    def compared(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        b = torch.rand(x.shape, dtype=DOUBLE) < torch.rand(x.shape, dtype=DOUBLE)
        return b, b.double()

    calls = []

    def counting(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        b, value = bit(noise, x)
        return b, value + len(calls)

    def mixing(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        b, value = bit(noise, x)
        return b, value - value.mean(0)

    def hidden(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        b, value = bit(noise, x)
        return b, value + (random.random() < 1e-4)

    def shuffled(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        return nothing(x), x[torch.randperm(len(x))]

    def shared(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        return nothing(x), torch.rand(1, dtype=DOUBLE) + x

    def wide(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        return nothing(x), noise.uniform(40, x).sin().prod(0)

    def jagged(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        return nothing(x), (1e4 * noise.uniform(1, x)[0]).sin().abs()

    assert "jump" in reason(compared)
    assert "same noise gives other numbers" in reason(counting)
    assert "same noise gives other numbers" in reason(mixing)
    assert "Python's random" in reason(hidden)
    assert "torch.randperm" in reason(shuffled)
    assert "rows cannot be told" in reason(shared)
    assert "product over its noise" in reason(wide)
    assert "no rule converges" in reason(jagged)


def test_a_kink_without_a_jump_is_not_called_found_to_more_than_it_is() -> None:
    """|u - 1/3| has no jump: its mean is 5/18, and what is said of its exactness holds."""
    moments = integrate(Toy(lambda noise, x: (nothing(x), (noise.uniform(1, x)[0] - 1 / 3).abs()))).moments
    for row in range(4):
        if moments.reasons[row] is None:
            assert abs(float(moments.mean[row, 0]) - 5 / 18) <= 4 * float(moments.tolerance[row, 0])


@pytest.mark.parametrize(
    "block",
    [
        Single.cut_at(0, 0, 3, torch.tensor([0.3, -2.0, 15.0], dtype=DOUBLE)),
        Race.of(0, (0, 1, 2), CLASSES[:, 0]),
        Race.of(0, (0, 1, 2), CLASSES[:, 0], ordered=True),
        Normals.of(0, (0, 1), 3, cut=True),
    ],
)
def test_blocks_keep_the_law_of_their_numbers(block: Any) -> None:
    """Each number of a block is uniform, or normal, over all cells together; chances sum to 1."""
    torch.testing.assert_close(block.weight.sum(0), torch.ones(3, dtype=DOUBLE), rtol=1e-14, atol=0)
    numbers = len(block.numbers)

    site = Site("uniform", "test", (), (numbers,), None)

    def read(source: Source, rows: Tensor) -> tuple[Tensor, Tensor]:
        u = source.values("uniform", "test", (*source.rows, numbers)).at
        return Evaluated(torch.cat((u, u.square()), -1), torch.zeros(source.rows), torch.zeros(*source.rows, 0))

    read.problems, read.logits = 3, None  # type: ignore[attr-defined]
    design = Design(read, [site], [block])  # type: ignore[arg-type]
    whole = Points(Shape(design, design), torch.arange(3), 0, 1e9).replicated(torch.arange(3), 2048)
    expected = torch.tensor([0.5, 1 / 3] if not isinstance(block, Normals) else [0.0, 1.0], dtype=DOUBLE)
    expected = expected.repeat_interleave(numbers).expand(3, -1)
    assert bool(((whole.mean - expected).abs() <= 6 * whole.error + 1e-5).all())
    assert float(whole.error.max()) < 2e-3


@pytest.mark.parametrize(("domain", "moment"), [("unit", 1 / 3), ("normal", 1.0), ("gamma", 3 * 4.0)])
def test_rules_of_all_steps(domain: str, moment: float) -> None:
    """Weights sum to 1; second moments are right from the second step on."""
    for step in range(STEPS[domain]):
        own = rule(domain, step, 3.0)
        torch.testing.assert_close(own.weight.sum(), torch.ones((), dtype=DOUBLE))
        if step >= 2:
            second = float((own.weight * own.at.square()).sum())
            assert second == pytest.approx(moment, rel=1e-7 if domain == "unit" else 1e-6)


@pytest.mark.parametrize("freedom", [3, 15])
@pytest.mark.parametrize("level", [0.01, 1e-3, 1e-9])
def test_students_quantiles(level: float, freedom: int) -> None:
    """Those of scipy."""
    stats = pytest.importorskip("scipy.stats")
    assert student(math.log(level), freedom) == pytest.approx(stats.t.isf(level / 2, freedom), rel=1e-6)


@pytest.mark.parametrize("at", [2.5, 4.2, 4.6, 5.3])
@pytest.mark.parametrize("law", ["dropped", "clipped", "beyond"])
def test_what_happens_in_the_tails_of_a_normal_number(at: float, law: str) -> None:
    """A rule whose nodes end at 4.1 agrees with the next about a polynomial; what is cut off beyond is not lost."""

    def function(noise: Noise, x: Tensor) -> tuple[Tensor, Tensor]:
        u = noise.normal(1, x)[0]
        value = {
            "dropped": torch.where(u.abs() > at, 0.0, u.square()),
            "clipped": u.clamp(-at, at).square(),
            "beyond": (u > at).double(),
        }[law]
        return nothing(x), value

    tail = math.erfc(at / math.sqrt(2))  # of both sides
    density = math.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    inside = 1 - tail - 2 * at * density
    exact = {"dropped": inside, "clipped": inside + at**2 * tail, "beyond": tail / 2}[law]
    moments = integrate(Toy(function)).moments
    for mean, tolerance, why in zip(moments.mean[:, 0], moments.tolerance[:, 0], moments.reasons, strict=True):
        assert why is not None or abs(float(mean) - exact) <= 4 * float(tolerance) + 1e-13


def test_another_thread_may_draw_from_the_global_generator() -> None:
    """A worker's heartbeat, for one: the integrand itself does not."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.02):
            random.random()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert all(integrate(Toy(bit)).moments.reasons == [None] * len(LOGITS) for _ in range(5))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_noise_in_single_precision_is_not_integrated_over(draw: Callable[..., Tensor]) -> None:
    """Its nodes would be rounded, and numbers in steps of 2^-24 have other tails."""
    assert "float32" in reason(lambda noise, x: (nothing(x), x + draw(x.shape)))
