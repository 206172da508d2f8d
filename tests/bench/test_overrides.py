"""`[[overrides]]` of a suite, and an own rate that follows a sweep: published protocols have such."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.measure.elbo import TrainConfig
from bench.suite.load import left_behind, override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from bench.suite.toml import dumps
from bench.training.settings import Optimisation
from estimators.errors import BadInput
from tests.bench.command import Done

SUITE = """
name = "mine"
seeds = 2
samples = 2
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, label = "a", prior = "learned"},
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 4, label = "b"},
]
estimators = ["rloo", "rebar[samples=1]"]

[training]
steps = 4
batch = 10
learning_rate = 1e-3
[elbo]
"""
BOTH = """
[[overrides]]
problems = ["b"]
training = {learning_rate = 3e-4, optimiser = "radam"}
[[overrides]]
problems = ["a", "b"]
estimators = ["rebar[samples=1]"]
training = {own_betas = [0.5, 0.25], own_learning_rate = 0.5}
"""


def suite_of(more: str = "", old: str = "", new: str = "") -> Suite:
    assert old in SUITE
    return parse_suite((SUITE.replace(old, new, 1) + more).encode(), "mine.toml")


def trained(suite: Suite) -> dict[tuple[str, str], Optimisation]:
    """Settings of each training of a plan, by the labels of its problem and estimator."""
    cells = plan(suite).cells
    assert all(isinstance(cell.measurement, TrainConfig) for cell in cells)
    return {(cell.problem.label, cell.estimator.label): cell.measurement.optimisation for cell in cells}  # type: ignore[attr-defined]


def test_each_training_has_its_own_settings_and_shares_the_others() -> None:
    shared, rebar = {"steps": 4, "batch": 10}, {"own_betas": (0.5, 0.25), "own_learning_rate": 0.5}
    other = {"learning_rate": 3e-4, "optimiser": "radam"}
    assert trained(suite_of(BOTH)) == {
        ("a", "rloo"): Optimisation.model_validate(shared),
        ("b", "rloo"): Optimisation.model_validate(shared | other),
        ("a", "rebar[samples=1]"): Optimisation.model_validate(shared | rebar),
        ("b", "rebar[samples=1]"): Optimisation.model_validate(shared | rebar | other),
    }


def test_a_suite_without_overrides_keeps_its_cells() -> None:
    """And one whose override says what [training] says has the same."""
    plain = [cell.id for cell in plan(suite_of()).cells]
    assert [cell.id for cell in plan(suite_of(BOTH)).cells] != plain
    same = '[[overrides]]\nproblems = ["b"]\ntraining = {learning_rate = 1e-3}\n'
    assert [cell.id for cell in plan(suite_of(same)).cells] == plain
    assert "overrides" not in suite_of().model_dump(mode="json")


def test_overrides_survive_their_own_toml_and_the_command_line() -> None:
    """Of other estimators than the suite's the overrides of some go, and those of all stay."""
    suite = suite_of(BOTH)
    again = parse_suite(dumps(suite.model_dump(mode="json", exclude_none=True)).encode(), "again.toml")
    assert again == suite and trained(again) == trained(suite)
    fewer = override(suite, estimators=["rloo", "arm"], seeds=1)
    assert [one.estimators for one in fewer.overrides] == [()]
    assert trained(fewer)["b", "arm"].learning_rate == 3e-4
    assert trained(override(suite, seeds=1)) == trained(suite)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("training = {batch = 9}",
         "overrides.0: problems and estimators are missing: give one of them, or write what is for all into "),
        ('problems = ["a"]\ntraining = {batch = 9}',
         "overrides.0: batch is the same for all trainings of a suite: give it in [training]"),
        ('problems = ["a"]\ntraining = {learning_rat = 9}',
         "overrides.0: unknown setting of training 'learning_rat'; did you mean 'learning_rate'"),
        ('problems = ["a"]\ntraining = {}', "overrides.0.training"),
        ('problems = ["a"]\ntrainings = {batch = 9}', "unknown key 'trainings'; did you mean 'training'"),
        ('problems = ["c"]\ntraining = {learning_rate = 1}', "overrides.0: unknown problem 'c'"),
        ('estimators = ["rlo"]\ntraining = {learning_rate = 1}',
         "overrides.0: unknown estimator 'rlo'; did you mean 'rloo'"),
        ('estimators = ["rebar"]\ntraining = {learning_rate = 1}',
         "overrides.0: unknown estimator 'rebar'; did you mean 'rebar[samples=1]'"),
        ('problems = ["a"]\ntraining = {learning_rate = -1}',
         "overrides.0: training.learning_rate: Input should be greater than 0"),
        ('problems = ["a"]\ntraining = {learning_rate = true}',
         "overrides.0: training: learning_rate = true is no number"),
        ('problems = ["a"]\ntraining = {momentum = 0.5}',
         'overrides.0: training: momentum is a setting of optimiser = "sgd", and "adam" has none: leave momentum out'),
        ('problems = ["a"]\ntraining = {learning_rate = 1}\n[[overrides]]\nestimators = ["rloo"]\n'
         "training = {learning_rate = 2}",
         "overrides.1: learning_rate of rloo on a is given by another override too"),
        ('problems = ["b"]\ntraining = {prior_learning_rate = 1}',
         "overrides.0: prior_learning_rate is the rate of a learned prior, and none of its problems learns one"),
        ('estimators = ["rloo"]\ntraining = {own_rate_ratio = 2, own_learning_rate = 1}',
         "overrides.0: training: own_rate_ratio = 2 makes own_learning_rate 0.002, and it is 1: give one of the two"),
        ('estimators = ["rloo"]\ntraining = {learning_rate = 1}\n[moments]\ncheckpoints = [0]',
         "overrides.0: [moments] and [time] hold all estimators of a problem against one training"),
    ],
)  # fmt: skip
def test_what_no_override_can_be_is_one_line(more: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        suite_of(f"[[overrides]]\n{more}\n")
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) <= 400


def test_an_own_rate_follows_the_rates_of_a_sweep() -> None:
    """What is written is the rate itself, so that a record says what its training had."""
    suite = suite_of(
        "learning_rates = [1e-3, 1e-2]\n", "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 10"
    )
    found = {(each.learning_rate, each.own_learning_rate) for each in map(settings, plan(suite).cells)}
    assert found == {(1e-3, 1e-2), (1e-2, 1e-1)}
    assert all(each.of_own()["lr"] == 10 * each.learning_rate for each in map(settings, plan(suite).cells))
    swept = [cell.identity.settings for cell in plan(suite).cells]
    assert all(one == swept[0] for one in swept), "rates of a sweep are points of one training"
    again = override(suite, seeds=suite.seeds)
    assert [cell.id for cell in plan(again).cells] == [cell.id for cell in plan(suite).cells]


def settings(cell: Any) -> Optimisation:
    found: Optimisation = cell.measurement.optimisation
    return found


def test_an_override_of_the_rate_moves_the_own_rate_too() -> None:
    one = '[[overrides]]\nproblems = ["b"]\ntraining = {learning_rate = 3e-4}\n'
    found = trained(suite_of(one, "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 10"))
    assert found["a", "rloo"].own_learning_rate == pytest.approx(1e-2)
    assert found["b", "rloo"].own_learning_rate == pytest.approx(3e-3)


def test_two_own_rates_are_refused() -> None:
    with pytest.raises(BadInput, match=r"= 10 makes own_learning_rate 0[.]01, and it is 0[.]5: give one"):
        suite_of("", "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 10\nown_learning_rate = 0.5")


def test_a_rate_that_happens_to_be_the_default_is_refused_beside_a_ratio_too() -> None:
    with pytest.raises(BadInput, match=r"= 10 makes own_learning_rate 0[.]01, and it is 0[.]001: give one"):
        suite_of("", "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 10\nown_learning_rate = 1e-3")


@pytest.mark.parametrize("given", [1e-3, 0.5])
def test_an_override_gives_its_own_rate_in_the_place_of_a_ratio(given: float) -> None:
    one = f'[[overrides]]\nestimators = ["rebar[samples=1]"]\ntraining = {{own_learning_rate = {given}}}\n'
    found = trained(suite_of(one, "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 10"))
    rebar, rloo = found["a", "rebar[samples=1]"], found["a", "rloo"]
    assert (rebar.own_rate_ratio, rebar.own_learning_rate) == (None, given)
    assert (rloo.own_rate_ratio, rloo.own_learning_rate) == (10, 0.01)


def test_an_override_gives_a_ratio_in_the_place_of_an_own_rate() -> None:
    one = '[[overrides]]\nestimators = ["rebar[samples=1]"]\ntraining = {own_rate_ratio = 2}\n'
    found = trained(suite_of(one, "learning_rate = 1e-3", "learning_rate = 1e-3\nown_learning_rate = 0.5"))
    assert found["a", "rebar[samples=1]"].own_learning_rate == 0.002
    assert found["a", "rloo"].own_learning_rate == 0.5


def test_another_optimiser_leaves_behind_what_it_has_not() -> None:
    one = '[[overrides]]\nproblems = ["b"]\ntraining = {optimiser = "sgd", momentum = 0.5}\n'
    found = trained(suite_of(one, "learning_rate = 1e-3", "learning_rate = 1e-3\nbetas = [0.5, 0.6]\nepsilon = 1e-4"))
    there = {"steps": 4, "batch": 10, "optimiser": "sgd", "momentum": 0.5}
    assert found["b", "rloo"].model_dump() == Optimisation.model_validate(there).model_dump()
    assert found["a", "rloo"].betas == (0.5, 0.6)


def test_a_rate_that_no_training_would_have_is_refused() -> None:
    """With moments beside the sweep it is that of the reference trajectory."""
    one = '[[overrides]]\nproblems = ["b"]\ntraining = {learning_rate = 3e-4}\n'
    swept = "[elbo]\nlearning_rates = [1e-3, 1e-2]\n"
    with pytest.raises(BadInput, match=r"overrides[.]0: learning_rate is no training's here: \[elbo\] learning_rates"):
        suite_of(one, "[elbo]\n", swept)
    suite_of(one, "[elbo]\n", swept + "[moments]\ncheckpoints = [0]\n")


def test_an_estimator_of_the_command_line_that_an_override_is_not_for_is_named() -> None:
    """Once, where its name is that of an override and its options are others; nothing is said of all else."""
    suite = suite_of(BOTH)
    said = left_behind(suite, override(suite, estimators=["rloo", "rebar[temperature=0.5]", "arm"]))
    assert said == [
        "rebar[temperature=0.5] is trained as [training] says: [[overrides]] are for rebar[samples=1], which an "
        "estimator has to be called for them to be its own"
    ]
    assert left_behind(suite, override(suite, estimators=["rebar[samples=1]"])) == []
    assert left_behind(suite, suite) == left_behind(suite_of(), override(suite_of(), estimators=["rebar"])) == []


def test_a_run_names_it(gradest: Callable[..., Done]) -> None:
    Path("mine.toml").write_text(SUITE + BOTH)
    asked = gradest("run", "mine.toml", "-e", "rebar", "--dry-run")
    assert asked.code == 0 and asked.err.startswith("rebar is trained as [training] says: [[overrides]] are for ")
    assert gradest("run", "mine.toml", "--dry-run").err == ""


TOY = '{kind = "toy", objective = "cubic", family = "bernoulli", label = "toy", logits = [0]},\n]'


@pytest.mark.parametrize("training", ["{batch = 3}", "{epsilon = 1e-3}", "{learning_rate = 0.5}"])
def test_what_a_toy_does_not_take_is_refused(training: str) -> None:
    one = f'[moments]\ncheckpoints = [0]\n[[overrides]]\nproblems = ["toy"]\ntraining = {training}\n'
    with pytest.raises(BadInput) as fault:
        suite_of(one, "\n]", f"\n    {TOY}")
    said = "batch is the same for all" if "batch" in training else (
        "overrides.0: its problems are not trained, and take own_betas, own_learning_rate alone from [training]: give "
        "one of these, or leave it out"
    )  # fmt: skip
    assert said in str(fault.value)


@pytest.mark.parametrize("training", ["{own_learning_rate = 0.5}", "{own_betas = [0.5, 0.5]}", "{own_rate_ratio = 3}"])
def test_what_a_toy_takes_is_accepted(training: str) -> None:
    one = f'[moments]\ncheckpoints = [0]\n[[overrides]]\nproblems = ["toy"]\ntraining = {training}\n'
    usual, other = (suite_of(more, "\n]", f"\n    {TOY}") for more in (one.partition("[[")[0], one))
    usual_ids, ids = (
        {cell.id for cell in plan(suite).cells if cell.problem.label == "toy"} for suite in (usual, other)
    )
    assert len(ids) == 2 and usual_ids.isdisjoint(ids)


def test_an_own_rate_that_follows_is_one_that_could_be_given() -> None:
    with pytest.raises(
        BadInput, match=r"own_rate_ratio = 1e\+06 makes own_learning_rate 1e\+07 of 10: Input should be"
    ):
        suite_of("", "learning_rate = 1e-3", "learning_rate = 10\nown_rate_ratio = 1e6")
    swept = suite_of(
        "learning_rates = [1e-3, 1e2]\n", "learning_rate = 1e-3", "learning_rate = 1e-3\nown_rate_ratio = 1e6"
    )
    with pytest.raises(BadInput, match=r"makes own_learning_rate 1e\+08 of 100"):
        plan(swept)


LEFT_OUT = '[[leave_out]]\nproblems = ["b"]\nestimators = ["rebar[samples=1]"]\n'


def test_a_pair_that_is_left_out_is_not_measured_and_the_plan_says_so() -> None:
    suite, usual = suite_of(LEFT_OUT), suite_of()
    found = plan(suite)
    assert trained(usual).keys() - trained(suite).keys() == {("b", "rebar[samples=1]")}
    assert found.skipped == [("b", "rebar[samples=1]", "stands in [[leave_out]]")]
    assert {cell.id for cell in found.cells} < {cell.id for cell in plan(usual).cells}, "the others keep their records"
    assert parse_suite(dumps(suite.model_dump(mode="json", exclude_none=True)).encode(), "suite.toml") == suite
    without = override(suite, estimators=["rloo"])
    assert not without.leave_out and len(plan(without).cells) == 2
    assert override(suite, estimators=["rebar[samples=1]"]).leave_out == suite.leave_out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (LEFT_OUT.replace('"b"', '"c"'), "leave_out.0: unknown problem 'c'"),
        (LEFT_OUT.replace("rebar[samples=1]", "rebar"),
         "leave_out.0: unknown estimator 'rebar'; did you mean 'rebar[samples=1]'"),
        (LEFT_OUT.replace('problems = ["b"]\n', ""), "leave_out.0.problems is missing"),
        (LEFT_OUT.replace('"b"', ""), "leave_out.0.problems is empty; it needs at least one item"),
        (LEFT_OUT.replace("problems", "problem"), "unknown key 'problem'; did you mean 'problems'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_left_out_is_one_line(more: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        suite_of(more)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_estimator_that_is_left_out_everywhere_has_nothing_to_do() -> None:
    said = "estimator 'rebar[samples=1]' fits no problem of the suite: it stands in [[leave_out]]"
    with pytest.raises(BadInput) as caught:
        plan(suite_of(LEFT_OUT.replace('["b"]', '["a", "b"]')))
    assert said in str(caught.value)
