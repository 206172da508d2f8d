"""What the checks of calls, rows, precision and state say and decide, word for word, and what is made of their results.

Most estimators here have no noise and a gradient that can be told: it is multiplied by 1.5 where a fault is to show, so
that it is 0.5 / 2.5 = 20 % apart from what it should be.
"""

import math
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

import estimators
from estimators import Estimate, Estimator
from estimators.checks import (
    ALPHA,
    CHECKS,
    BoundCheck,
    Certificate,
    Result,
    calls,
    certificate,
    certify,
    checks_for,
    leading,
    modes,
    parametrize_with_checks,
    precision,
    rows,
    run_check,
    state,
    subjects,
)
from estimators.checks.grid import EVENTS, Grid
from estimators.checks.noise import Draw, Forced, Watch
from estimators.checks.result import failed
from estimators.checks.subject import Subject, copied, own_parameters, run
from estimators.contract import Broken
from estimators.distributions import parameters, sample, stopped, uniform
from estimators.errors import BadInput
from estimators.registry import Entry, entry_of, one_a_sample
from tests.estimators import outside
from tests.estimators.faults import FAULTS
from tests.estimators.faults.base import Score
from tests.estimators.outside import LearnedLevel, RunningMean

DOUBLE = torch.float64


class Call(NamedTuple):
    """What a rule may look at."""

    rows: tuple[int, ...]
    seed: int | None
    """Of the generator; None without one."""
    cost: Tensor
    """[*B], of z = 0."""
    q: Distribution
    context: Tensor | None
    generator: Generator | None


Rule = Callable[[Any, Call], Tensor | float]


class Still(Estimator):
    """Without noise: the gradient of each number of q's first parameter is the cost of z = 0, times a rule's factor."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("steps", torch.zeros((), dtype=DOUBLE))
        self.uses = 0
        """Calls in eval(), of which nothing is saved."""
        self.learned = 0
        """Calls in train(), of which nothing is saved."""

    def rule(self, call: Call) -> Tensor | float:
        return 1.0

    def forward(self, q, f, *, generator=None, context=None):
        first = parameters(q)[0]
        cost = f(torch.zeros(self.samples, *first.shape, dtype=first.dtype), stopped(q)).mean(0)
        shape, event = cost.shape, range(-1, cost.dim() - first.dim() - 1, -1)
        seed = None if generator is None else generator.initial_seed()
        factor = self.rule(Call(tuple(shape), seed, cost.detach(), q, context, generator))
        if self.training:
            self.steps += 1
            self.learned += 1
        else:
            self.uses += 1
        sized = torch.as_tensor(factor, dtype=cost.dtype).expand(shape) * cost.detach()
        surrogate = (sized.reshape(*shape, *[1] * len(event)) * first).sum(tuple(event)) + cost
        return Estimate(surrogate, cost.detach())


def entry(cls: type[Estimator], families: Sequence[str] = ("bernoulli",), **tags: Any) -> Entry:
    return entry_of(cls, cls.__name__, families=families, **({"unbiased": True} | tags))


def subject_of(
    cls: type[Estimator] | Entry | str, options: Mapping[str, Any] | None = None, family: str = "bernoulli", **tags: Any
) -> Subject:
    given = estimators.get(cls) if isinstance(cls, str) else cls if isinstance(cls, Entry) else None
    if given is None:
        assert isinstance(cls, type)
        given = entry(cls, (family,), **tags)
    (found,) = (subject for subject in subjects(given, options, draws=4096) if subject.family == family)
    return found


def ruled(rule: Rule, base: type[Estimator] = Still, **tags: Any) -> Subject:
    """A subject whose factor is a rule's."""
    return subject_of(type("Ruled", (base,), {"rule": rule}), **tags)


def half_more(where: Callable[[Any, Call], bool]) -> Rule:
    """1.5 where something holds."""
    return lambda self, call: 1.5 if where(self, call) else 1.0


def by_name(name: str) -> Entry:
    return next(
        one
        for one in (*(fault.entry for fault in FAULTS), *outside.CORRECT, *estimators.available())
        if one.name == name
    )


# What is said of planted faults, and of correct estimators

GENERATOR = ": noise must come from the generator that is given"
NEW = (
    "an optimiser made before holds others, or none, so that they never learn; make them in __init__, as "
    "torch.nn.UninitializedParameter if their size is not known, and resize them in place: p.materialize(shape), "
    "p.data = values"
)
LEAK = "it must reach the estimator's own parameters alone; detach costs and logits in it"
FINITE = "Usually a logarithm of a probability that is 0, or an exponential of a logit: work with logits and softplus"

SAID: list[tuple[str, str, str, str, dict[str, Any], tuple[str, ...]]] = [
    (
        "GlobalNoise", "bernoulli", "generator",
        "torch.bernoulli is called without the generator: noise must come from the one that is given", {}, (),
    ),
    (
        "GlobalNoiseHidden", "gaussian", "generator",
        "torch.randn is called without the generator: noise must come from the one that is given", {}, (),
    ),
    ("NumpyNoise", "bernoulli", "generator", f"the global generator of numpy is used{GENERATOR}", {}, ()),
    ("PythonNoise", "bernoulli", "generator", f"the global generator of random is used{GENERATOR}", {}, ()),
    ("DropoutInTraining", "bernoulli", "generator", f"the global generator of torch is used{GENERATOR}", {}, ()),
    (
        "FixedSeed", "bernoulli", "generator",
        "noise is the same for two seeds of the generator: it is drawn from a generator of its own, seeded anew", {},
        (),
    ),
    (
        "SeededAnew", "bernoulli", "generator",
        "calls one after the other on one generator draw the same noise: it is seeded or set back inside", {}, (),
    ),
    (
        "EvaluatesTwice", "bernoulli", "evaluations",
        "f is evaluated 2 times a row where the tag f_evals says 1 (samples=1): correct the tag, or take out the "
        "evaluation", {"evaluations": {1: 2}}, (),
    ),
    (
        "MoreEvaluationsInTraining", "bernoulli", "evaluations",
        "f is evaluated 11 times a row where the tag f_evals says 1 (samples=1): correct the tag, or take out the "
        "evaluation", {"evaluations": {1: 11}}, (),
    ),
    (
        "GraphThroughQ", "bernoulli", "evaluations",
        "f is evaluated with a graph through q's parameters, where the tag needs says that no gradient of f is used: "
        "pass q with stopped parameters (estimators.distributions.stopped), or the noise of log q's own gradient is "
        "added", {"evaluations": {1: 1}}, (),
    ),
    (
        "UndeclaredPathwise", "gaussian", "evaluations",
        "f is evaluated with a graph through z, where the tag needs says that no gradient of f is used: detach z",
        {"evaluations": {1: 1}}, (),
    ),
    (
        "UndeclaredRelaxation", "bernoulli", "evaluations",
        "f is evaluated between the vertices, where the tag needs says 'gradient of f': it needs a relaxed f",
        {"evaluations": {1: 1}}, (),
    ),
    (
        "CallsBackward", "bernoulli", "evaluations",
        "forward leaves gradients in q's parameters: it calls backward() itself, where it must use torch.autograd.grad",
        {}, (),
    ),
    (
        "SinglePrecisionNoise", "bernoulli", "dtype",
        "torch.rand draws float32 noise where q is float64: in float32 a uniform number is a multiple of 2^-24, which "
        "is too coarse for rare outcomes. Give dtype=logits.dtype", {}, (),
    ),
    ("SinglePrecisionOut", "bernoulli", "dtype", "the surrogate is float32 where q is float64", {}, ()),
    (
        "LogOfProbability", "bernoulli", "finite",
        f"100.0% of the gradients are not finite at |logit| 50 with costs of 1e-06 in float64. {FINITE}", {}, (),
    ),
    (
        "OddsOfALogit", "bernoulli", "finite",  # the bit that is surely 1, in every other row
        f"50.0% of the gradients are not finite at infinite logits with costs of 1e-06 in float64. {FINITE}", {}, (),
    ),
    (
        "ExponentialOfCosts", "gaussian", "finite",
        f"100.0% of the gradients are not finite at scale 0.001 with costs of 1e+06 in float64. {FINITE}", {}, (),
    ),
    (
        "NoiseSharedByRows", "bernoulli", "rows",
        "equal rows get equal gradients in every draw: the same noise is used for all rows", {}, (),
    ),
    (
        "ReducedOverTheBatch", "bernoulli", "rows",
        "surrogate is [], expected [6]: one number a row of q, not reduced over the batch", {}, (),
    ),
    (
        "MeanForEveryRow", "bernoulli", "rows",
        "the surrogate of one row has a gradient in the parameters of another. Usually a mean over the batch is "
        "returned for every row, or dims are mixed up in a reshape", {}, (),
    ),
    (
        "HookOnTheLogits", "bernoulli", "rows",
        "another term's gradient in the same parameters comes out wrong: forward leaves a hook on them", {}, (),
    ),
    (
        "AroundTheCheckedCall", "bernoulli", "leading-dims",
        "forward raises ZeroDivisionError for rows [0]: division by zero", {}, (),
    ),
    (
        "OnlyTwoDims", "bernoulli", "leading-dims",
        "forward raises ValueError for rows [6, 1]: too many values to unpack (expected 2)", {}, (),
    ),
    (
        "SqueezesTheBatch", "bernoulli", "leading-dims",
        "surrogate is [3], expected [1]: one number a row of q, not reduced over the batch", {}, (),
    ),
    (
        "FirstSeedsWeight", "bernoulli", "leading-dims",
        "the gradient of one stacked seed moves with the parameters or state of another: own parameters of shape "
        "[*stack, 1, ...] are indexed or averaged over seeds", {}, (),
    ),
    ("MeanOfTheOtherClasses", "categorical", "leading-dims", "with one class the value is 0 where f is 6", {}, ()),
    (
        "UpdatedInEval", "bernoulli", "state",
        "in eval() the running state 'mean' changes: update it only if self.training", {}, (),
    ),
    (
        "StateKeepsTheGraph", "bernoulli", "state",
        "a buffer carries a graph: running state must be stored detached", {}, (),
    ),
    (
        "ParametersAppearAtTheFirstCall", "bernoulli", "state",
        f"the first call makes new parameters 'weight': {NEW}", {}, (),
    ),
    (
        "BindReplacesParameters", "bernoulli", "state", f"bind() makes new parameters 'level': {NEW}", {},
        (f"bind() makes new parameters 'level': {NEW}",),
    ),
    (
        "FirstCallReplacesParameters", "bernoulli", "state", f"the first call makes new parameters 'level': {NEW}", {},
        (),
    ),
    (
        "UsedStateDoesNotLoad", "bernoulli", "state",
        "state_dict() of an estimator that was used without bind() does not load into a fresh one, whose sizes it must "
        "take: Error(s) in loading state_dict for UsedStateDoesNotLoad: size mismatch for level: copying a param with "
        "shape torch.Size([3]) from checkpoint, the shape in current model is torch.Size([1]).", {}, (),
    ),
    (
        "NoAuxiliary", "bernoulli", "auxiliary",
        "it has parameters of its own (weight) and no auxiliary loss: they never learn", {}, (),
    ),
    (
        "AuxiliaryReachesPhi", "bernoulli", "auxiliary",
        f"the auxiliary loss has a gradient in q's parameters: {LEAK}", {}, (),
    ),
    (
        "AuxiliaryReachesTheta", "bernoulli", "auxiliary", f"the auxiliary loss has a gradient in theta: {LEAK}", {},
        (),
    ),
    (
        "SurrogateReachesOwn", "bernoulli", "auxiliary",
        "the surrogate has a gradient in the estimator's own weight: they would learn from the model's loss; detach "
        "them in the surrogate", {}, (),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family", "check", "message", "numbers", "warnings"), SAID, ids=[f"{said[0]}-{said[2]}" for said in SAID]
)
def test_a_planted_fault_is_told_in_one_sentence(
    name: str, family: str, check: str, message: str, numbers: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    found = run_check(check, subject_of(by_name(name), family=family))
    assert found == Result(check, family, "failed", message, numbers, warnings)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("OwnCostInBaseline", "unbiased"),
        ("ThetaDetached", "theta"),
        ("ValueSummed", "value"),
        ("ClippedProbabilities", "constant"),
    ],
)
def test_a_refutation_by_sampling_bears_the_name_of_its_check_and_family(name: str, check: str) -> None:
    found = run_check(check, subject_of(by_name(name)))
    assert (found.check, found.family, found.status) == (check, "bernoulli", "failed")


SAME = "a row's gradient stays the same, to rounding, whatever the other rows are, and rows draw noise of their own"
SHAPES = (
    "rows shaped [B], [R, B] and [R, E, B] give the same gradients for the same noise; no rows and inference mode are "
    "taken"
)
KEPT = (
    "float32 and float64 are kept in what is returned, in the noise and in between; a q in bfloat16 has finite "
    "gradients"
)
BITS = "finite at |logit| 50 and infinite logits with costs of a millionth and of a million, in float32 and float64"
SCALES = "finite at scale 0.001 and scale 1000 with costs of a millionth and of a million, in float32 and float64"
ALONE = "the generator alone decides the result, and no global generator is touched"
SILENT = "there is no noise, and no global generator is touched"
FROZEN = "frozen in eval(), updated after use in train(), restored by state_dict()"
NONE = "it has no parameters of its own"

PASSED: list[tuple[str, str, dict[str, str], tuple[str, ...]]] = [
    (
        "reinforce", "gaussian",
        {"generator": ALONE, "dtype": KEPT, "rows": SAME, "leading-dims": SHAPES, "state": "there is none",
         "finite": SCALES}, (),
    ),
    (
        "rloo", "bernoulli",
        {"generator": ALONE, "dtype": KEPT, "rows": SAME, "leading-dims": SHAPES, "state": "there is none",
         "finite": BITS}, (),
    ),
    (
        "exact", "categorical",
        {"generator": SILENT, "dtype": KEPT, "rows": SAME, "leading-dims": SHAPES, "state": "there is none",
         "finite": BITS}, (),
    ),
    (
        "RunningMean", "categorical",
        {"dtype": KEPT, "leading-dims": SHAPES, "state": FROZEN, "finite": BITS}, (),
    ),
    (
        "ByBinomial", "bernoulli",  # whose noise of other rows moves, by rejection
        {"rows": SAME}, (),
    ),
    (
        "LinearInLogits", "bernoulli",
        {"generator": ALONE, "rows": SAME, "state": FROZEN,
         "auxiliary": "the auxiliary loss reaches 2 own parameters and nothing else"}, (),
    ),
    (
        "LearnedBaseline", "bernoulli",
        {"state": FROZEN, "auxiliary": "the auxiliary loss reaches 1 own parameters and nothing else"},
        (f"bind() makes new parameters 'weight': {NEW}",),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family", "said", "warnings"), PASSED, ids=[f"{passed[0]}-{passed[1]}" for passed in PASSED]
)
def test_a_correct_estimator_passes_with_a_sentence(
    name: str, family: str, said: dict[str, str], warnings: tuple[str, ...]
) -> None:
    subject = subject_of(by_name(name), family=family)
    for check, message in said.items():
        expected = Result(check, family, "passed", message, {}, warnings if check == "state" else ())
        assert run_check(check, subject) == expected


@pytest.mark.parametrize(("name", "family"), [("reinforce", "gaussian"), ("exact", "categorical")])
def test_without_own_parameters_there_is_nothing_to_learn(name: str, family: str) -> None:
    assert run_check("auxiliary", subject_of(name, family=family)) == Result(
        "auxiliary", family, "not applicable", NONE, {}, ()
    )


# The check generator


class Counting(Score):
    """Each call's noise is its number among all calls, whatever the generator."""

    count = 0

    def total(self, advantage, log_q, cost):
        Counting.count += 1
        return super().total(advantage, log_q, cost) * (1 + Counting.count)


class DrawsInVain(Still):
    def rule(self, call):
        uniform(call.q, 1, call.generator)
        return 1.0


class OneNumberForAll(Score):
    """Draws noise of eight numbers that is the same for both seeds beside noise that is not."""

    size = 8

    def draw(self, q, generator):
        torch.rand(self.size, generator=torch.Generator().manual_seed(0))
        return super().draw(q, generator)


def test_state_of_another_source_gives_other_gradients() -> None:
    assert run_check("generator", subject_of(Counting)) == Result(
        "generator",
        "bernoulli",
        "failed",
        "the same generator seed gives another gradient the second time: there is noise, or state in eval(), of "
        "another source",
    )


def test_noise_that_decides_nothing_is_told_but_where_all_states_are_visited() -> None:
    assert run_check("generator", subject_of(DrawsInVain)) == Result(
        "generator", "bernoulli", "failed", "two seeds give the same gradient, though noise is drawn"
    )
    assert run_check("generator", subject_of(DrawsInVain, enumerates=True)) == Result(
        "generator", "bernoulli", "passed", SILENT
    )


def test_few_numbers_may_be_the_same_for_two_seeds() -> None:
    assert run_check("generator", subject_of(OneNumberForAll)).status == "passed"
    nine = subject_of(type("Nine", (OneNumberForAll,), {"size": 9}))
    assert run_check("generator", nine).message == (
        "noise is the same for two seeds of the generator: it is drawn from a generator of its own, seeded anew"
    )


def test_the_global_state_of_numpy_is_that_of_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    before = np.random.get_state()
    try:
        np.random.seed(3)
        first = calls._numpy_state()
        assert first == pickle.dumps(np.random.get_state())
        np.random.random()
        assert calls._numpy_state() != first
    finally:
        np.random.set_state(before)
    monkeypatch.delitem(sys.modules, "numpy")
    assert calls._numpy_state() == b""


# The check evaluations


class Evaluating(Estimator):
    """Evaluates f as often as a class says, at points of a kind."""

    def times(self) -> int:
        return self.samples

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.times(), generator)
        cost = f(z, stopped(q))
        return Estimate((cost.detach() * 0 + cost).mean(0) + parameters(q)[0].sum(-1), cost.detach().mean(0))


EVALUATED: list[tuple[str, str, Mapping[str, Any], str, dict[str, Any]]] = [
    (
        "rloo", "bernoulli", {},
        "f is evaluated 2 (samples=2), 3 (samples=3), 4 (samples=4) times a row, as the tags say; of f it takes: "
        "neither", {"evaluations": {2: 2, 3: 3, 4: 4}, "needs": "neither"},
    ),
    (
        "rloo", "bernoulli", {"samples": 5},
        "f is evaluated 5 (samples=5) times a row, as the tags say; of f it takes: neither",
        {"evaluations": {5: 5}, "needs": "neither"},
    ),
    (
        "disarm", "bernoulli", {},
        "f is evaluated 2 (samples=2), 4 (samples=4), 6 (samples=6) times a row, as the tags say; of f it takes: "
        "neither", {"evaluations": {2: 2, 4: 4, 6: 6}, "needs": "neither"},
    ),
    (
        "exact", "categorical", {},  # two latents of four classes
        "f is evaluated 16 (samples=1) times a row, as the tags say; of f it takes: neither",
        {"evaluations": {1: 16}, "needs": "neither"},
    ),
    (
        "REBAR", "bernoulli", {},
        "f is evaluated 3 (samples=1), 6 (samples=2), 9 (samples=3) times a row, as the tags say; of f it takes: "
        "relaxed f", {"evaluations": {1: 3, 2: 6, 3: 9}, "needs": "relaxed f"},
    ),
    (
        "OnlyRequiredTags", "gaussian", {},
        "f is evaluated 1 (samples=1), 2 (samples=2), 3 (samples=3) times a row, no tag f_evals says so; of f it "
        "takes: gradient of f", {"evaluations": {1: 1, 2: 2, 3: 3}, "needs": "gradient of f"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "family", "options", "message", "numbers"), EVALUATED)
def test_evaluations_are_counted_for_three_numbers_of_samples(
    name: str, family: str, options: Mapping[str, Any], message: str, numbers: dict[str, Any]
) -> None:
    found = run_check("evaluations", subject_of(by_name(name), options, family))
    assert found == Result("evaluations", family, "passed", message, numbers)


class MoreForTwo(Evaluating):
    """More evaluations for two samples, in eval() or in both modes."""

    def __init__(self, samples=1, more=0, everywhere=False):
        super().__init__(samples)
        self.more, self.everywhere = more, everywhere

    def times(self):
        return self.samples + (self.more if self.samples == 2 and (self.everywhere or not self.training) else 0)


def test_evaluations_are_counted_in_eval_too() -> None:
    assert run_check("evaluations", subject_of(MoreForTwo, f_evals=one_a_sample)).status == "passed"
    assert run_check("evaluations", subject_of(MoreForTwo, {"more": 2}, f_evals=one_a_sample)) == Result(
        "evaluations",
        "bernoulli",
        "failed",
        "f is evaluated 4 times a row where the tag f_evals says 2 (samples=2): correct the tag, or take out the "
        "evaluation",
        {"evaluations": {1: 1, 2: 4}},
    )


def test_the_tag_of_evaluations_is_told_the_event_and_the_options() -> None:
    def tag(samples: int, event: tuple[int, ...], options: Mapping[str, Any]) -> int:
        return samples + (options["more"] if samples == 2 and options["everywhere"] and event == (3,) else 0)

    found = run_check("evaluations", subject_of(MoreForTwo, {"more": 4, "everywhere": True}, f_evals=tag))
    assert found == Result(
        "evaluations",
        "bernoulli",
        "passed",
        "f is evaluated 1 (samples=1), 6 (samples=2), 3 (samples=3) times a row, as the tags say; of f it takes: "
        "neither",
        {"evaluations": {1: 1, 2: 6, 3: 3}, "needs": "neither"},
    )


def test_an_enumeration_must_visit_every_state() -> None:
    class OneTooFew(Evaluating):
        def times(self):
            return 7

    assert run_check("evaluations", subject_of(OneTooFew, enumerates=True)) == Result(
        "evaluations",
        "bernoulli",
        "failed",
        "f is evaluated 7 times a row where the tag f_evals says 8 (samples=1): correct the tag, or take out the "
        "evaluation",
        {"evaluations": {1: 7}},
    )


THROUGH_Z = "f is evaluated with a graph through z, where the tag needs says that no gradient of f is used: detach z"
THROUGH_Q = (
    "f is evaluated with a graph through q's parameters, where the tag needs says that no gradient of f is used: pass "
    "q with stopped parameters (estimators.distributions.stopped), or the noise of log q's own gradient is added"
)
BETWEEN_VERTICES = "f is evaluated between the vertices, where the tag needs says {!r}: it needs a relaxed f"
NEVER = "the tag needs says {!r}, but f is never evaluated with a graph through z"
VERTICES = "the tag needs says 'relaxed f', but f is evaluated at vertices only"


@pytest.mark.parametrize(
    ("needs", "seen", "bound", "message"),
    [
        (None, "zqr", "elbo", None),
        ("neither", "", "elbo", None),
        ("neither", "z", "elbo", THROUGH_Z),
        ("neither", "zqr", "elbo", THROUGH_Z),
        ("neither", "q", "elbo", THROUGH_Q),
        ("neither", "q", "iwae", None),
        ("neither", "r", "elbo", BETWEEN_VERTICES.format("neither")),
        ("gradient of f", "zr", "elbo", BETWEEN_VERTICES.format("gradient of f")),
        ("gradient of f", "zq", "elbo", None),
        ("gradient of f", "q", "elbo", NEVER.format("gradient of f")),
        ("relaxed f", "qr", "elbo", NEVER.format("relaxed f")),
        ("relaxed f", "z", "elbo", VERTICES),
        ("relaxed f", "zc", "elbo", None),  # of a continuous q, which has no vertices
        ("relaxed f", "zr", "elbo", None),
    ],
)
def test_what_is_asked_of_f_is_held_against_the_tag(needs: Any, seen: str, bound: str, message: str | None) -> None:
    """The letters: a graph through z or q, a point between the vertices, a continuous q."""
    found = calls._Seen(Grid("gaussian" if "c" in seen else "bernoulli", (3,), 1))
    found.through_z, found.through_q, found.relaxed = ("z" in seen, "q" in seen, "r" in seen)
    assert calls._against(found, needs, bound) == message


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_a_watched_f_notes_graphs_and_points_between_the_vertices(family: str) -> None:
    grid = Grid(family, (3,), 1)
    q = estimators.distributions.from_parameters(family, *[v.clone().requires_grad_() for v in grid.values])
    noted = []
    ones = torch.ones(2, *grid.values[0].shape, dtype=DOUBLE)
    for z, of_q, graph in (
        (ones, stopped(q), True),
        (0 * ones, q, False),
        (ones, q, True),
        (0.5 * ones, stopped(q), True),
        (ones.clone().requires_grad_(), stopped(q), True),
    ):
        seen = calls._Seen(grid)
        assert seen.discrete == (family == "bernoulli")
        with torch.set_grad_enabled(graph):
            cost = seen(z, of_q)
        torch.testing.assert_close(cost, grid.f(grid.theta)(z, of_q))
        assert seen.evaluations == 2
        seen(ones, stopped(q))  # which takes nothing back
        noted.append((seen.through_z, seen.through_q, seen.relaxed, seen.needs))
    between = (False, False, True, "relaxed f") if family == "bernoulli" else (False, False, False, "neither")
    plain = (False, False, False, "neither")
    assert noted == [plain, plain, (False, True, False, "neither"), between, (True, False, False, "gradient of f")]


# The check rows


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


class Noted(Score):
    """Keeps what it is called with."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.register_buffer("kept", torch.zeros(()))

    seen: ClassVar[list[dict[str, Any]]] = []

    def forward(self, q, f, *, generator=None, context=None):
        first = parameters(q)[0].detach()
        cost = f(torch.zeros(1, *first.shape, dtype=first.dtype), stopped(q))[0].detach()
        seed = None if generator is None else generator.initial_seed()
        Noted.seen.append(
            {"rows": tuple(cost.shape), "q": first, "cost": cost, "seed": seed, "context": context,
             "training": self.training, "samples": self.samples}
        )  # fmt: skip
        return super().forward(q, f, generator=generator, context=context)


@pytest.fixture
def seen() -> Iterator[list[dict[str, Any]]]:
    Noted.seen = []
    yield Noted.seen
    Noted.seen = []


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


def off(excess: float, where: Callable[[Any, Call], bool]) -> Rule:
    return lambda self, call: 1 + excess if where(self, call) else 1.0


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

    words = "with one class, whose chance is 1 whatever its logit, there is a gradient of"
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


class Learns(Still):
    """A level that its loss drives up, and one that is not trained."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.level = nn.Parameter(torch.zeros(1, dtype=DOUBLE))
        self.fixed = nn.Parameter(torch.zeros(1, dtype=DOUBLE), requires_grad=False)
        self.made = [id(p) for p in (self.level, self.fixed)]
        self.costs: list[Tensor] = []
        self.seeds: list[Any] = []

    def rule(self, call):
        self.costs.append(call.cost)
        self.seeds.append((call.seed, self.training, None if call.context is None else tuple(call.context.shape)))
        return 1.0

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        return found._replace(auxiliary=(-3 * self.level).expand(found.value.shape))


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


# The check dtype


class Parts(Still):
    """A part of what it returns is cast where q is of a kind."""

    part, kind, made = "value", DOUBLE, torch.float32

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        found = found._replace(auxiliary=found.value)
        if self.kind != found.value.dtype:
            return found
        return found._replace(**{self.part: getattr(found, self.part).to(self.made)})


@pytest.mark.parametrize("part", ["surrogate", "value", "auxiliary"])
def test_what_is_returned_is_as_precise_as_q(part: str) -> None:
    for kind, to, words in (
        (torch.float64, torch.float32, "float32 where q is float64"),
        (torch.float32, torch.float64, "float64 where q is float32"),
        (torch.float32, torch.bfloat16, "bfloat16 where q is float32"),
    ):
        subject = subject_of(type("Of", (Parts,), {"part": part, "kind": kind, "made": to}))
        assert run_check("dtype", subject) == Result("dtype", "bernoulli", "failed", f"the {part} is {words}")


def drawing(*draws: Callable[[Call], Tensor]) -> Rule:
    def rule(self: Any, call: Call) -> Tensor | float:
        for draw in draws:
            draw(call)
        return 1.0

    return rule


def like(call: Call) -> Tensor:
    return torch.empty(2, dtype=call.cost.dtype)


def coarse(source: str) -> str:
    return (
        f"{source} draws float32 noise, in steps of 2^-24: an outcome rarer than 1e-6 comes too often or never. "
        "estimators.distributions.uniform and odds have finer noise"
    )


def no_device(source: str) -> str:
    return f"{source} is called without a device: on a GPU it makes CPU noise"


def dtype_of(rule: Rule, family: str = "bernoulli") -> Result:
    return precision.dtype(ruled(rule, family=family))


@pytest.mark.parametrize(
    ("draw", "warnings"),
    [
        (lambda call: like(call).uniform_(generator=call.generator), (coarse("Tensor.uniform_"),)),
        (lambda call: torch.rand(2, generator=call.generator, dtype=DOUBLE), (no_device("torch.rand"),)),
        (
            lambda call: torch.rand(2, generator=call.generator, dtype=call.cost.dtype),
            (no_device("torch.rand"), coarse("torch.rand")),
        ),
        (
            lambda call: torch.rand(2, generator=call.generator, dtype=call.cost.dtype, device="cpu"),
            (coarse("torch.rand"),),
        ),
        (lambda call: torch.rand_like(like(call)), (coarse("torch.rand_like"),)),
        (lambda call: torch.randn(2, generator=call.generator, dtype=call.cost.dtype), (no_device("torch.randn"),)),
        (lambda call: torch.randint(0, 9, (2,), generator=call.generator), ()),
        (lambda call: like(call).exponential_(generator=call.generator), ()),
    ],
)
def test_coarse_noise_and_noise_without_a_device_are_warned_of(
    draw: Callable[[Call], Tensor], warnings: tuple[str, ...]
) -> None:
    found = dtype_of(drawing(draw, draw))
    assert found == Result("dtype", "bernoulli", "passed", KEPT, {}, warnings)
    of_gaussian = tuple(warning for warning in warnings if "without a device" in warning)
    assert dtype_of(drawing(draw), "gaussian") == Result("dtype", "gaussian", "passed", KEPT, {}, of_gaussian)


def test_noise_is_as_precise_as_q() -> None:
    too_coarse = (
        "in float32 a uniform number is a multiple of 2^-24, which is too coarse for rare outcomes. Give "
        "dtype=logits.dtype"
    )
    for kind, to, words in (
        (torch.float64, torch.float32, "float32 noise where q is float64"),
        (torch.float32, torch.bfloat16, "bfloat16 noise where q is float32"),
    ):

        def draw(call: Call, kind: torch.dtype = kind, to: torch.dtype = to) -> Tensor:
            return like(call).to(to if call.cost.dtype == kind else DOUBLE).normal_(generator=call.generator)

        assert dtype_of(drawing(draw)) == Result(
            "dtype", "bernoulli", "failed", f"Tensor.normal_ draws {words}: {too_coarse}"
        )


def bent(where: str, by: float, of_rows: int = 6) -> Rule:
    """The gradient of some rows is bent in the middle of a path along costs or logits, by steps of a millionth."""

    def rule(self: Any, call: Call) -> Tensor | float:
        first = parameters(call.q)[0]
        at = call.cost[0] / 2.4 if where == "scale" else first[0, 0]  # 1 where the path begins
        if call.rows != (6,) or call.cost.dtype != DOUBLE or abs(float(at.detach()) - 1 - 1e-6) > 1e-9:
            return 1.0
        return torch.cat((torch.full((of_rows,), 1 + by, dtype=DOUBLE), torch.ones(6 - of_rows, dtype=DOUBLE)))

    return rule


@pytest.mark.parametrize("where", ["scale", "values"])
def test_rounding_inside_shows_as_a_bend_of_a_smooth_path(where: str) -> None:
    """A bend of x is 2 x in the second difference, of which the median over the numbers of all rows counts."""
    for by, rounded in ((0.2, "4e-01"), (1e-6, "2e-06"), (1.6e-9, "3e-09"), (-1.6e-9, "3e-09")):
        assert dtype_of(bent(where, by)) == Result(
            "dtype",
            "bernoulli",
            "failed",
            f"in float64 the gradient is rounded at {rounded} of its size: something inside is computed in a lower "
            "precision, usually a .float() or a tensor made without dtype",
        )
    assert dtype_of(bent(where, 1.4e-9)).status == "passed"
    assert dtype_of(bent(where, 0.2, 4)).status == "failed"
    assert dtype_of(bent(where, 0.2, 3)).status == "passed"
    assert dtype_of(lambda self, call: 0.0) == Result("dtype", "bernoulli", "passed", KEPT)


def test_a_q_of_half_precision_has_finite_gradients() -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        (logits,) = parameters(call.q)
        half = logits.dtype == torch.float32 and torch.equal(logits, logits.bfloat16().float())
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        factor[-1] = math.nan if half else 1.0
        return factor

    assert dtype_of(rule) == Result("dtype", "bernoulli", "failed", "where q is in bfloat16 the gradient is not finite")


def test_what_dtype_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert precision.dtype(subject).status == "passed"
    grid = subject.small()
    assert [(call["q"].dtype, call["context"].dtype) for call in seen] == [
        (call["q"].dtype, call["q"].dtype) for call in seen
    ]
    assert [(call["q"].dtype, call["training"], call["seed"], call["samples"]) for call in seen] == [
        (DOUBLE, False, 11, 3),
        (torch.float32, False, 11, 3),
        *[(DOUBLE, False, 11, 3)] * 6,
        (torch.float32, False, 11, 3),
    ]  # fmt: skip
    assert all(call["cost"].dtype == call["q"].dtype for call in seen)
    step = [1.0, 1 + 1e-6, 1 + 2e-6]
    scaled = [(call["cost"] / seen[0]["cost"]).tolist() for call in seen[2:5]]
    assert scaled == [pytest.approx([k] * 6, rel=1e-12) for k in step]
    for call, k in zip(seen[5:8], step, strict=True):
        torch.testing.assert_close(call["q"], k * grid.values[0], rtol=1e-12, atol=0)
    for call in (*seen[:5], seen[8]):
        wanted = grid.values[0].bfloat16() if call is seen[8] else grid.values[0]
        torch.testing.assert_close(call["q"], wanted.to(call["q"]), rtol=0, atol=0)
    for call in seen:
        torch.testing.assert_close(call["context"], subject.context(6).to(call["context"]), rtol=0, atol=0)


def test_the_device_is_said_where_there_is_one(seen: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for a GPU, on which numbers lie where they lay."""
    moved: list[Any] = []
    make = torch.Generator

    def on(device: str) -> Generator:
        moved.append(device)
        return make()

    subject = subject_of(Noted)
    grid = subject.small()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(precision, "_moved", lambda of, at: "it stays" if of is subject and at == grid else None)
        assert precision.dtype(subject) == Result("dtype", "bernoulli", "failed", "it stays")
        patch.setattr(precision, "_moved", lambda of, at: None)
        assert precision.dtype(subject).message == KEPT + "; the device is kept"
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: moved.append(tuple(self.shape)) or self)
    monkeypatch.setattr(nn.Module, "cuda", lambda self: moved.append("module") or self)
    monkeypatch.setattr(precision.torch, "Generator", lambda *device: on(*device) if device else make())
    assert precision._moved(subject, grid) == "the surrogate is on the cpu where q is on a GPU"
    assert moved == [(6, 3), "module", "cuda", (6, 4), (6,)]
    assert (seen[-1]["seed"], seen[-1]["training"]) == (11, False)
    assert torch.equal(seen[-1]["context"], subject.context(6))


# The check finite


def not_finite_at(share: str, where: str, size: str, name: str) -> str:
    return f"{share} of the gradients are not finite at {where} with costs of {size} in {name}. {FINITE}"


def place(call: Call, family: str) -> tuple[str, float, torch.dtype]:
    """Where a call of the check is: at which q, of which size of costs, in which precision."""
    last = parameters(call.q)[-1].detach()
    size = float(call.cost.flatten()[0]) / 2.4
    if family == "gaussian":
        return f"scale {round(float(last.flatten()[0]), 6):g}", round(math.log10(abs(size))), call.cost.dtype
    largest = float(last.amax() - last.amin()) if family == "categorical" else float(last.abs().amax())
    return "|logit| 50" if largest < 60 else "infinite logits", round(math.log10(abs(size))), call.cost.dtype


PLACES = [
    (family, where, size, dtype)
    for family, extremes in (
        ("gaussian", ("scale 0.001", "scale 1000")),
        ("bernoulli", ("|logit| 50", "infinite logits")),
        ("categorical", ("|logit| 50", "infinite logits")),
    )
    for where in extremes
    for size in (-6, 6)
    for dtype in (torch.float64, torch.float32)
]


@pytest.mark.parametrize(("family", "where", "size", "dtype"), PLACES)
def test_every_extreme_is_looked_at(family: str, where: str, size: int, dtype: torch.dtype) -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        if call.rows == (211, 6) and place(call, family) == (where, size, dtype):
            factor[:, 5] = math.inf
            factor[:, 4] = math.nan
        return factor

    name = str(dtype).removeprefix("torch.")
    words = not_finite_at("33.3%", where, "1e-06" if size < 0 else "1e+06", name)
    assert run_check("finite", ruled(rule, family=family)) == Result("finite", family, "failed", words)


def test_a_single_row_that_is_not_finite_counts() -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        if call.rows == (211, 6):
            factor[7, 3] = math.inf
        return factor

    words = not_finite_at("0.1%", "|logit| 50", "1e-06", "float64")  # 1 of 1,266
    assert run_check("finite", ruled(rule)) == Result("finite", "bernoulli", "failed", words)


class NotFinite(Still):
    """Of ten rows, in its surrogate, in its value, or in the gradient of one number alone."""

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        first = parameters(q)[0]
        rows = torch.arange(first[..., 0].numel()).reshape(first.shape[:-1])
        surrogate = (
            torch.where(rows == 0, math.nan, 1.0) + (first * torch.where(rows == 4, math.inf, 1.0)[..., None])[..., 2]
        )
        value = torch.where((rows == 2) | (rows == 0), math.inf, found.value)
        self.told = context
        return Estimate(surrogate, value)


def test_the_share_of_rows_in_which_anything_is_not_finite() -> None:
    grid = Grid("bernoulli", (3,), 1, levels=(1.0,))
    values = [v.expand(2, *v.shape) for v in grid.values]
    context = torch.ones(2, 6, 4, dtype=DOUBLE)
    estimator = NotFinite()
    assert precision._not_finite(estimator, grid, values, context, 1.0) == 3 / 12
    assert estimator.told is context
    assert precision._not_finite(estimator, grid, values, context[..., :0], 1.0) == 3 / 12
    assert estimator.told is None
    assert precision._not_finite(Still(), grid, values, context, 1.0) == 0.0
    assert precision._not_finite(Still(), grid, values, context, math.inf) == 1.0


ZERO = (
    "torch.rand returns exactly 0 once in 2^24 draws of float32, and then the gradient is not finite: clamp uniform "
    "noise away from 0 before a logarithm"
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_noise_of_exactly_zero_is_warned_of(dtype: torch.dtype) -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        u = torch.rand(call.rows, generator=call.generator, dtype=call.cost.dtype)
        return u.log().clamp_max(1.0).abs() if call.cost.dtype == dtype else 1.0

    assert run_check("finite", ruled(rule, unbiased=False)) == Result(
        "finite", "bernoulli", "passed", BITS, {}, (ZERO,)
    )


def test_the_ends_of_the_noise_are_put_among_it() -> None:
    for dtype, most in ((torch.float64, 1 - 2.0**-52), (torch.float32, 1 - 2.0**-24)):
        g, again = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
        with precision.Edges() as watch:
            found = torch.rand(5, 20, generator=g, dtype=dtype)
            normal_ones = torch.randn(50, generator=g, dtype=dtype)
        expected = torch.rand(5, 20, generator=again, dtype=dtype).flatten()
        expected[torch.arange(0, 100, 11)] = most
        expected[torch.arange(0, 100, 7)] = 0.0
        assert torch.equal(found.flatten(), expected)
        assert torch.equal(normal_ones, torch.randn(50, generator=again, dtype=dtype))
        assert [draw.source for draw in watch.draws] == ["torch.rand", "torch.randn"]


def bends(share: str) -> str:
    return (
        f"the gradient does not grow in proportion to costs of a thousand (it bends by {share}): where costs, "
        "advantages or gradients are clipped, it is biased for costs larger than those that are sampled here"
    )


def clipped(by: float) -> Rule:
    """The gradient at costs of two thousand is less, by a share."""
    return lambda self, call: 1 - by if call.rows == (6,) and abs(float(call.cost[0]) / 2.4 - 2e3) < 1 else 1.0


def test_costs_that_are_clipped_are_warned_of() -> None:
    # The bend is 2 x of 2 (1 - x).
    for by, share in ((0.2, "25%"), (1.1e-6, "1e-06 of its size")):
        assert run_check("finite", ruled(clipped(by))) == Result(
            "finite", "bernoulli", "passed", BITS, {}, (bends(share),)
        )
    for quiet in (
        ruled(clipped(0.9e-6)),
        ruled(clipped(0.2), unbiased=False),
        ruled(clipped(0.2), bound="iwae"),
        ruled(lambda self, call: 0.0),
    ):
        assert precision._clipped(quiet, quiet.small(1)) is None
    assert precision._clipped(ruled(clipped(0.2)), subject_of(Still).small(1)) == bends("25%")


def test_certain_bits_and_masked_classes() -> None:
    logits = torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(4, 3)
    found = precision._certain(logits, "bernoulli")
    expected = logits / 50
    expected[:, 0] = torch.tensor([math.inf, -math.inf, math.inf, -math.inf])
    assert torch.equal(found, expected)
    classes = torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(2, 2, 3)
    masked = classes / 50
    masked[:, 0, 0] = -math.inf
    assert torch.equal(precision._certain(classes, "categorical"), masked)
    assert torch.equal(classes, torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(2, 2, 3))


def test_what_finite_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(entry(Noted, samples=(2, 2)))
    found = precision.finite(subject)
    assert found == Result("finite", "bernoulli", "passed", BITS)
    extremes, kinds = Grid("bernoulli", (3,), 2, levels=(50.0,)), (torch.float64, torch.float32)
    q = estimators.distributions.from_parameters("bernoulli", *extremes.values)
    plain = extremes.f(extremes.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0]
    assert [(call["rows"], call["seed"], call["training"], call["samples"], call["q"].dtype) for call in seen] == [
        *[((211, 6), 11, False, 2, kind) for kind in kinds for _ in range(4)],
        *[((211, 6), 11, False, 2, kind) for kind in kinds],
        *[((6,), 11, False, 2, DOUBLE)] * 3,
    ]  # fmt: skip
    for call in seen:
        torch.testing.assert_close(call["context"], subject.context(6).to(call["q"]).expand(*call["rows"], 4))
    for kind, part in zip(kinds, (seen[:4], seen[4:8]), strict=True):
        for size, call in zip((1e-6, 1e6), part[:2], strict=True):
            torch.testing.assert_close(call["q"], extremes.values[0].to(kind).expand(211, 6, 3), rtol=0, atol=0)
            torch.testing.assert_close(call["cost"], (size * plain).to(kind).expand(211, 6), rtol=1e-5, atol=0)
    middle = subject.small(2)
    for call in seen[8:10]:
        torch.testing.assert_close(call["q"], middle.values[0].to(call["q"]).expand(211, 6, 3), rtol=0, atol=0)
    assert [float(call["cost"][0]) for call in seen[10:]] == pytest.approx([0.0, 2400.0, 4800.0])
    assert float(seen[8]["cost"][0, 0]) == pytest.approx(2.4)


# What is certified


class NeedsThree(Still):
    """Takes no fewer than a number of samples with an option."""

    def __init__(self, samples=1, least=3):
        super().__init__(samples)
        if samples < least:
            raise ValueError("too few")


def test_labels_and_claims_are_those_of_the_options() -> None:
    subject = subject_of("rloo", {"samples": 4})
    assert (subject.label, subject.unbiased) == ("rloo[samples=4]-bernoulli", True)
    biased = subject_of(NeedsThree, {"least": 1}, biased_options={"least": "so it is"})
    assert (biased.label, biased.unbiased) == ("NeedsThree[least=1]-bernoulli", False)
    assert subject_of(Evaluating, biased_options={"least": "so it is"}).unbiased


@pytest.mark.parametrize(
    ("options", "tags", "counts"),
    [
        ({"samples": 5}, {}, (5,)),
        ({"least": 1}, {}, (1, 3)),
        ({"least": 2}, {}, (2, 3)),
        ({"least": 3}, {}, (3, 4)),
        ({"least": 4}, {"samples": (2, 4)}, (4, 5)),
        ({"least": 9}, {"samples": (2, 9)}, (9, 10)),  # none of the first three; the default it is
        ({"least": 3}, {"samples": (2, 4, True)}, (4, 6)),
        ({"least": 1}, {"samples": (1, 8)}, (1, 3, 8)),
        ({"least": 1}, {"samples": (2, 2, True)}, (2, 4)),
        ({"least": 1}, {"enumerates": True}, (1,)),
        ({"least": 1}, {"bound": "iwae"}, (1, 2, 3)),
        ({"least": 2}, {"bound": "iwae", "samples": (2, 2)}, (2, 3)),
    ],
)
def test_samples_are_the_least_that_the_options_allow_and_more(
    options: dict[str, Any], tags: dict[str, Any], counts: tuple[int, ...]
) -> None:
    given = entry(NeedsThree, **({"samples": (1, 3)} | tags))
    assert Subject(given, "bernoulli", options, 0, 4096, 1e-3, 1).sample_counts == counts


def test_a_small_grid_is_of_the_middle_event_and_one_level() -> None:
    for family in EVENTS:
        subject = subject_of("reinforce", family=family)
        assert subject.small() == Grid(family, EVENTS[family][1], 3, "elbo", levels=(1.0,))
        assert subject.small(7, 2.5) == Grid(family, EVENTS[family][1], 7, "elbo", levels=(2.5,))
    assert subject_of(Still, bound="iwae").small(0) == Grid("bernoulli", (3,), 0, "iwae", levels=(1.0,))


def test_noise_and_context_of_a_subject_are_fixed() -> None:
    subject = subjects(entry(Still), seed=2)[0]
    assert subject.generator(5).initial_seed() == 2_000_011
    generator = torch.Generator().manual_seed(3)
    expected = torch.randn(2, 3, 4, generator=generator, dtype=DOUBLE)
    assert torch.equal(subject.context(2, 3), expected)
    assert torch.equal(subject.context(2, 3, dtype=torch.float32), expected.float())
    assert subject.context(0).shape == (0, 4)


class ToldSizes(Learns):
    told: Any = None
    trouble = ""

    def __init__(self, samples=1, more=0):
        super().__init__(samples)
        if more == 9:
            raise ValueError("nine is\n too many")
        self.more, self.start = more, float(torch.rand(()))

    def bind(self, *, stack=(), context_size=0, event=(), generator=None):
        if self.trouble:
            raise IndexError(self.trouble)
        self.told = stack, context_size, event, None if generator is None else generator.initial_seed()
        self.drawn = float(torch.rand(()))
        return self


def test_an_estimator_is_built_with_its_options_and_bound_to_the_grid() -> None:
    subject = subject_of(ToldSizes, {"more": 2}, family="categorical")
    grid, before = subject.small(5), torch.get_rng_state()
    plain = subject.unbound(grid)
    assert isinstance(plain, ToldSizes)
    assert (plain.samples, plain.more, plain.told, plain.training) == (5, 2, None, True)
    built = subject.create(grid, torch.float32, (2, 3))
    assert isinstance(built, ToldSizes)
    assert built.told == ((2, 3), 4, (2, 4), 5)
    assert (built.training, built.level.dtype, built.level.item()) == (False, torch.float32, pytest.approx(-0.5, abs=1))
    assert built.level.item() != 0.0
    still = subject.create(grid, perturbed=False)
    assert isinstance(still, ToldSizes)
    assert (still.level.dtype, still.level.item(), still.told) == (DOUBLE, 0.0, ((), 4, (2, 4), 5))
    with torch.random.fork_rng(devices=[]):  # what layers of torch start from is fixed, and put back
        torch.manual_seed(5)
        start = float(torch.rand(()))
    assert plain.start == built.start == built.drawn == start
    assert torch.equal(before, torch.get_rng_state())


def test_what_building_and_binding_raise_is_told() -> None:
    nine = Subject(entry(ToldSizes), "bernoulli", {"more": 9}, 0, 4096, 1e-3, 1)
    grid = Grid("bernoulli", (3,), 2, levels=(1.0,))
    with pytest.raises(Broken) as raised:
        nine.create(grid)
    words = "estimator 'ToldSizes': nine is too many"
    assert str(raised.value) == f"cannot be built with {{'more': 9, 'samples': 2}}: {words}"
    assert isinstance(raised.value.__cause__, BadInput)
    troubled = subject_of(type("Troubled", (ToldSizes,), {"trouble": "of\n sizes"}))
    for stack in ((), (2,)):
        with pytest.raises(Broken) as raised:
            troubled.create(grid, stack=stack)
        assert str(raised.value) == f"bind(stack={stack}, context_size=4, event=(3,)) raises: of sizes"
        assert isinstance(raised.value.__cause__, IndexError)


class Sums(Estimator):
    """Its gradient is the sum of the costs of z = 0 over draws, theta's is one, and its loss drives a level up."""

    def __init__(self, samples=1, quiet=False):
        super().__init__(samples)
        self.level, self.quiet = nn.Parameter(torch.zeros(2, dtype=DOUBLE)), quiet
        self.fixed = nn.Parameter(torch.zeros(2, dtype=DOUBLE), requires_grad=False)
        self.lazy = nn.parameter.UninitializedParameter()

    def forward(self, q, f, *, generator=None, context=None):
        first = parameters(q)[0]
        cost = f(torch.zeros(1, *first.shape, dtype=first.dtype), stopped(q))[0]
        self.called = generator.initial_seed(), context
        loss = (self.level * torch.tensor([-2.0, 5.0], dtype=DOUBLE)).sum().expand(cost.shape)
        noise = torch.rand((), generator=generator, dtype=DOUBLE)
        surrogate = cost.detach() * noise * first.sum(-1) + 2 * cost
        return Estimate(surrogate, cost.detach(), loss.detach() if self.quiet else loss)


def test_own_parameters_are_those_that_are_trained_and_have_a_size() -> None:
    estimator = Sums()
    assert list(own_parameters(estimator)) == ["level"]
    assert own_parameters(estimator)["level"] is estimator.level
    assert own_parameters(Still()) == {}


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_a_run_gives_gradients_of_parameters_and_of_theta(family: str) -> None:
    grid = Grid(family, (3,), 1, levels=(1.0,))
    noise = torch.rand((), generator=torch.Generator().manual_seed(8), dtype=DOUBLE)
    q = estimators.distributions.from_parameters(family, *grid.values)
    cost = grid.f(grid.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0]
    by_theta = torch.autograd.functional.jacobian(
        lambda theta: grid.f(theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0].sum(), grid.theta
    )
    scale = torch.linspace(1, 2, 6, dtype=DOUBLE)
    for given, lead in ((None, (6,)), ([v.expand(2, *v.shape) for v in grid.values], (2, 6))):
        for size in (1.0, 3.0, scale):
            estimator, context = Sums(), torch.ones(*lead, 4, dtype=DOUBLE)
            options = {} if isinstance(size, float) and size == 1.0 else {"scale": size}
            found = run(estimator, grid, 8, context=context, values=given, **options)
            assert estimator.called == (8, context)
            assert len(found) == len(grid.values) + 1
            torch.testing.assert_close(found[0], (size * cost * noise)[:, None].expand(*lead, 3))
            torch.testing.assert_close(found[-1], (2 * size * by_theta).expand(lead))
            if family == "gaussian":
                assert torch.equal(found[1], torch.zeros(*lead, 3, dtype=DOUBLE))
            assert estimator.level.tolist() == [0.0, 0.0]


def test_a_run_takes_a_step_of_own_parameters_at_a_rate() -> None:
    grid = Grid("bernoulli", (3,), 1, levels=(1.0,))
    for rate, quiet, expected in ((0.25, False, [0.25, -0.25]), (0.0, False, [0.0, 0.0]), (0.25, True, [0.0, 0.0])):
        estimator = Sums(quiet=quiet)
        found = run(estimator, grid, 8, rate=rate)
        assert estimator.level.tolist() == expected
        assert [tuple(g.shape) for g in found] == [(6, 3), (6,)]
        torch.testing.assert_close(found, run(Sums(), grid, 8))
    assert len(run(Still(), grid, 8, rate=0.25)) == 2  # without a loss


class Uncopied(Still):
    reason = ""

    def __deepcopy__(self, memo):
        raise TypeError(self.reason)


def test_a_copy_is_independent_and_what_cannot_be_copied_is_told() -> None:
    estimator = Still()
    again = copied(estimator)
    assert again is not estimator
    again.steps += 1
    assert float(estimator.steps) == 0.0
    for reason, words in (("no\n  copies", "no copies"), ("z" * 151, "z" * 150)):
        uncopied = type("Of", (Uncopied,), {"reason": reason})
        with pytest.raises(Broken) as raised:
            copied(uncopied())
        expected = f"it cannot be copied, as a checkpoint must be: an attribute holds a graph or a lock ({words})"
        assert str(raised.value) == expected
        assert isinstance(raised.value.__cause__, TypeError)
        assert run_check("generator", subject_of(uncopied)) == Result("generator", "bernoulli", "failed", expected)


def test_state_is_filled_by_noise_of_its_own(seen: list[dict[str, Any]]) -> None:
    subject = subjects(entry(Noted), seed=2)[0]
    subject.prepared(subject.grids[0])
    assert {(call["seed"], call["training"]) for call in seen} == {(2_000_007, True)}


# Noise

ROWS, LATENTS, REPEATS = 2, 3, 53


class HalfOf(Forced):
    """Halves uniform numbers in place of forcing them."""

    def __init__(self, shift: Tensor | None = None) -> None:
        given = torch.ones(ROWS, LATENTS, dtype=DOUBLE) if shift is None else shift
        super().__init__(REPEATS, given, 3, torch.Generator().manual_seed(1))

    def _force(self, u: Tensor) -> Tensor:
        return u / 2


def seeded() -> Generator:
    return torch.Generator().manual_seed(4)


SHAPE = (REPEATS, ROWS, LATENTS)


def numbers(*shape: int) -> Tensor:
    return torch.zeros(shape or SHAPE, dtype=DOUBLE)


FORCED: list[tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]] = [
    (lambda: torch.rand(SHAPE, generator=seeded(), dtype=DOUBLE), lambda x: x / 2),
    (lambda: numbers().uniform_(generator=seeded()), lambda x: x / 2),
    (
        lambda: torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE),
        lambda x: torch.special.ndtri(torch.special.ndtr(x) / 2),
    ),
    (lambda: numbers().normal_(generator=seeded()), lambda x: torch.special.ndtri(torch.special.ndtr(x) / 2)),
    (lambda: numbers().exponential_(generator=seeded()), lambda x: -(1 - (1 - (-x).exp()) / 2).log()),
]


@pytest.mark.parametrize(("draw", "forced"), FORCED)
def test_each_source_is_forced_by_its_uniform_numbers(
    draw: Callable[[], Tensor], forced: Callable[[Tensor], Tensor]
) -> None:
    with HalfOf() as watch:
        found = draw()
    torch.testing.assert_close(found, forced(draw()))
    assert watch.untouched == []
    assert watch.draws[0].noise is found


def test_normal_noise_may_be_forced_to_the_upper_tail() -> None:
    class Mirrored(HalfOf):
        def _force(self, u: Tensor) -> Tensor:
            return 1 - u / 2

    plain = torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE)
    with Mirrored():
        found = torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE)
    torch.testing.assert_close(found, -torch.special.ndtri(torch.special.ndtr(plain) / 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bits_are_forced_by_the_numbers_that_decide_them(dtype: torch.dtype) -> None:
    chances = torch.linspace(0.1, 0.4, REPEATS * ROWS * LATENTS).reshape(SHAPE).to(dtype)
    u = torch.rand(SHAPE, generator=seeded(), dtype=dtype)
    with HalfOf() as watch:
        for found in (torch.bernoulli(chances, generator=seeded()), chances.bernoulli(generator=seeded())):
            assert torch.equal(found, (u / 2 < chances).to(dtype))
    assert watch.untouched == []
    assert [draw.source for draw in watch.draws] == ["torch.bernoulli", "Tensor.bernoulli"]


LEFT: list[tuple[str, Callable[[], Tensor]]] = [
    ("Tensor.uniform_", lambda: numbers().uniform_(1.0, 2.0, generator=seeded())),
    ("Tensor.normal_", lambda: numbers().normal_(mean=3.0, generator=seeded())),
    ("Tensor.normal_", lambda: numbers().normal_(3.0, generator=seeded())),
    ("Tensor.exponential_", lambda: numbers().exponential_(2.0, generator=seeded())),
    ("Tensor.bernoulli", lambda: numbers().bernoulli(0.3, generator=seeded())),
    ("Tensor.cauchy_", lambda: numbers().cauchy_(generator=seeded())),
    ("torch.bernoulli", lambda: torch.bernoulli(numbers(7) + 0.5, generator=seeded())),
    ("torch.rand", lambda: torch.rand(ROWS, REPEATS, generator=seeded(), dtype=DOUBLE)),
    ("torch.rand", lambda: torch.rand(REPEATS, ROWS, REPEATS, ROWS, generator=seeded(), dtype=DOUBLE)),
    ("torch.randint", lambda: torch.randint(9, SHAPE, generator=seeded())),
]


@pytest.mark.parametrize(("source", "draw"), LEFT)
def test_noise_of_another_law_or_of_other_rows_is_left(source: str, draw: Callable[[], Tensor]) -> None:
    with HalfOf() as watch:
        found = draw()
    assert torch.equal(found, draw())
    assert watch.untouched == [source]


def test_a_single_number_is_of_no_row_and_need_not_be_forced() -> None:
    with HalfOf() as watch:
        torch.rand((), generator=seeded())
        numbers(1).cauchy_(generator=seeded())
        torch.rand(2, generator=seeded())
    assert watch.untouched == ["torch.rand"]


def test_rows_with_any_shift_are_forced_each_latent_by_its_own() -> None:
    watch = HalfOf(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.5, 0.2], [4.0, 1.0, 2.0]]))
    assert watch.which.tolist() == [1, 2]
    assert watch.rows == (REPEATS, 3)
    assert watch.chance == 0.25
    assert (watch.log_weight.shape, watch.log_weight.dtype) == ((REPEATS, 3), torch.float32)
    own, most = torch.tensor([[0.0, 0.5, 0.2], [4.0, 1.0, 2.0]]), torch.tensor([0.5, 4.0])
    for rest, expected in (
        ((3,), own),
        ((3, 5), own[..., None]),
        ((), most),
        ((5,), most[:, None]),
        ((5, 3), most[:, None, None]),
    ):
        found = watch._fitted(torch.Size(rest))
        assert found.shape == expected.shape
        assert torch.equal(found, expected)


def test_forced_noise_keeps_its_precision() -> None:
    with Forced(REPEATS, torch.full((ROWS, LATENTS), 3.0, dtype=DOUBLE), 1, seeded()) as watch:
        found = torch.rand(SHAPE, generator=seeded())
    assert found.dtype == torch.float32
    assert watch.log_weight.dtype == DOUBLE
    assert not torch.equal(found, torch.rand(SHAPE, generator=seeded()))


# Certificates


def test_subjects_share_what_may_be_spent() -> None:
    found = subjects("reinforce", {"baseline": "moving-average"}, seed=3, draws=77, alpha=0.3, workers=5)
    assert [subject.family for subject in found] == ["gaussian", "bernoulli", "categorical"]
    for subject in found:
        assert subject.entry is estimators.get("reinforce")
        assert (subject.options, subject.seed, subject.draws, subject.workers) == (
            {"baseline": "moving-average"}, 3, 77, 5,
        )  # fmt: skip
        assert subject.alpha == pytest.approx(0.1)
    (plain,) = subjects(estimators.get("disarm"))
    assert (plain.options, plain.seed, plain.draws, plain.alpha, plain.workers) == ({}, 0, 2**18, 1e-3, 1)
    with pytest.raises(BadInput, match="unknown option of estimator 'disarm':"):
        subjects("disarm", {"no": 1})
    with pytest.raises(BadInput, match="unknown estimator 'disram'"):
        subjects("disram")


def test_an_unknown_check_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput) as raised:
        run_check("row", subject_of(Still))
    assert str(raised.value) == f"unknown check 'row'; did you mean 'rows'? Known: {', '.join(CHECKS)}"


UNDECIDED = "cannot be told where the generator does not decide the noise: see generator"


def test_what_repeats_noise_says_nothing_where_the_generator_does_not_decide_it() -> None:
    subject = subject_of(by_name("GlobalNoise"))
    for name in ("dtype", "rows", "leading-dims", "state"):
        assert run_check(name, subject) == Result(name, "bernoulli", "not applicable", UNDECIDED)
    assert run_check("evaluations", subject).status == "passed"
    assert run_check("auxiliary", subject).status == "not applicable"
    assert run_check("auxiliary", subject).message == NONE


def raising(error: Exception) -> Callable[[Subject], Result]:
    def check(subject: Subject) -> Result:
        raise error

    return check


def test_what_a_check_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(Still)
    monkeypatch.setitem(CHECKS, "value", raising(Broken("it is\n broken")))
    assert run_check("value", subject) == Result("value", "bernoulli", "failed", "it is\n broken")
    for words, said in (("of\n another   kind", "of another kind"), ("w" * 201, "w" * 200)):
        monkeypatch.setitem(CHECKS, "value", raising(LookupError(words)))
        assert run_check("value", subject) == Result(
            "value",
            "bernoulli",
            "failed",
            f"the check could not be completed with what the estimator returns (LookupError: {said})",
        )


def scripted(monkeypatch: pytest.MonkeyPatch, says: Callable[[Subject, str], tuple[Any, str]]) -> list[tuple[str, str]]:
    """Puts checks a, b and c in the place of all; returns what of them is run."""
    ran: list[tuple[str, str]] = []

    def check(name: str) -> Callable[[Subject], Result]:
        def of(subject: Subject) -> Result:
            ran.append((subject.family, name))
            status, message = says(subject, name)
            return Result(name, subject.family, status, message, {"n": 1}, ("w",))

        return of

    for name in list(CHECKS):
        monkeypatch.delitem(CHECKS, name)
    for name in "abc":
        monkeypatch.setitem(CHECKS, name, check(name))
    return ran


def test_a_certificate_says_a_reason_once_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(certificate.time, "perf_counter", lambda: next(clock))
    ran = scripted(monkeypatch, lambda subject, name: ("failed", "the same"))
    told: list[Result] = []
    given = entry(Still, ("gaussian", "bernoulli"), samples=(2, 2))
    found = certify(given, seed=4, draws=99, alpha=0.2, workers=2, progress=told.append)
    assert ran == [(family, name) for family in ("gaussian", "bernoulli") for name in "abc"]
    expected = [
        Result(name, family, "failed", "the same" if name == "a" else "for the same reason as a", {"n": 1}, ("w",))
        for family in ("gaussian", "bernoulli")
        for name in "abc"
    ]
    assert found == Certificate("Still", True, (2, 3), 4, tuple(expected), 2.5)
    assert told == expected


@pytest.mark.parametrize(
    ("statuses", "messages", "said"),
    [
        (("failed", "failed", "failed"), ("x", "y", "y"), ("x", "y", "for the same reason as b")),
        (("failed", "passed", "failed"), ("x", "x", "x"), ("x", "x", "for the same reason as a")),
        (("passed", "failed", "failed"), ("x", "x", "z"), ("x", "x", "z")),
        (("not applicable", "measured", "passed"), ("x", "x", "x"), ("x", "x", "x")),
    ],
)
def test_only_failures_share_a_reason(
    statuses: tuple[str, ...], messages: tuple[str, ...], said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = dict(zip("abc", zip(statuses, messages, strict=True), strict=True))
    scripted(monkeypatch, lambda subject, name: answers[name])
    found = certify(entry(Still, unbiased=False))
    assert tuple(result.message for result in found.results) == said
    assert tuple(result.status for result in found.results) == statuses
    assert found.verdict == ("refuted" if "failed" in statuses else "measured")
    assert (found.seed, found.samples, found.unbiased) == (0, (1, 3), False)
    assert found.seconds >= 0


def test_a_certificate_passes_on_what_may_be_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[tuple[Any, ...]] = []

    def says(subject: Subject, name: str) -> tuple[Any, str]:
        spent.append((subject.seed, subject.draws, subject.alpha, subject.workers, dict(subject.options)))
        return "passed", "well"

    scripted(monkeypatch, says)
    found = certify("rloo", {"samples": 4}, seed=7, draws=99, alpha=0.3, workers=2)
    assert set(map(str, spent)) == {str((7, 99, 0.3 / 3, 2, {"samples": 4}))}
    assert (found.estimator, found.seed, found.samples, found.verdict) == ("rloo[samples=4]", 7, (4,), "certified")
    spent.clear()
    certify("disarm")
    assert spent == [(0, 2**18, ALPHA, 1, {})] * 3


def test_a_certificate_in_plain_values() -> None:
    failure = failed("rows", "bernoulli", "moves", warnings=("of this",), share=0.2, n=3)
    assert failure == Result("rows", "bernoulli", "failed", "moves", {"share": 0.2, "n": 3}, ("of this",))
    assert failed("rows", "bernoulli", "moves") == Result("rows", "bernoulli", "failed", "moves", {}, ())
    passed, measured = replace(failure, status="passed"), replace(failure, status="measured")
    for results, unbiased, verdict in (
        ((passed, failure, measured), True, "refuted"),
        ((passed, measured), True, "certified"),
        ((passed, measured), False, "measured"),
        ((failure,), False, "refuted"),
        ((), True, "certified"),
    ):
        found = Certificate("it", unbiased, (1, 3), 2, results, 0.5)
        assert found.verdict == verdict
        assert found.failures == tuple(result for result in results if result is failure)
        assert found.plain() == {
            "verdict": verdict,
            "estimator": "it",
            "unbiased": unbiased,
            "samples": (1, 3),
            "seed": 2,
            "results": tuple(
                {"check": "rows", "family": "bernoulli", "status": result.status, "message": "moves",
                 "numbers": {"share": 0.2, "n": 3}, "warnings": ("of this",)}
                for result in results
            ),
            "seconds": 0.5,
        }  # fmt: skip


# What a user's pytest gets


def test_checks_are_bound_to_what_is_asked_for() -> None:
    disarm = estimators.get("disarm")
    for wanted, labels in (
        ("disarm", ["disarm-bernoulli"]),
        (disarm, ["disarm-bernoulli"]),
        (["disarm", disarm], ["disarm-bernoulli"] * 2),
        (("disarm", "arm"), ["disarm-bernoulli", "arm-bernoulli"]),
        (("disarm", {"samples": 4}), ["disarm[samples=4]-bernoulli"]),
        ([("disarm", {"samples": 4}), "arm"], ["disarm[samples=4]-bernoulli", "arm-bernoulli"]),
        ((("disarm", {"samples": 4}), (disarm, {})), ["disarm[samples=4]-bernoulli", "disarm-bernoulli"]),
        ((disarm, {}), ["disarm-bernoulli"]),
        ("rloo", ["rloo-gaussian", "rloo-bernoulli", "rloo-categorical"]),
        ([], []),
    ):
        found = list(checks_for(wanted))  # type: ignore[arg-type]
        assert [check.id for check in found] == [f"{label}-{name}" for label in labels for name in CHECKS]
        assert [check.name for check in found] == list(CHECKS) * len(labels)
        assert all((check.subject.seed, check.subject.draws) == (0, 2**18) for check in found)
    assert {(c.subject.seed, c.subject.draws) for c in checks_for("rloo", seed=3, draws=8)} == {(3, 8)}


def test_a_bound_check_gives_its_result_or_raises_its_sentence() -> None:
    assert BoundCheck("generator", subject_of("exact", family="categorical"))() == Result(
        "generator", "categorical", "passed", SILENT
    )
    assert BoundCheck("auxiliary", subject_of("exact"))().status == "not applicable"
    with pytest.raises(AssertionError) as raised:
        BoundCheck("dtype", subject_of(by_name("SinglePrecisionOut")))()
    assert str(raised.value) == "SinglePrecisionOut-bernoulli-dtype: the surrogate is float32 where q is float64"


def test_a_test_is_decorated_with_all_checks() -> None:
    decorator = parametrize_with_checks(["disarm"], seed=3, draws=8)
    assert decorator.name == "parametrize"
    name, given = decorator.args
    assert name == "check"
    assert [parameter.id for parameter in given] == [f"disarm-bernoulli-{check}" for check in CHECKS]
    for parameter, check in zip(given, CHECKS, strict=True):
        (bound,) = parameter.values
        assert isinstance(bound, BoundCheck)
        assert (bound.name, bound.subject.seed, bound.subject.draws) == (check, 3, 8)
        assert not parameter.marks
    (first, *_) = parametrize_with_checks("disarm").args[1]
    assert (first.values[0].subject.seed, first.values[0].subject.draws) == (0, 2**18)


def test_expected_failures_are_strict_marks_of_their_checks() -> None:
    asked: list[str] = []

    def of(check: BoundCheck) -> dict[str, str]:
        asked.append(check.id)
        return {"dtype": "on purpose", "rows": ""} if check.subject.family == "gaussian" else {}

    def marks(expected: Any) -> dict[str, Any]:
        given = parametrize_with_checks("rloo", expected_failures=expected).args[1]
        return {parameter.id: parameter.marks for parameter in given if parameter.marks}

    xfail = pytest.mark.xfail(reason="on purpose", strict=True, raises=AssertionError)
    assert marks(of) == {"rloo-gaussian-dtype": [xfail]}
    assert asked == [check.id for check in checks_for("rloo")]
    assert list(marks({"dtype": "on purpose"})) == [
        f"rloo-{family}-dtype" for family in estimators.get("rloo").families
    ]
    assert marks({}) == marks(None) == {}


def test_expected_failures_must_name_checks() -> None:
    for expected in ({"rows": "known", "dtpe": "typo"}, lambda check: {"dtpe": "typo"}):
        with pytest.raises(BadInput) as raised:
            parametrize_with_checks("disarm", expected_failures=expected)  # type: ignore[arg-type]
        assert str(raised.value) == f"unknown check 'dtpe'; did you mean 'dtype'? Known: {', '.join(CHECKS)}"
