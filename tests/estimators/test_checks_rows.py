"""The check rows, in every way to pass and to fail."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import estimators
from estimators import Estimate, Estimator
from estimators.checks import Result, rows, run_check, subjects
from estimators.checks.noise import Draw, Watch
from estimators.checks.subject import Subject
from estimators.distributions import parameters, stopped
from tests.estimators.still import DOUBLE, Call, Noted, Rule, Still, entry, ruled, subject_of


def of_row(what: str) -> Rule:
    """The gradient of every row is multiplied by what the third row has of its own."""

    def rule(self: Any, call: Call) -> Tensor | float:
        if len(call.rows) != 1 or call.rows[0] < 3 or call.context is None:
            return 1.0
        if what == "cost":
            return call.cost[2].abs()
        if what == "context":
            return call.context[2, 0].exp()
        own = parameters(call.q)[-1].detach()[2]
        return own.amax() - own.amin()

    return rule


def only(where: Callable[[Any, Call], bool], rule: Rule) -> Rule:
    return lambda self, call: rule(self, call) if where(self, call) else 1.0


MOVED = {
    "cost": "67%",  # (5 - 1) / (5 + 1)
    "parameters": "13%",  # 0.3 / 2.3
    "context": "46%",  # (e - 1) / (e + 1)
}


@pytest.mark.parametrize("what", MOVED)
@pytest.mark.parametrize(("training", "samples"), [(False, 1), (True, 1), (False, 3), (True, 3)])
def test_a_row_must_not_move_with_another_one(what: str, training: bool, samples: int) -> None:
    rule = only(lambda self, call: self.training == training and self.samples == samples, of_row(what))
    for family in ("bernoulli", "gaussian") if (training, samples) == (False, 1) else ("categorical",):
        assert rows.rows(ruled(rule, family=family)) == Result(
            "rows",
            family,
            "failed",
            f"a row's gradient moves by {MOVED[what]} when the {what} of another row changes "
            f"({'train()' if training else 'eval()'}, samples={samples}): rows must be independent. Usually a mean, a "
            "normalisation or a softmax runs over the batch",
        )


def test_rows_are_compared_at_five_seeds_and_beyond_rounding() -> None:
    def moves(subject: Subject) -> str | None:
        return rows._coupled(subject, subject.small(1), False)

    rule = of_row("cost")
    for seed, seen in ((0, True), (4, True), (5, False)):
        found = moves(ruled(only(lambda self, call, seed=seed: call.seed == seed, rule)))
        assert (found is not None) == seen

    def nearly(excess: float) -> Rule:  # of a ratio 1 + x, x / 2 apart
        return lambda self, call: 1 + excess * float(call.cost[2].abs() > 4 * plain)

    subject = subject_of(Still)
    grid = subject.small(1)
    q = estimators.distributions.from_parameters("bernoulli", *grid.values)
    plain = float(grid.f(grid.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0, 2].abs())
    assert moves(ruled(nearly(1.9e-9))) is None
    found = moves(ruled(nearly(2.2e-9)))
    assert found is not None
    assert found.startswith("a row's gradient moves by 1e-09 of its size when the cost of another row changes")


def drawn(*noises: tuple[str, Tensor]) -> Watch:
    watch = Watch()
    watch.draws = [Draw(source, noise, None, True) for source, noise in noises]
    return watch


def test_noise_by_rejection_that_moves_in_the_other_rows_is_no_evidence() -> None:
    others, plain = [0, 1, 3], torch.arange(24.0).reshape(2, 4, 3)
    here, there = plain.clone(), plain.clone()
    here[:, 2] += 1
    there[:, 3] += 1
    for source in ("torch.binomial", "torch.poisson"):
        for after, same in ((plain, True), (here, True), (there, False), (there[:1], True)):
            assert rows._same_noise(drawn((source, plain)), drawn((source, after)), others, 4) == same
    # Others take as much of the generator whatever the parameters are, and noise without rows tells nothing.
    skipped = ("torch.rand", plain), ("torch.binomial", torch.zeros(7)), ("torch.poisson", plain)
    for last, same in ((plain, True), (there, False)):
        after = ("torch.rand", there), ("torch.binomial", torch.ones(7)), ("torch.poisson", last)
        assert rows._same_noise(drawn(*skipped), drawn(*after), others, 4) == same
    assert rows._same_noise(drawn(), drawn((skipped[2][0], plain)), others, 4)


class IgnoresWeights(torch.autograd.Function):
    """Backward gives a slope of one to each row that has any weight."""

    @staticmethod
    def forward(ctx, rows):
        return rows.clone()

    @staticmethod
    def backward(ctx, weight):
        return (weight != 0).to(weight)


WEIGHTLESS = "the surrogate's gradient does not scale with a row's weight in the loss: its backward ignores it"


class Weightless(Still):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(surrogate=IgnoresWeights.apply(found.surrogate))


class NearlyLinear(Still):
    """Its gradient is off by x, relative to the weight, where a weight is not 1."""

    off = 0.0

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        off = self.off

        def hook(weight: Tensor) -> Tensor:
            return torch.where(weight == weight.flatten()[0], weight, weight * (1 + off))

        kept = found.surrogate * 1.0
        if kept.requires_grad:
            kept.register_hook(lambda weight: hook(weight) if bool((weight != 0).all()) else weight)
        return found._replace(surrogate=kept)


def test_a_row_s_weight_in_the_loss_is_that_of_its_gradient() -> None:
    assert run_check("rows", subject_of(Weightless)) == Result("rows", "bernoulli", "failed", WEIGHTLESS)
    for off, found in ((1e-10, None), (1e-7, WEIGHTLESS)):
        assert rows._leaking(subject_of(type("Nearly", (NearlyLinear,), {"off": off}))) == found


class Slope(Estimator):
    """Of slope 1.5 in each logit, which a hook multiplies, or of slope x in those of another row or in its theta."""

    hooked, leak, of_theta, detached = 0.0, 0.0, 0.0, False

    def forward(self, q, f, *, generator=None, context=None):
        if self.hooked and q.logits.requires_grad:
            q.logits.register_hook(lambda g: g * (1 + self.hooked))
        sums = q.logits.sum(-1)
        cost = f(torch.zeros(1, *q.logits.shape, dtype=q.logits.dtype), stopped(q))[0]
        total = 1.5 * sums + self.leak * sums.roll(1) + self.of_theta * cost.roll(-1)
        return Estimate(total.detach() if self.detached else total, cost.detach())


OTHER_ROW = (
    "the surrogate of one row has a gradient in the parameters of another. Usually a mean over the batch is returned "
    "for every row, or dims are mixed up in a reshape"
)
HOOK = "another term's gradient in the same parameters comes out wrong: forward leaves a hook on them"
DETACHED = "the surrogate has no gradient at all: it is detached, or made under no_grad"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, None),
        ({"leak": 1e-12}, OTHER_ROW),
        ({"of_theta": 1e-12}, OTHER_ROW),
        # 3 x of 1.5 + 1.5, relative to both.
        ({"hooked": 0.9e-6}, None),
        ({"hooked": 1.1e-6}, HOOK),
        ({"detached": True}, DETACHED),
    ],
)
def test_nothing_else_is_in_the_surrogate_of_a_row(what: dict[str, Any], message: str | None) -> None:
    assert rows._leaking(subject_of(type("Of", (Slope,), what))) == message


def test_a_parameter_that_is_not_used_leaks_nothing() -> None:
    assert rows._leaking(subject_of(Still, family="gaussian")) is None  # whose scale has no gradient
    assert rows._leaking(subject_of(Weightless, family="gaussian")) == WEIGHTLESS


@pytest.mark.parametrize(("row", "seen"), [(0, True), (2, True), (5, True), (1, False)])
def test_the_second_row_s_surrogate_is_looked_at_in_all_others(row: int, seen: bool) -> None:
    class OfOneRow(Slope):
        def forward(self, q, f, *, generator=None, context=None):
            found = super().forward(q, f, generator=generator, context=context)
            return found._replace(
                surrogate=found.surrogate + 0.1 * q.logits[row].sum() * (found.value == found.value[1])
            )

    assert (rows._leaking(subject_of(OfOneRow)) == OTHER_ROW) == seen


COUNT, COPIES = 2003, 4
"""Equal rows, side by side, in which shared noise is looked for."""


def patterned(pattern: np.ndarray) -> Subject:
    """A subject whose gradient in the equal rows [2003, 4] is a pattern, in the first latent alone."""

    class Patterned(Still):
        def forward(self, q, f, *, generator=None, context=None):
            if q.logits.shape != (COUNT, COPIES, 3):
                return super().forward(q, f, generator=generator, context=context)
            value = f(torch.zeros(1, COUNT, COPIES, 3, dtype=DOUBLE), stopped(q)).mean(0)
            return Estimate((torch.from_numpy(pattern) * q.logits[..., 0]), value.detach())

    return subject_of(Patterned)


def independent() -> np.ndarray:
    """[2003, 4], orthogonal columns of mean zero and length one."""
    plain = np.random.default_rng(0).standard_normal((COUNT, COPIES))
    return np.linalg.qr(plain - plain.mean(0))[0]


def related(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).mean() / math.sqrt((one**2).mean() * (other**2).mean()))


def shared(where: str, r: float, n: int) -> str:
    return (
        f"gradients of equal rows {where} are correlated (|r| = {abs(r):.2f}, n = {n}): they share noise. Draw noise "
        "of shape [S, *B, ...]"
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("first", "second"), [(1, 0), (3, 0), (3, 2)])
def test_noise_shared_in_one_batch_shows_from_eight_standard_errors_on(first: int, second: int, sign: int) -> None:
    """Of columns whose correlation is exact: 8 / sqrt(2003) is 0.1788."""
    for r, message in ((0.178, None), (0.18, shared("in one batch", 0.18, COUNT))):
        pattern = independent()
        pattern[:, first] = sign * (r * pattern[:, second] + math.sqrt(1 - r**2) * pattern[:, first])
        assert rows._shared_noise(patterned(7.0 * pattern)) == message


def test_noise_shared_with_the_next_rows_half_a_batch_on_or_at_the_other_end_is_told() -> None:
    half = COUNT // 2
    beside, apart, mirrored = independent(), independent(), independent()
    for k in range(1, COUNT):
        beside[k] = 0.3 * beside[k - 1] + 0.9 * beside[k]
    apart[half : 2 * half] = 0.25 * apart[:half] - apart[half : 2 * half]
    mirrored[COUNT - half :] += 0.5 * mirrored[:half][::-1]
    for pattern in (beside, apart, mirrored):
        pattern -= pattern.mean()
    said = [
        shared("next to each other", related(beside[1:], beside[:-1]), 4 * (COUNT - 1)),
        shared("half a batch apart", related(apart[:half], apart[half : 2 * half]), 4 * half),
        shared("at opposite ends of the batch", related(mirrored[:half], mirrored[::-1][:half]), 4 * half),
    ]
    assert [rows._shared_noise(patterned(pattern)) for pattern in (beside, apart, mirrored)] == said
    assert rows._shared_noise(patterned(independent())) is None


def test_a_gradient_s_mean_is_no_correlation() -> None:
    assert rows._shared_noise(patterned(independent() + 5.0)) is None


class OneChoiceACall(Still):
    """Equal rows [R, C] of a call have 1 and -1 in turn, as on a chessboard, and calls a height and its negative."""

    height = 0.0

    def __init__(self, samples=1):
        super().__init__(samples)
        self.calls = 0

    def rule(self, call):
        self.calls += 1
        sign = 1.0 - 2 * (sum(torch.meshgrid(*map(torch.arange, call.rows), indexing="ij")) % 2)
        return (sign.double() + self.height * (-1) ** self.calls) / call.cost


def between(height: float) -> tuple[Subject, float]:
    """A subject and its ratio: calls vary by 40 / 39 h^2, rows by 1,004 / 1,003, of which a mean has a 1,004th."""
    return subject_of(type("Of", (OneChoiceACall,), {"height": height})), height**2 * 40 / 39 * 1003


def ratio_of(subject: Subject) -> float:
    grid = subject.small(1)
    values = [v[4].expand(COUNT, COPIES, 3).clone().requires_grad_() for v in grid.values]
    theta, context = grid.theta[4].expand(COUNT, COPIES), subject.context(6)[4].expand(COUNT, COPIES, -1)
    return rows._between_calls(subject, grid, values, theta, context)


@pytest.mark.parametrize("height", [0.01, 0.0623, 0.0624, 1.0])
def test_calls_that_vary_more_than_their_rows_share_a_choice(height: float) -> None:
    subject, ratio = between(height)
    assert ratio_of(subject) == pytest.approx(ratio, rel=1e-9)
    found = rows._shared_noise(subject)
    assert (found is not None and found.startswith("means of whole calls")) == (ratio > 4)
    if ratio > 4:
        assert found == (
            f"means of whole calls vary {ratio:.1f} times as much as independent rows would: the rows of a call share "
            "a choice, such as one torch.randperm or torch.randint for all. Draw one a row"
        )


def test_calls_without_noise_do_not_vary() -> None:
    assert ratio_of(subject_of(Still)) == 0.0
    assert rows._shared_noise(subject_of(Still)) is None


def test_shared_noise_is_looked_for_in_equal_rows_of_the_mlp_objective(seen: list[dict[str, Any]]) -> None:
    subject = subjects(entry(Noted, samples=(2, 2)), seed=6)[0]
    assert rows._shared_noise(subject) is None
    grid = subject.small(2)
    q = estimators.distributions.from_parameters("bernoulli", *grid.values)
    cost = grid.f(grid.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0, 4]
    assert grid.rows[4].objective == "mlp"
    assert [(call["rows"], call["seed"], call["training"], call["samples"]) for call in seen] == [
        ((COUNT, COPIES), 6_000_020, False, 2), *[((251, COPIES), 6_000_022, False, 2)] * 40
    ]  # fmt: skip
    for call in seen:
        for name, one in (("q", grid.values[0][4]), ("cost", cost), ("context", subject.context(6)[4])):
            torch.testing.assert_close(call[name], one.expand(call[name].shape))


def test_rows_are_looked_at_for_each_number_of_samples_in_eval_and_in_training(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert run_check("generator", subject).status == "passed"
    seen.clear()
    assert run_check("rows", subject).status == "passed"
    expected = [
        (samples, training, seed)
        for samples in (1, 3)
        for training in (False, True)
        for seed in range(5)
        for _ in "pcqx"
    ]
    assert [(call["samples"], call["training"], call["seed"]) for call in seen[: len(expected)]] == expected
    (plain, cost, moved, told), grid = seen[:4], subject.small(1)
    factor = torch.ones(6, dtype=DOUBLE)
    factor[2] = 5
    torch.testing.assert_close(cost["cost"], factor * plain["cost"])
    factor[2] = 1.3
    torch.testing.assert_close(moved["q"], factor[:, None] * grid.values[0])
    assert torch.equal(plain["q"], grid.values[0])
    for call in (plain, cost, moved):
        assert torch.equal(call["context"], subject.context(6))
    factor[2] = 2
    torch.testing.assert_close(told["context"], subject.context(6) + (factor - 1)[:, None])
    # Then the surrogate's form, at the largest number of samples.
    (form,) = (call for call in seen if call["rows"] == (6,) and call["seed"] == 2 and call["context"] is not None
               and call is seen[len(expected)])  # fmt: skip
    assert (form["samples"], form["training"]) == (3, False)
