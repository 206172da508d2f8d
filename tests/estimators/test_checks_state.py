"""The checks state and auxiliary, in every way to pass and to fail."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import estimators
from estimators import Estimator
from estimators.checks import Result, run_check, state
from estimators.contract import Broken
from estimators.distributions import parameters
from tests.estimators.outside import LearnedLevel, RunningMean
from tests.estimators.still import (
    DOUBLE,
    FROZEN,
    NEW,
    Call,
    Learns,
    Noted,
    Rule,
    Still,
    half_more,
    off,
    ruled,
    subject_of,
)

# The check state


def state_of(rule: Rule, base: type[Estimator] = Still, **tags: Any) -> Result:
    return state.state(ruled(rule, base, **tags))


def in_eval_by(share: str) -> str:
    return (
        f"in eval() the gradient moves by {share} after a call with other costs, though no buffer changes: state is "
        "kept in a plain attribute, and updated in eval()"
    )


def in_training(which: str, share: str = "20%") -> str:
    return (
        f"a {which} estimator gives a gradient in train() that is {share} apart from that in eval(), with the same "
        "noise and state: the state is updated before it is used, so a draw's own cost is in its baseline"
    )


def not_restored(share: str = "20%") -> str:
    return (
        f"restored from state_dict(), the gradient is {share} apart: some state is not saved; keep it in buffers "
        "(register_buffer), not in plain attributes"
    )


def kept_from(share: str = "20%") -> str:
    return (
        f"in eval() the gradient at other parameters is {share} apart after calls at the first: something of an "
        "earlier call is kept and used again"
    )


def trained_on(share: str = "20%") -> str:
    return f"trained on from state_dict(), the gradient is {share} apart: some state is not saved"


def unbound(share: str = "20%") -> str:
    return f"used without bind() and restored from state_dict(), the gradient is {share} apart: some state is not saved"


class KeepsFirst(Still):
    """Keeps the costs and the logits of the first call in eval(), unsaved."""

    first: Any = None

    def forward(self, q, f, *, generator=None, context=None):
        self.last, self.now = getattr(self, "now", None), None
        found = super().forward(q, f, generator=generator, context=context)
        if self.first is None and not self.training:
            self.first = found.value, parameters(q)[0].detach()
        self.now = found.value
        return found


def ratio(one: Tensor, other: Tensor) -> float:
    return float(one.detach().flatten()[1] / other.detach().flatten()[1])


class LevelOfLater(Still):
    """A saved level that is set by an unsaved count of steps."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("level", torch.ones((), dtype=DOUBLE))

    def rule(self, call):
        if self.training and self.learned >= 5:
            self.level = torch.full((), 1.5, dtype=DOUBLE)
        return self.level.clone()


class BoundOnly(Still):
    bound = False

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.bound = True
        return self


STATES: list[tuple[str, Rule | None, type[Estimator], str]] = [
    # In eval(): a call, one with other costs, and the first again.
    ("an attribute", lambda self, call: 1 + 0.25 * self.uses * (not self.training), Still, in_eval_by("20%")),
    (
        "a tiny attribute", lambda self, call: 1 + 1e-12 * self.uses * (not self.training), Still,
        in_eval_by("1e-12 of its size"),
    ),
    (
        "costs a hundred times as large", lambda self, call: 1.5 if not self.training and self.last is not None
        and abs(ratio(self.last, call.cost) - 100) < 1e-6 else 1.0, KeepsFirst, in_eval_by("20%"),
    ),
    (
        "another seed for the other costs", lambda self, call: 1.5 if self.uses == 2 and call.seed == 11 else 1.0,
        Still, in_eval_by("20%"),
    ),
    ("a fresh one", half_more(lambda self, call: self.training and self.steps == 0), Still, in_training("fresh")),
    ("a trained one", half_more(lambda self, call: self.training and self.steps == 3), Still, in_training("trained")),
    ("its eval", half_more(lambda self, call: not self.training and self.steps == 0), Still, in_training("fresh")),
    (
        "just beyond rounding", off(2.2e-9, lambda self, call: self.training and self.steps == 0), Still,
        in_training("fresh", "1e-09 of its size"),
    ),
    ("an unsaved count", half_more(lambda self, call: self.learned >= 3), Still, not_restored()),
    ("an unsaved tiny count", off(2.2e-9, lambda self, call: self.learned >= 3), Still,
     not_restored("1e-09 of its size")),
    (
        "costs at the first parameters", half_more(
            lambda self, call: not self.training and self.first is not None
            and abs(ratio(parameters(call.q)[0], self.first[1]) - 0.7) < 1e-9
        ), KeepsFirst, kept_from(),
    ),
    (
        "kept at another seed", half_more(lambda self, call: call.seed == 13 and self.first is not None), KeepsFirst,
        kept_from(),
    ),
    (
        "kept beyond rounding", off(2.2e-9, lambda self, call: call.seed == 13 and self.first is not None), KeepsFirst,
        kept_from("1e-09 of its size"),
    ),
    ("a level", None, LevelOfLater, trained_on()),
    (
        "where it is not bound", half_more(lambda self, call: not self.bound and self.learned >= 3), BoundOnly,
        unbound(),
    ),
    (
        "hardly, where it is not bound", off(2.2e-9, lambda self, call: not self.bound and self.learned >= 3),
        BoundOnly, unbound("1e-09 of its size"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "base", "message"), [said[1:] for said in STATES], ids=[said[0] for said in STATES])
def test_state_that_is_not_frozen_not_saved_or_used_too_early(
    rule: Rule | None, base: type[Estimator], message: str
) -> None:
    found = state.state(subject_of(base) if rule is None else ruled(rule, base))
    assert found == Result("state", "bernoulli", "failed", message)


@pytest.mark.parametrize(
    ("where", "base"),
    [
        (lambda self, call: self.training and self.steps == 0, Still),
        (lambda self, call: self.learned >= 3, Still),
        (lambda self, call: call.seed == 13 and self.first is not None, KeepsFirst),
        (lambda self, call: not self.bound and self.learned >= 3, BoundOnly),
    ],
)
def test_state_is_compared_beyond_rounding(where: Callable[[Any, Call], bool], base: type[Estimator]) -> None:
    assert state_of(off(1.8e-9, where), base) == Result("state", "bernoulli", "passed", FROZEN)


class Stubborn(Still):
    """Does not take the state of another, or of one that was not bound."""

    reason, unless_bound, bound = "", False, False

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.bound = True
        return self

    def load_state_dict(self, state_dict, strict=True, assign=False):
        if self.bound and self.unless_bound:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        raise RuntimeError(self.reason)


@pytest.mark.parametrize(
    ("unless_bound", "words"),
    [
        (False, "state_dict() of a trained estimator does not load into a fresh one: "),
        (
            True,
            "state_dict() of an estimator that was used without bind() does not load into a fresh one, whose sizes it "
            "must take: ",
        ),
    ],
)
def test_state_that_does_not_load_is_told_with_the_reason(unless_bound: bool, words: str) -> None:
    for reason, said in (("no\n  such  key", "no such key"), ("y" * 201, "y" * 200)):
        found = run_check(
            "state", subject_of(type("Of", (Stubborn,), {"reason": reason, "unless_bound": unless_bound}))
        )
        assert found == Result("state", "bernoulli", "failed", words + said)


class TwoMove(RunningMean):
    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        self.mean, self.count = self.mean + 1, self.count + 1
        return found


def test_all_running_state_that_moves_in_eval_is_named() -> None:
    assert run_check("state", subject_of(TwoMove)) == Result(
        "state",
        "bernoulli",
        "failed",
        "in eval() the running state 'mean', 'count' changes: update it only if self.training",
    )


class OfAnEarlierStep(LearnedLevel):
    """The graph of the step before is in its loss."""

    before: Any = 0.0

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        now = self.level.exp().sum()
        total = found.auxiliary + now + self.before
        self.before = now
        return found._replace(auxiliary=total)


class FailsAtTheThirdStep(Still):
    def rule(self, call):
        if self.steps == 2:
            raise ValueError("the third step")
        return 1.0


def test_what_training_steps_raise_is_told() -> None:
    assert run_check("state", subject_of(OfAnEarlierStep)) == Result(
        "state", "bernoulli", "failed", "running state keeps the graph of an earlier step: store it detached"
    )
    assert run_check("state", subject_of(FailsAtTheThirdStep)) == Result(
        "state", "bernoulli", "failed", "forward raises ValueError for rows [6]: the third step"
    )
    for words in ("a second time", "it was freed"):

        class Raises(Still):
            said = words

            def rule(self, call):
                raise ValueError(self.said)

        with pytest.raises(Broken, match=r"^running state keeps the graph of an earlier step: store it detached$"):
            state._trained(subject_of(Raises), subject_of(Raises).small(1), None)


def test_training_takes_three_steps_at_growing_costs_and_moves_own_parameters() -> None:
    subject = subject_of(Learns)
    grid = subject.small(1)
    context = subject.context(6)
    q = estimators.distributions.from_parameters("bernoulli", *grid.values)
    plain = grid.f(grid.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0]
    given = Learns().eval()
    start = subject.create(grid).state_dict()["level"].item()
    for estimator, first, expected in (
        (state._trained(subject, grid, context), start, (6, 4)),
        (state._trained(subject, grid, context, given), 0.0, (6, 4)),
        (state._trained(subject, grid, None), start, None),
    ):
        assert estimator.training
        assert isinstance(estimator, Learns)
        assert estimator.seeds == [(0, True, expected), (1, True, expected), (2, True, expected)]
        for scale, cost in zip((2, 3, 4), estimator.costs, strict=True):
            torch.testing.assert_close(cost, scale * plain)
        assert estimator.level.item() == pytest.approx(first + 0.3)  # three steps of a tenth
        assert estimator.fixed.item() == 0.0
    assert state._trained(subject, grid, context, given) is given


def made(names: Sequence[str]) -> str:
    return f"makes new parameters {', '.join(map(repr, names))}: {NEW}"


def test_own_parameters_that_are_other_objects_are_named() -> None:
    class Three(Estimator):
        def __init__(self):
            super().__init__(1)
            self.full, self.none = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(0))
            self.lazy = nn.parameter.UninitializedParameter()

    estimator = Three()
    before = dict(estimator.named_parameters())
    assert state._others(before, estimator) is state._others(before, estimator, empty=False) is None
    estimator.new = nn.Parameter(torch.zeros(3))
    estimator.none, estimator.lazy = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    # What was not there, or was a placeholder, is named or not, as is asked for.
    assert state._others(before, estimator) == made(["none", "lazy", "new"])
    assert state._others(before, estimator, empty=False) is None
    estimator.full = nn.Parameter(torch.zeros(2))
    assert state._others(before, estimator) == made(["full", "none", "lazy", "new"])
    assert state._others(before, estimator, empty=False) == made(["full"])


class MadeByBind(LearnedLevel):
    """Its level is made anew by bind, from nothing."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.level = nn.Parameter(torch.zeros(0))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.level = nn.Parameter(torch.zeros(*stack, 1))
        return self


def test_what_bind_makes_from_nothing_is_a_warning() -> None:
    subject = subject_of(MadeByBind)
    assert state._made_by_bind(subject) == made(["level"])
    assert state._made_by_bind(subject, empty=False) is None
    late = (f"bind() {made(['level'])}",)
    assert run_check("state", subject).warnings == late
    updated = type("Updated", (MadeByBind, Stubborn), {"reason": "never"})
    assert run_check("state", subject_of(updated)).status == "failed"
    assert run_check("state", subject_of(updated)).warnings == late


class RaisesUnlessBound(BoundOnly):
    where = False

    def rule(self, call):
        if self.bound == self.where:
            raise ValueError("no such size")
        return 1.0


def test_an_estimator_may_need_its_context_but_not_fail_where_it_is_bound() -> None:
    assert run_check("state", subject_of(RaisesUnlessBound)) == Result("state", "bernoulli", "passed", FROZEN)
    bound = subject_of(type("Of", (RaisesUnlessBound,), {"where": True}))
    assert run_check("state", bound) == Result(
        "state", "bernoulli", "failed", "forward raises ValueError for rows [6]: no such size"
    )


class NotedCalls(Still):
    seen: ClassVar[list[Any]] = []
    bound = False

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("single", torch.zeros(()))  # which is asked for in double precision

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        self.bound = True
        return self

    def rule(self, call):
        context = None if call.context is None else tuple(call.context.shape)
        size = round(float(call.cost[0]) / 2.4, 6)  # 3 of the constant objective, by .8 of theta
        NotedCalls.seen.append((self.bound, self.training, call.seed, context, size, self.samples, self.single.dtype))
        return 1.0


def test_what_state_calls_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotedCalls, "seen", [])
    assert state.state(subject_of(NotedCalls, samples=(2, 2))).message == FROZEN

    def at(bound: bool, training: bool, seed: int, size: float) -> tuple[Any, ...]:
        return bound, training, seed, (6, 4) if bound else None, size, 2, DOUBLE

    steps = [at(True, True, seed, 2.0 + seed) for seed in range(3)]
    both = [at(True, training, 11, 1.0) for training in (True, False)]
    assert NotedCalls.seen == [
        at(True, True, 11, 1.0), at(False, True, 11, 1.0),  # what the first call makes
        *steps, at(True, False, 11, 1.0), at(True, False, 12, 100.0), at(True, False, 11, 1.0),
        *both, *both, at(True, False, 11, 1.0),  # restored
        at(True, False, 13, 1.0), at(True, False, 13, 1.0),  # at other parameters
        *steps, at(True, False, 11, 1.0), *steps, at(True, False, 11, 1.0),
        # Without bind().
        *[at(False, True, seed, 2.0 + seed) for seed in range(3)], at(False, False, 11, 1.0), at(False, False, 11, 1.0),
    ]  # fmt: skip


# The check auxiliary


class TwoOwn(Still):
    """Two own parameters, of which a loss reaches those that it is told to."""

    loss: Callable[..., Any] = staticmethod(lambda self, q, value: self.first.sum() + self.second.sum())
    more: Callable[..., Any] = staticmethod(lambda self, q: 0.0)

    def __init__(self, samples=1):
        super().__init__(samples)
        self.first, self.second = nn.Parameter(torch.ones(2, dtype=DOUBLE)), nn.Parameter(torch.ones(1, dtype=DOUBLE))

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        loss = type(self).loss(self, q, found.value)
        surrogate = found.surrogate + type(self).more(self, q)
        return found._replace(surrogate=surrogate, auxiliary=None if loss is None else loss.expand(found.value.shape))


class NoneOwn(Still):
    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(auxiliary=found.value)


NOT_OWN = "the auxiliary loss has a gradient in {}: it must reach the estimator's own parameters alone; detach costs and logits in it"  # noqa: E501


def loss(of: Callable[..., Any]) -> dict[str, Any]:
    return {"loss": staticmethod(of)}


def more(of: Callable[..., Any]) -> dict[str, Any]:
    return {"more": staticmethod(of)}


AUXILIARY: list[tuple[type[Estimator], dict[str, Any], str, str]] = [
    (TwoOwn, {}, "passed", "the auxiliary loss reaches 2 own parameters and nothing else"),
    (
        TwoOwn, loss(lambda self, q, value: None), "failed",
        "it has parameters of its own (first, second) and no auxiliary loss: they never learn",
    ),
    (
        NoneOwn, {}, "failed", "it returns an auxiliary loss and has no parameters of its own: return None",
    ),
    (
        TwoOwn, loss(lambda self, q, value: value), "failed",
        "the auxiliary loss is detached: it reaches no parameter",
    ),
    (
        TwoOwn, loss(lambda self, q, value: self.first.sum() + 1e-300 * parameters(q)[-1].sum()), "failed",
        NOT_OWN.format("q's parameters"),
    ),
    (
        TwoOwn, loss(lambda self, q, value: self.first.sum() + self.second.sum() + 0 * parameters(q)[0].sum()),
        "passed", "the auxiliary loss reaches 2 own parameters and nothing else",
    ),
    (
        TwoOwn, loss(lambda self, q, value: math.inf * self.first.sum() + self.second.sum()), "failed",
        "the auxiliary loss has a gradient that is not finite",
    ),
    (
        TwoOwn, loss(lambda self, q, value: self.first.sum() + math.nan * self.second.sum()), "failed",
        "the auxiliary loss has a gradient that is not finite",
    ),
    (
        TwoOwn, loss(lambda self, q, value: self.second.sum()), "failed",
        "the auxiliary loss does not reach first: they never learn",
    ),
    (
        TwoOwn, loss(lambda self, q, value: torch.ones(1, requires_grad=True).sum()), "failed",
        "the auxiliary loss does not reach first, second: they never learn",
    ),
    (
        TwoOwn, more(lambda self, q: 1e-12 * self.first.sum()), "failed",
        "the surrogate has a gradient in the estimator's own first: they would learn from the model's loss; detach "
        "them in the surrogate",
    ),
    (
        TwoOwn, more(lambda self, q: self.first.sum() * self.second.sum()), "failed",
        "the surrogate has a gradient in the estimator's own first, second: they would learn from the model's loss; "
        "detach them in the surrogate",
    ),
    (
        TwoOwn, more(lambda self, q: 0 * self.first.sum() * self.second.sum()), "passed",
        "the auxiliary loss reaches 2 own parameters and nothing else",
    ),
]  # fmt: skip


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(("base", "what", "status", "message"), AUXILIARY)
def test_the_auxiliary_loss_reaches_own_parameters_alone(
    base: type[Estimator], what: dict[str, Any], status: Any, message: str, family: str
) -> None:
    found = run_check("auxiliary", subject_of(type("Of", (base,), what), family=family))
    assert found == Result("auxiliary", family, status, message)


def test_the_auxiliary_loss_is_looked_at_in_training(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert run_check("auxiliary", subject).status == "not applicable"
    (call,) = seen
    assert (call["training"], call["seed"], call["samples"], call["rows"]) == (True, 11, 3, (6,))
    assert torch.equal(call["context"], subject.context(6))
