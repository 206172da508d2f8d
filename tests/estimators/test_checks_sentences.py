"""What the checks say of planted faults and of correct estimators, word for word."""

from typing import Any

import pytest

from estimators.checks import Result, run_check
from tests.estimators.still import (
    ALONE,
    BITS,
    FINITE,
    FROZEN,
    KEPT,
    NEW,
    NONE,
    SAME,
    SCALES,
    SHAPES,
    SILENT,
    by_name,
    subject_of,
)

GENERATOR = ": noise must come from the generator that is given"


LEAK = "it must reach the estimator's own parameters alone; detach costs and logits in it"


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
        "LogOfProbability", "bernoulli", "finite",  # of every other row, by the sign of its sharpest logit
        f"50.0% of the gradients are not finite at |logit| 50 with costs of 1e-06 in float64. {FINITE}", {}, (),
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
    subject = subject_of(by_name(name))
    # Problems of one bit show these faults, too.
    vars(subject)["grids"] = tuple(grid for grid in subject.grids if grid.event == (1,))
    found = run_check(check, subject)
    assert (found.check, found.family, found.status) == (check, "bernoulli", "failed")


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
