"""Moments of gradients that are known one by one, and the draws that they are made of."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import estimators
from bench.measure import draws as module
from bench.measure import gradient_moments, moments
from bench.measure.draws import gradients, probe
from bench.measure.moments import Distances, Moments, Moves
from bench.measure.warm import warmed
from bench.seeds import derive, stream
from bench.statistics import variance_interval
from estimators import BadInput, Estimate, Estimator
from estimators.distributions import event_dims, from_parameters, parameters, row_shape, sample
from estimators.parts.sizes import is_unsized
from tests.bench.scripted import Scripted

DOUBLE = torch.float64
TABLE = torch.tensor(
    [
        [[1.0, 0.0, -2.0, 8.0], [4.0, 0.5, 1.0, 0.0]],
        [[3.0, 0.0, 4.0, 6.0], [4.0, 1.5, 7.0, -1.0]],
        [[5.0, 0.0, 1.0, -5.0], [4.0, 1.0, 1.0, 10.0]],
        [[7.0, 0.0, 1.0, 3.0], [4.0, 5.0, -5.0, 3.0]],
    ],
    dtype=DOUBLE,
)
"""4 draws at 2 rows of 4 coordinates."""
MEAN = [[4.0, 0.0, 1.0, 3.0], [4.0, 2.0, 1.0, 3.0]]
SQUARES = [[20.0, 0.0, 18.0, 98.0], [0.0, 12.5, 72.0, 74.0]]
"""Sums over the draws of squares about the mean."""
DISTANCES = [9 + 9 + 25 + 2.25 + 9, 1 + 9 + 9 + 0.25 + 36 + 16, 1 + 64 + 1 + 49, 9 + 9 + 36]
"""Sums of the same over rows and coordinates: 294.5 in all."""


def cost(z: Tensor, q: Distribution, /) -> Tensor:
    return z.sum(event_dims(q))


def qs() -> dict[str, Distribution]:
    """Of two rows and four parameters each."""
    return {
        "bernoulli": from_parameters("bernoulli", (torch.arange(8.0, dtype=DOUBLE).reshape(2, 4) - 3) / 8),
        "gaussian": from_parameters("gaussian", torch.zeros(2, 2, dtype=DOUBLE), torch.ones(2, 2, dtype=DOUBLE)),
        "categorical": from_parameters("categorical", torch.zeros(2, 2, 2, dtype=DOUBLE)),
    }


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "categorical"])
def test_moments_are_of_each_row_over_the_draws(name: str, level: float) -> None:
    """Loc and scale lie side by side; classes of a latent are logits, whose gradients have the mean 0."""
    mean, squares, d = torch.tensor(MEAN, dtype=DOUBLE), torch.tensor(SQUARES, dtype=DOUBLE), DISTANCES
    if name == "categorical":
        g = TABLE.unflatten(-1, (2, 2))
        g = (g - g.mean(-1, keepdim=True)).numpy()
        mean, squares = torch.tensor(g.mean(0)), torch.tensor(4 * g.var(0))
        d = ((g - g.mean(0)) ** 2).sum((1, 2, 3)).tolist()
    estimator = Scripted(TABLE)
    found = gradient_moments(estimator, qs()[name], cost, draws=4, seed=3, level=level)
    assert estimator.taken == 0, "the given one was used, not a copy"
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.variance, squares / 3)
    assert found.total == pytest.approx(variance_interval(d, level))
    assert found.total.estimate == pytest.approx(float(squares.sum()) / 3)


def test_the_squares_by_hand_are_those_of_the_table() -> None:
    assert (sum(DISTANCES), sum(map(sum, SQUARES))) == (294.5, 294.5)
    torch.testing.assert_close(
        (TABLE - TABLE.mean(0)).square().flatten(1).sum(1), torch.tensor(DISTANCES, dtype=DOUBLE)
    )


def test_a_thousand_draws_are_made_unless_others_are_asked_for() -> None:
    table = torch.arange(1000.0, dtype=DOUBLE)[:, None, None]
    estimator = Scripted(table)
    q = from_parameters("bernoulli", torch.zeros(1, 1, dtype=DOUBLE))
    found = gradient_moments(estimator, q, cost, warm_up=0)
    assert estimator.taken == 1000
    assert (float(found.mean), float(found.variance)) == pytest.approx((499.5, 1000 * 1001 / 12))
    assert found.total == variance_interval((table.flatten() - 499.5).square().numpy(), 0.95)


@pytest.mark.parametrize(
    ("steps", "beside", "noise"),
    [
        ((2, 0, -2, 0), 0.0, False),
        ((2, -2, 2, -2), 0.0, False),
        ((4, 0, -4, 0), 0.0, True),
        ((6, 0, -6, 0), 2.0, False),
        ((7, 0, -7, 0), 2.0, True),
    ],
)
def test_rounding_of_equal_draws_is_no_variance(steps: tuple[int, ...], beside: float, noise: bool) -> None:
    """Of 4 draws of 1, and of nothing or of 2 beside it, squares of 16 or 80 times eps^2 in all may be rounding."""
    eps = torch.finfo(DOUBLE).eps
    table = torch.tensor([[[1 + step * eps, beside]] for step in steps], dtype=DOUBLE)
    found = gradient_moments(
        Scripted(table), from_parameters("bernoulli", torch.zeros(1, 2, dtype=DOUBLE)), cost, draws=4
    )
    assert float(found.variance[0, 0]) == (sum(step**2 for step in steps) * eps**2 / 3 if noise else 0.0)
    assert (found.total == (0, 0, 0)) == (not noise)


class Summing(Estimator):
    """Keeps the sum of what it draws in training; the gradient is that, and fresh noise. It asks for a context."""

    def __init__(self) -> None:
        super().__init__(1)
        self.register_buffer("total", torch.zeros((), dtype=DOUBLE))

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        z, (logits,) = sample(q, 1, generator), parameters(q)
        value = f(z, q)[0].detach()
        if self.training:
            self.total += (z + context).sum()
        noise = torch.rand(logits.shape, generator=generator, dtype=DOUBLE)
        return Estimate(((noise + context + self.total) * logits).sum(-1), value)


@pytest.mark.parametrize("options", [{}, {"seed": 0}, {"seed": 6}])
@pytest.mark.parametrize("steps", [0, 7])
def test_noise_and_warm_up_are_of_the_seed_and_the_context(options: dict[str, int], steps: int) -> None:
    """32 copies of two rows in each of the steps; then draws of z, which f sees, and of the noise in turn."""
    q, context, seed = qs()["bernoulli"], torch.tensor([[0.25], [0.5]], dtype=DOUBLE), options.get("seed", 0)
    shapes = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        shapes.append(tuple(z.shape))
        return z.sum(-1)

    found = gradient_moments(Summing(), q, f, draws=5, context=context, warm_up=steps, **options)
    warm, own = stream("warm-up", seed), stream("gradients", seed)
    total = 0.0
    for _ in range(steps):
        z = sample(from_parameters("bernoulli", q.logits.expand(32, 2, 4)), 1, warm)
        total += float((z + context).sum())
        torch.rand(32, 2, 4, generator=warm, dtype=DOUBLE)
    sample(from_parameters("bernoulli", q.logits.expand(5, 2, 4)), 1, own)
    noise = torch.rand(5, 2, 4, generator=own, dtype=DOUBLE)
    torch.testing.assert_close(found.mean, noise.mean(0) + context + total)
    torch.testing.assert_close(found.variance, noise.var(0))
    assert shapes.count((1, 32, 2, 4)) == steps


@pytest.mark.parametrize("steps", [0, 1])
def test_parameters_without_a_size_stay_without_one(steps: int) -> None:
    estimator = estimators.get("lax").create()
    gradient_moments(estimator, qs()["gaussian"], cost, draws=3, warm_up=steps)
    assert any(is_unsized(p) for p in estimator.parameters())


def test_moments_that_cannot_be_taken_are_refused_in_a_line() -> None:
    q, none = qs()["bernoulli"], from_parameters("bernoulli", torch.zeros(0, 4))
    for at, options, message in (
        (q, {"draws": 2}, "draws = 2 is no whole number of at least 3"),
        (q, {"draws": 10.0}, "draws = 10.0 is no whole number of at least 3"),
        (q, {"warm_up": -1}, "warm_up = -1 is no whole number of at least 0"),
        (q, {"warm_up": 0.5}, "warm_up = 0.5 is no whole number of at least 0"),
        (none, {}, "q has no rows to measure a gradient of: its parameters are [0, 4]"),
    ):
        with pytest.raises(BadInput) as refused:
            gradient_moments(Scripted(TABLE), at, cost, **options)
        assert str(refused.value) == message
    with torch.inference_mode(), pytest.raises(BadInput) as refused:
        gradient_moments(Scripted(TABLE), q, cost)
    expected = "gradient_moments differentiates, which torch.inference_mode() does not allow: call it outside"
    assert str(refused.value) == expected


# Sums over blocks


@pytest.mark.parametrize("slices", [2**18, 7])
def test_moments_of_blocks_of_any_length(slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is that of the mean; squares of a block are about its own mean, the rest is shared by all draws."""
    monkeypatch.setattr(moments, "SLICE_NUMBERS", slices)
    x = np.random.default_rng(0).exponential(size=(11, 2, 3)) * [1.0, 2.0, 5.0]
    blocks = [x[:1], x[1:4], x[4:9], x[9:]]
    found, without = Moments(11, third=True), Moments(11)
    before = np.zeros((2, 3))
    for block in blocks:
        mean, step = found.add(torch.tensor(block))
        without.add(torch.tensor(block))
        torch.testing.assert_close(mean, torch.tensor(block.mean(0)))
        torch.testing.assert_close(step, torch.tensor(block.mean(0) - before))
        before = x[: found.distances.count].mean(0)
    for name, power in (("squares", 2), ("cubes", 3)):
        torch.testing.assert_close(getattr(found, name), torch.tensor(((x - x.mean(0)) ** power).sum(0)))
    torch.testing.assert_close(found.mean, torch.tensor(x.mean(0)))
    within = np.concatenate([((b - b.mean(0)) ** 2).sum((1, 2)) for b in blocks])
    total = ((x - x.mean(0)) ** 2).sum()
    torch.testing.assert_close(found.distances.all(), torch.tensor(within + (total - within.sum()) / 11))
    torch.testing.assert_close(found.largest, torch.tensor(np.max([((b - b.mean(0)) ** 2).max(0) for b in blocks], 0)))
    assert torch.equal(without.squares, found.squares) and torch.equal(without.mean, found.mean)
    assert float(without.cubes) == float(without.largest) == 0.0


def test_what_lies_between_blocks_is_spread_over_all_draws() -> None:
    """Two and three draws whose means are 5 apart: 25 * 2 * 3 / 5 squares lie between, 6 for each."""
    found = Distances(5)
    found.add(torch.tensor([1.0, 2.0]), torch.tensor(777.0))  # before the first there was no mean
    found.add(torch.tensor([3.0, 4.0, 5.0]), torch.tensor(25.0))
    assert found.all().tolist() == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert found.all().dtype == DOUBLE


def columns(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE).T


@pytest.mark.parametrize("slices", [2**18, 5])
def test_moves_are_counted_from_the_usual_value(slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first 33 draws of the first block: one that stays at 2, one at 0 for 20 of them, one that always moves."""
    monkeypatch.setattr(moments, "SLICE_NUMBERS", slices)
    first = columns([2.0] * 40, [0.0] * 20 + [1.0] * 20, [float(i) for i in range(40)])
    second = columns([2.0, 3.0, 2.0], [1.0, 1.0, 0.0], [16.0, 0.5, 0.25])  # 16 is the median of 0, ..., 32
    found = Moves()
    found.add(first)
    assert found.usual.tolist() == [2.0, 0.0, 16.0]
    assert found.counts.tolist() == [0.0, 20.0, 39.0]
    found.add(second)
    assert found.counts.tolist() == [1.0, 22.0, 41.0]
    assert not found.all_move


@pytest.mark.parametrize("comes_back", [False, True])
def test_where_no_value_comes_back_every_draw_moves(comes_back: bool) -> None:
    """The median of 0, ..., 32 comes back after the first 33 draws, which tells nothing, or among them."""
    x = torch.arange(40.0)[:, None]
    x[33:] = 16.0
    if comes_back:
        x[20] = 16.0
    found = Moves()
    for block in x.split([35, 5]):
        found.add(block)
    assert found.all_move != comes_back
    assert found.counts.tolist() == ([40 - 2 - 7] if comes_back else 40.0)


# Draws


@pytest.mark.parametrize(("chunk", "block", "shortest"), [(2**21, 2**21, 256), (4, 2**21, 256), (12, 24, 3), (1, 1, 1)])
def test_every_draw_of_the_table_comes_once_and_in_order(
    chunk: int, block: int, shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_NUMBERS", {"cpu": chunk})
    monkeypatch.setattr(module, "BLOCK_NUMBERS", {"cpu": block})
    monkeypatch.setattr(module, "SHORTEST_BLOCK", shortest)
    table = torch.randn(13, 2, 4, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    estimator = Scripted(table).train()
    blocks = list(gradients(estimator, qs()["bernoulli"], cost, draws=13, seed=1))
    torch.testing.assert_close(torch.cat(blocks), table)
    # Of 13 * 8 coordinates 24 at a time would be five blocks, of which four have at least 3 draws.
    assert [len(b) for b in blocks] == {2**21: [13], 24: [4, 3, 3, 3], 1: [1] * 13}[block]
    assert estimator.training
    assert estimator.calls == ([13] if chunk == 2**21 else [1] * 13)


def test_as_many_draws_are_made_at_a_call_as_the_largest_tensor_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 numbers for one draw, 5 * 24 + 23 hold five."""
    monkeypatch.setattr(module, "CHUNK_NUMBERS", {"cpu": 5 * 24 + 23})
    calls = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        calls.append(tuple(z.shape))
        return (z.unsqueeze(-1) * torch.ones(3, dtype=DOUBLE)).sum((-2, -1)).reshape(z.shape[:-1])

    list(gradients(Scripted(TABLE.repeat(3, 1, 1)), qs()["bernoulli"], f, draws=12, seed=1))
    assert [shape[1] for shape in calls if shape[1:] == (shape[1], 2, 4) and len(shape) == 4][-3:] == [5, 5, 2]


def test_a_call_and_a_block_hold_two_million_numbers() -> None:
    """Whose noise is whose hangs on the first, what lies within a block on the second: 2^21 on a CPU.

    2000 draws of 4096 coordinates are four blocks, of 500 draws each, and draws of z of twice that size 256 a call.
    """
    calls = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        calls.append(z.shape[1])
        return z[..., 0]

    q = from_parameters("bernoulli", torch.zeros(1, 4096))
    table = torch.ones(1).expand(2000, 1, 4096)
    blocks = [len(block) for block in gradients(Scripted(table, evaluations=2), q, f, draws=2000, seed=0)]
    assert blocks == [500] * 4
    assert calls[-8:] == [256, 244] * 4


class Noisy(Estimator):
    """Its gradient is the generator's noise plus the context; the values of the rows are -3 and 2."""

    contexts: tuple[Tensor | None, ...] = ()

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        assert not self.training
        f(sample(q, 2, torch.Generator().manual_seed(0)), q)
        (logits,) = parameters(q)
        self.state, self.contexts = generator.get_state(), (*self.contexts, context)
        noise = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
        value = torch.tensor([-3.0, 2.0], dtype=DOUBLE).expand(logits.shape[:-1])
        return Estimate(((noise + (0 if context is None else context)) * logits).sum(-1), value)


def test_noise_comes_from_a_stream_of_the_seed_and_a_closed_form_has_none() -> None:
    """A divergence of half the squared logits has the gradient of the logits themselves."""
    q, context = qs()["bernoulli"], torch.tensor([[10.0], [20.0]], dtype=DOUBLE)
    for closed in (None, lambda q: None, lambda q: 0.5 * parameters(q)[0].square().sum(-1)):
        estimator = Noisy()
        (block,) = gradients(estimator, q, cost, draws=5, seed=6, context=context, closed_form=closed)
        assert all(seen is context for seen in estimator.contexts)
        noise = torch.rand(5, 2, 4, generator=stream("gradients", 6), dtype=DOUBLE)
        extra = q.logits if closed is not None and closed(q) is not None else 0
        torch.testing.assert_close(block, noise + context + extra)


def test_a_probe_tells_what_a_call_costs_and_how_it_rounds() -> None:
    q = qs()["bernoulli"]
    estimator = Noisy(2).train()
    found = probe(estimator, q, cost)
    assert torch.equal(estimator.state, stream("probe").get_state())
    assert (found.evaluations, found.plain) == (2, True)
    assert found.rounding == 16 * 2.0**-52 * 3
    assert found.largest == 2 * 2 * 4  # the draws of z
    single = from_parameters("bernoulli", q.logits.float())
    assert probe(Scripted(TABLE.float(), value=5.0, evaluations=7), single, cost).rounding == 16 * 2.0**-23 * 5

    class Inner(Noisy):
        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            return super().forward(q, lambda z, q: f(z, q, "more"), generator=generator, context=context)

    found = probe(Inner().eval(), q, lambda z, q, *more: cost(z, q))
    assert (found.evaluations, found.plain) == (2, False)


def test_draws_that_are_not_finite_are_counted_in_their_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinities of two signs are no number together; of 6 draws two and one."""
    table = torch.zeros(6, 2, 4, dtype=DOUBLE)
    table[1, 0, 0], table[2, 1, 3], table[2, 0, 1], table[5, 0, 2] = math.inf, -math.inf, math.inf, math.nan
    with pytest.raises(FloatingPointError, match=r"^the gradient is not finite in 3 of 6 draws$"):
        list(gradients(Scripted(table), qs()["bernoulli"], cost, draws=6, seed=0))
    monkeypatch.setattr(module, "BLOCK_NUMBERS", {"cpu": 16})
    monkeypatch.setattr(module, "SHORTEST_BLOCK", 3)
    with pytest.raises(
        FloatingPointError, match=r"^the gradient is not finite in 2 of 3 draws of a block, of 6 in all$"
    ):
        list(gradients(Scripted(table), qs()["bernoulli"], cost, draws=6, seed=0))
    large = torch.full((3, 2, 4), 1e308, dtype=DOUBLE)  # finite, though their sum is not
    (block,) = gradients(Scripted(large), qs()["bernoulli"], cost, draws=3, seed=0)
    assert torch.equal(block, large)


def test_f_is_given_q_itself_and_no_graph_where_none_is_needed() -> None:
    seen: list[tuple[Any, ...]] = []

    def f(z: Tensor, q: Distribution, /, *more: str) -> Tensor:
        seen.append((tuple(row_shape(q)), torch.is_grad_enabled(), *more))
        return (z * parameters(q)[0]).sum(-1)

    class All(Estimator):
        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            (logits,) = parameters(q)
            z, fixed = torch.ones(1, *logits.shape, dtype=DOUBLE), logits.detach()
            f(z, from_parameters("bernoulli", fixed))
            f(z, from_parameters("bernoulli", fixed), "more", "still")
            f(z, from_parameters("bernoulli", fixed + 1), "other")
            f(z.clone().requires_grad_(), from_parameters("bernoulli", fixed))
            f(z, q)
            along = f(z * logits.sigmoid(), q, "along")
            return Estimate(along[0], along[0].detach())

    q = qs()["bernoulli"]
    (block,) = gradients(All(), q, f, draws=3, seed=0)
    assert seen[-6:] == [
        ((2,), False),
        ((2,), False, "more", "still"),
        ((3, 2), False, "other"),
        ((3, 2), True),
        ((3, 2), True),
        ((3, 2), True, "along"),
    ]
    share = q.logits.sigmoid()
    torch.testing.assert_close(block, (share + q.logits * share * (1 - share)).expand(3, 2, 4))


# Warming up


class Counting(Estimator):
    """Counts its calls in `train()`, or learns by a loss whose slope is the given one."""

    def __init__(self, slope: float | None = None) -> None:
        super().__init__(1)
        self.slope = slope
        self.own = None if slope is None else nn.Parameter(torch.tensor(4.0, dtype=DOUBLE))
        if slope is None:
            self.register_buffer("calls", torch.zeros(()))
        self.seen: list[tuple[Any, ...]] = []

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        (logits,) = parameters(q)
        z = sample(q, 1, generator)
        value = f(z, q)[0].detach()
        self.seen.append((self.training, tuple(logits.shape), torch.is_grad_enabled(), float(z.sum()), context))
        if self.slope is None:
            self.calls += self.training
            return Estimate(logits.sum(-1), value)
        return Estimate(logits.sum(-1), value, self.slope * self.own.expand(value.shape))


@pytest.mark.parametrize(("steps", "expected"), [(None, 100), (7, 7), (0, 0)])
@pytest.mark.parametrize(("rows", "copies"), [((3,), 22), ((2, 5), 7), ((64,), 1), ((65,), 1)])
def test_running_state_settles_in_a_hundred_calls_of_64_rows_at_least(
    rows: tuple[int, ...], copies: int, steps: int | None, expected: int
) -> None:
    given, context = Counting(), torch.zeros(*rows, 1)
    q = from_parameters("bernoulli", torch.zeros(*rows, 4, dtype=DOUBLE))
    found = warmed(given, q, cost, seed=5, steps=steps, context=context)
    assert (float(given.calls), float(found.calls)) == (0.0, expected)
    first, *calls = found.seen
    assert first[:2] == (False, (*rows, 4))  # a look, which sizes what is not sized
    assert {call[:3] for call in calls} == ({(True, (copies, *rows, 4), False)} if expected else set())
    assert all(call[4] is context for call in found.seen)
    generator = stream("warm-up", 5)
    many = from_parameters("bernoulli", torch.zeros(copies, *rows, 4, dtype=DOUBLE))
    assert [call[3] for call in calls] == [float(sample(many, 1, generator).sum()) for _ in calls]


@pytest.mark.parametrize(
    ("options", "moved"), [({}, 5.0), ({"steps": 3, "learning_rate": 0.25}, 0.75), ({"steps": 0}, 0)]
)
@pytest.mark.parametrize("slope", [2.0, -0.5])
def test_own_parameters_learn_by_steps_of_the_rate(options: dict[str, Any], moved: float, slope: float) -> None:
    """Adam's step of a constant slope is the rate, downhill: 500 of 1e-2 unless others are asked for."""
    given = Counting(slope)
    found = warmed(given, qs()["bernoulli"], cost, seed=5, **options)
    assert found.own.item() == pytest.approx(4.0 - math.copysign(moved, slope), rel=1e-6)
    assert given.own.item() == 4.0 and found.own.requires_grad
    assert all(grad for *_, grad, _, _ in found.seen[1:])


def test_nothing_is_called_in_training_where_there_is_nothing_to_warm() -> None:
    found = warmed(Scripted(TABLE), qs()["bernoulli"], cost, seed=5)
    assert found.taken == 0


def test_what_is_sized_by_a_first_call_is_sized_from_the_seed() -> None:
    """By torch's own generator, which is left as it was, and which no later noise comes from."""

    class Lazy(Counting):
        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            if not hasattr(self, "drawn"):
                self.drawn = torch.rand(3)
            return super().forward(q, f, generator=generator, context=context)

    with torch.random.fork_rng():
        state, q = torch.get_rng_state(), qs()["bernoulli"]
        found = warmed(Lazy(), q, cost, seed=5, steps=1)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(derive("warm-up", 5))
        assert torch.equal(found.drawn, torch.rand(3))
        many = from_parameters("bernoulli", q.logits.expand(32, 2, 4))
        assert found.seen[1][3] == float(sample(many, 1, stream("warm-up", 5)).sum())


def test_a_loss_without_own_parameters_and_own_parameters_without_a_loss_learn_nothing() -> None:
    """Nor does what f holds: only own parameters have slopes."""
    theta = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)

    class Losing(Counting):
        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            estimate = super().forward(q, f, generator=generator, context=context)
            if self.own is None:
                return estimate._replace(auxiliary=theta.expand(estimate.value.shape))
            if len(self.seen) % 2:
                return estimate._replace(auxiliary=None)
            return estimate._replace(auxiliary=(theta * self.own).expand(estimate.value.shape))

    assert float(warmed(Losing(), qs()["bernoulli"], cost, seed=5, steps=4).calls) == 4.0
    learned = warmed(Losing(1.0), qs()["bernoulli"], cost, seed=5, steps=4)
    assert learned.own.item() == pytest.approx(4.0 - 2 * 1e-2, rel=1e-6)
    assert theta.grad is None


@pytest.mark.parametrize("make", [lambda: (i for i in ()), lambda: torch.ones(1, requires_grad=True) * 2])
def test_what_cannot_be_copied_is_named(make: Callable[[], Any]) -> None:
    estimator = Scripted(TABLE)
    estimator.handle = make()
    with pytest.raises(
        ValueError, match=r"^Scripted cannot be copied for its warm-up .*: measure it as it is, warm_up = 0"
    ):
        warmed(estimator, qs()["bernoulli"], cost, seed=0)


def test_the_warm_up_of_moments_is_that_of_their_seed_and_steps() -> None:
    """Counted calls are the gradient: at 100, or at as many as are asked for, all draws alike."""

    class Counted(Counting):
        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            estimate = super().forward(q, f, generator=generator, context=context)
            return estimate._replace(surrogate=float(self.calls) * parameters(q)[0].sum(-1))

    for steps, expected in ((None, 100.0), (7, 7.0), (0, 0.0)):
        found = gradient_moments(Counted(), qs()["bernoulli"], cost, draws=3, warm_up=steps)
        assert found.mean.unique().tolist() == [expected]
        assert found.total == (0, 0, 0)
