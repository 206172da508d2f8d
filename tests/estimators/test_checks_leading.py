"""The check leading-dims and its unusual calls, in every way to pass and to fail."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import estimators
from estimators import Estimate, Estimator
from estimators.checks import Result, leading, modes, run_check
from estimators.distributions import parameters, stopped
from tests.estimators.still import DOUBLE, SHAPES, Call, Noted, Rule, Still, half_more, off, ruled, subject_of

# The check leading-dims

NOT_ALIKE = (
    "rows of shape {} give gradients 20% apart from those of the same six rows in a line, with the same noise. Usually "
    "a dim is counted from the left, or the batch is reshaped in another order"
)
ONE_ROW = "one row alone gives other gradients as [], [1] or [1, 1]. Usually squeeze() takes away more than it should"
IN_PLACE = "a q expanded to [R, B] gives other gradients than one whose rows are copied: something is written in place"
OVER_SEEDS = "the gradient of one stacked seed moves with the costs of another: something is averaged over seeds"


def leading_dims(rule: Rule, base: type[Estimator] = Still, family: str = "bernoulli") -> Result:
    return leading.leading_dims(ruled(rule, base, family=family))


@pytest.mark.parametrize("shape", [(6, 1), (1, 6), (2, 3), (3, 1, 2)])
@pytest.mark.parametrize("family", ["bernoulli", "gaussian", "categorical"])
def test_six_rows_are_the_same_in_every_shape(shape: tuple[int, ...], family: str) -> None:
    found = leading_dims(half_more(lambda self, call: call.rows == shape), family=family)
    numbers = {"shape": list(shape), "apart": pytest.approx(0.2, rel=1e-12)}
    assert found == Result("leading-dims", family, "failed", NOT_ALIKE.format(list(shape)), numbers)


def from_line(which: int) -> Rule:
    """1.5 in one row of six, whatever shape they have, if they are in no line."""

    def rule(self: Any, call: Call) -> Tensor | float:
        if math.prod(call.rows) != 6 or call.rows == (6,):
            return 1.0
        factor = torch.ones(6, dtype=DOUBLE)
        factor[which] = 1.5
        return factor.reshape(call.rows)

    return rule


@pytest.mark.parametrize("which", range(6))
def test_each_of_the_six_rows_is_looked_at(which: int) -> None:
    assert leading_dims(from_line(which)).message.startswith("rows of shape [6, 1] give gradients")


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_row_is_the_same_in_every_shape(shape: tuple[int, ...]) -> None:
    for family in ("bernoulli", "categorical"):
        found = leading_dims(half_more(lambda self, call: call.rows == shape), family=family)
        assert found == Result("leading-dims", family, "failed", ONE_ROW)


def expanded(call: Call) -> bool:
    return 0 in parameters(call.q)[0].stride()[: len(call.rows)] and 0 not in call.rows


def of_stack(seed: int) -> Rule:
    """The gradient of one of two seeds is multiplied by a cost of the other."""

    def rule(self: Any, call: Call) -> Tensor | float:
        if call.rows != (2, 6) or self.training:
            return 1.0
        factor = torch.ones(2, 6, dtype=DOUBLE)
        factor[seed] = call.cost[1 - seed, 1]
        return factor

    return rule


class Bound(Still):
    """Says how many seeds it was bound for, and keeps a number for each."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("levels", torch.zeros(1, 1, dtype=DOUBLE))
        self.weights = nn.Parameter(torch.zeros(0, dtype=DOUBLE), requires_grad=False)
        self.stack: tuple[int, ...] = ()

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.stack = tuple(stack)
        self.levels.data = torch.ones(*stack, 1, dtype=DOUBLE)
        return self


class BoundWeights(Bound):
    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.weights.data = torch.ones(*stack, 1, dtype=DOUBLE)
        self.stack = tuple(stack)
        return self


@pytest.mark.parametrize(
    ("rule", "base", "message"),
    [
        (half_more(lambda self, call: call.rows == (3, 6) and expanded(call)), Still, IN_PLACE),
        (half_more(lambda self, call: call.rows == (3, 6) and not expanded(call)), Still, IN_PLACE),
        (
            lambda self, call: math.nan if self.stack and call.rows == (2, 6) else 1.0, Bound,
            "stacked seeds [2, B] give gradients that are not finite",
        ),
        (
            lambda self, call: math.inf if self.stack and self.learned == 1 else 1.0, Bound,
            "stacked seeds [2, B] give gradients that are not finite",
        ),
        (
            lambda self, call: math.inf if self.stack and call.rows == (3, 2, 6) else 1.0, Bound,
            "stacked seeds [3, 2, B] give gradients that are not finite",
        ),
        (of_stack(0), Bound, OVER_SEEDS),
        (of_stack(1), Bound, OVER_SEEDS),
    ],
    ids=["expanded", "copied", "stacked", "stacked-later", "draws-of-stacked", "first-seed", "second-seed"],
)  # fmt: skip
def test_other_arrangements_of_rows(rule: Rule, base: type[Estimator], message: str) -> None:
    assert leading_dims(rule, base) == Result("leading-dims", "bernoulli", "failed", message)


@pytest.mark.parametrize("base", [Bound, BoundWeights])
@pytest.mark.parametrize(("of", "seen"), [((0, 1), False), ((1, 0), True), ((0, 0), True), ((1, 1), True)])
def test_what_a_seed_has_of_its_own_is_for_it_alone(base: type[Estimator], of: tuple[int, int], seen: bool) -> None:
    """Seeds 0 and 1 use the number of these seeds."""

    def rule(self: Any, call: Call) -> Tensor | float:
        own = self.levels if base is Bound else self.weights
        return own[list(of)] if self.stack and call.rows[-2:] == (2, 6) else 1.0

    found = leading_dims(rule, base)
    if seen:
        assert found.message == (
            "the gradient of one stacked seed moves with the parameters or state of another: own parameters of shape "
            "[*stack, 1, ...] are indexed or averaged over seeds"
        )
    else:
        assert found == Result("leading-dims", "bernoulli", "passed", SHAPES)


def test_a_number_of_no_seed_is_not_moved() -> None:
    """Of three numbers, of whole numbers, and of a single one."""

    class Others(Bound):
        def __init__(self, samples=1):
            super().__init__(samples)
            self.register_buffer("three", torch.zeros(3, dtype=DOUBLE))
            self.register_buffer("whole", torch.zeros(2, dtype=torch.long))
            self.register_buffer("single", torch.tensor(2.0, dtype=DOUBLE))

    def rule(self: Any, call: Call) -> Tensor | float:
        return self.three[1] + self.single + self.whole.flip(0)[:, None] if call.rows == (2, 6) else 2.0

    assert leading_dims(rule, Others) == Result("leading-dims", "bernoulli", "passed", SHAPES)


class Unstackable(Bound):
    reason = ""

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        if stack:
            raise KeyError(self.reason) if self.reason == "seeds" else NotImplementedError(self.reason)
        return super().bind(stack=stack)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("one seed\n  only", "NotImplementedError: one seed only"),
        ("seeds", "KeyError: 'seeds'"),
        ("x" * 300, "NotImplementedError: " + "x" * 200),
    ],
)
def test_seeds_that_cannot_be_stacked_are_told_with_the_reason(reason: str, words: str) -> None:
    found = run_check("leading-dims", subject_of(type("Of", (Unstackable,), {"reason": reason})))
    assert found == Result("leading-dims", "bernoulli", "failed", f"bind(stack=(2,)) raises {words}")


@pytest.mark.parametrize("excess", [1.8e-9, 2.2e-9])
def test_leading_dims_are_compared_beyond_rounding(excess: float) -> None:
    """Of a ratio 1 + x, which is x / 2 apart, held against 1e-9."""
    seen = excess > 2e-9

    def moved(self: Any, call: Call) -> Tensor | float:
        factor = torch.ones(2, 6, dtype=DOUBLE)
        factor[0] += excess * float(bool(self.levels.flatten()[-1] != 1))
        return factor if call.rows == (2, 6) else 1.0

    def costly(self: Any, call: Call) -> Tensor | float:
        if call.rows != (2, 6) or self.training:
            return 1.0
        factor = torch.ones(2, 6, dtype=DOUBLE)
        factor[0] += excess * float(bool(call.cost[1, 1].abs() > 2 * call.cost[0, 1].abs()))
        return factor

    for where, base in (
        (off(excess, lambda self, call: call.rows == (3, 1, 2)), Still),
        (off(excess, lambda self, call: call.rows == (1, 1)), Still),
        (off(excess, lambda self, call: call.rows == (3, 6) and expanded(call)), Still),
        (costly, Bound),
        (moved, Bound),
    ):
        found = leading_dims(where, base)
        assert (found.status == "failed") == seen, found.message
        assert "raises" not in found.message
    numbers = leading_dims(off(excess, lambda self, call: call.rows == (3, 1, 2))).numbers
    assert numbers == ({"shape": [3, 1, 2], "apart": pytest.approx(excess / 2, rel=1e-4)} if seen else {})


def test_what_leading_dims_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert leading.leading_dims(subject).status == "passed"
    shapes: list[tuple[int, ...]] = [(6,), (6, 1), (1, 6), (2, 3), (3, 1, 2), (), (1,), (1, 1)]
    lines = len(shapes)
    assert [call["rows"] for call in seen[:lines]] == shapes
    context, logits = subject.context(6), subject.small().values[0]
    for call in seen[:lines]:
        count = math.prod(call["rows"])
        torch.testing.assert_close(call["q"].reshape(count, 3), logits[:count])
        torch.testing.assert_close(call["context"].reshape(count, 4), context[:count])
        assert (call["seed"], call["training"], call["samples"]) == (11, False, 3)
    line = seen[0]["cost"]
    for call in seen[:lines]:
        torch.testing.assert_close(call["cost"].flatten(), line[: call["cost"].numel()])
    assert [(call["rows"], call["seed"], call["training"]) for call in seen[lines:]] == [
        *[((3, 6), 11, False)] * 2,
        *[((2, 6), 11, True)] * 2,
        ((3, 2, 6), 11, True),
        *[((2, 6), 11, False)] * 4,  # two seeds, before and after
        *[((6,), 11, False)] * 2,  # without a graph
    ]
    stacked, two = seen[lines + 2 : lines + 9], subject.context(2, 6)
    for call, expected in [(call, context) for call in seen[lines : lines + 2]] + [(call, two) for call in stacked]:
        assert torch.equal(call["q"], logits.expand(*call["rows"], 3))
        assert torch.equal(call["context"], expected.expand(*call["rows"], 4))
    before, first, again, second = seen[lines + 5 : lines + 9]
    torch.testing.assert_close(before["cost"], line.expand(2, 6))
    torch.testing.assert_close(again["cost"], line.expand(2, 6))
    torch.testing.assert_close(first["cost"], torch.stack((5 * line, line)))
    torch.testing.assert_close(second["cost"], torch.stack((line, 5 * line)))


# Unusual calls


class Direct(Still):
    """Called without the look at the call that every estimator's is given."""

    worth: Callable[[Any], float] = staticmethod(lambda self: 1.0)

    def __call__(self, q, f, *, generator=None, context=None):
        found = nn.Module.__call__(self, q, f, generator=generator, context=context)
        return found._replace(value=found.value * type(self).worth(self))


class CountsRows(Direct):
    """Counts calls without rows in two buffers, of which a third stays as it is."""

    def __init__(self, samples=1):
        super().__init__(samples)
        for name in ("seen", "unmoved", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=DOUBLE))

    def forward(self, q, f, *, generator=None, context=None):
        kept = self.steps.clone()
        found = super().forward(q, f, generator=generator, context=context)
        if 0 in found.value.shape:
            self.steps = kept
            if self.training:
                self.seen, self.weight = self.seen + 1, self.weight + 2
        return found


def test_inference_mode_gives_the_value_of_no_grad() -> None:
    message = "the value in torch.inference_mode() is another than in torch.no_grad(), with the same noise"
    for factor, expected in ((1.5, message), (1 + 2.2e-9, message), (1 + 1.8e-9, None), (1.0, None)):
        worth = staticmethod(lambda self, factor=factor: factor if torch.is_inference_mode_enabled() else 1.0)
        assert modes.unusual_calls(subject_of(type("Of", (CountsNothing,), {"worth": worth}))) == expected
    worth = staticmethod(lambda self: 1.0 if torch.is_inference_mode_enabled() or torch.is_grad_enabled() else 1.5)
    assert run_check("leading-dims", subject_of(type("Of", (CountsNothing,), {"worth": worth}))) == Result(
        "leading-dims", "bernoulli", "failed", message
    )


class CountsNothing(CountsRows):
    def forward(self, q, f, *, generator=None, context=None):
        kept = self.seen, self.weight
        found = super().forward(q, f, generator=generator, context=context)
        self.seen, self.weight = kept
        return found


def test_no_rows_leave_the_running_state_as_it_is() -> None:
    assert run_check("leading-dims", subject_of(CountsRows)) == Result(
        "leading-dims", "bernoulli", "failed", "a batch of no rows changes the running state 'seen', 'weight'"
    )
    assert run_check("leading-dims", subject_of(CountsNothing)) == Result("leading-dims", "bernoulli", "passed", SHAPES)


class OneClass(Still):
    """With one class its value is off by a factor."""

    worth, detached = 1.0, False

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        (logits,) = parameters(q)
        if logits.shape[-1] > 1:
            return found
        value = f(torch.ones(1, *logits.shape, dtype=DOUBLE), stopped(q))[0].detach()
        surrogate = logits.sum((-2, -1))  # made 0 by torch, and of no gradient
        return Estimate(surrogate.detach() if self.detached else surrogate, value * self.worth)


def one_class(**what: Any) -> str | None:
    return modes._one_class(subject_of(type("Of", (OneClass,), what), family="categorical"))


def test_one_class_is_certain_and_has_no_gradient() -> None:
    # f is 3 for each of two latents.
    assert one_class(worth=1.5) == "with one class the value is 9 where f is 6"
    assert one_class(worth=1.00123) == "with one class the value is 6.01 where f is 6"
    assert one_class(worth=1 + 2.2e-9) == "with one class the value is 6 where f is 6"
    assert one_class(worth=1 + 1.8e-9) is None
    assert one_class(detached=True) is None
    assert run_check("leading-dims", subject_of(OneClass, family="categorical")).message == SHAPES
    assert modes._one_class(subject_of(OneClass)) is None  # of bits


def test_a_gradient_of_one_class_shows_from_a_billionth_on() -> None:
    class OfTheLeaf(OneClass):
        """Reaches the leaf itself, and not what torch makes of it."""

        slope = 0.0

        def __call__(self, q, f, *, generator=None, context=None):
            found = super().__call__(q, f, generator=generator, context=context)
            if parameters(q)[0].shape[-1] > 1:
                return found
            node = parameters(q)[0].grad_fn
            while node is not None and not hasattr(node, "variable"):
                node = node.next_functions[0][0]
            leaf = q.logits if node is None else node.variable
            return found._replace(surrogate=self.slope * leaf.sum((-2, -1)))

    def found(slope: float) -> str | None:
        return modes._one_class(subject_of(type("Of", (OfTheLeaf,), {"slope": slope}), family="categorical"))

    words = "with one class, whose latent is 1 whatever its parameter, there is a gradient of"
    assert found(0.0) is None
    assert found(0.9e-9) is None
    assert found(1e-9) == f"{words} 1e-09"
    assert found(-2.468) == f"{words} 2.5"
    assert found(math.nan) == f"{words} nan"


def test_what_unusual_calls_are_made_with() -> None:
    class AsCalled(Direct):
        seen: ClassVar[list[tuple[Any, ...]]] = []

        def __call__(self, q, f, *, generator=None, context=None):
            first = parameters(q)[0]
            mode = "inference" if torch.is_inference_mode_enabled() else "graph" if torch.is_grad_enabled() else "none"
            seed = None if generator is None else generator.initial_seed()
            cost = f(torch.ones(2, *first.shape, dtype=DOUBLE), q)[0].detach()
            self.seen.append(
                (mode, tuple(first.shape), seed, self.training, tuple(context.shape), self.samples, cost.tolist())
            )
            found = Estimator.__call__(self, q, f, generator=generator, context=context)
            return found._replace(value=cost) if first.shape[-1] == 1 else found

    subject = subject_of(AsCalled, family="categorical", samples=(2, 2))
    grid = subject.small(2)
    assert modes.unusual_calls(subject) is None
    q = estimators.distributions.from_parameters("categorical", *grid.values)
    cost = pytest.approx(grid.f(grid.theta)(torch.ones(1, 6, 2, 4, dtype=DOUBLE), q)[0].tolist())
    assert AsCalled.seen == [
        ("none", (6, 2, 4), 11, False, (6, 4), 2, cost),
        ("inference", (6, 2, 4), 11, False, (6, 4), 2, cost),
        ("none", (6, 2, 4), 11, False, (6, 4), 2, cost),  # as every call in inference mode is made anew
        ("graph", (0, 2, 4), None, True, (0, 4), 2, []),
        ("graph", (3, 2, 1), None, False, (3, 4), 2, [6.0, 6.0, 6.0]),
    ]
