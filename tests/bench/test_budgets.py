"""Suites of several budgets: each estimator meets a problem once for each number of evaluations of f it can spend."""

import pytest

from bench.suite.load import override, parse_suite
from bench.suite.plan import Plan, plan
from bench.suite.toml import dumps
from estimators import BadInput

BUDGETS = """
name = "budgets"
f_evals = [12, 2, 6]
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2},
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, bound = "iwae", importance_samples = 5},
]
estimators = ["rloo", "rebar", "rloo[samples=6]", "ugc", "vimco"]
[elbo]
[moments]
checkpoints = [0]
[time]
"""
TOYS = """
name = "toys"
f_evals = {budgets}
problems = [{{kind = "toy", objective = "cubic", family = "bernoulli", latents = 3, logits = [1]}}]
estimators = {estimators}
[moments]
checkpoints = [0]
"""


def planned(text: str) -> Plan:
    """The plan of a suite file's text."""
    return plan(parse_suite(text.encode(), "budgets.toml"))


def test_a_suite_of_several_budgets_meets_each_problem_once_a_budget() -> None:
    """Two and six evaluations are one and three draws of REBAR; `ugc` takes three a pair, and cannot spend two."""
    suite = parse_suite(BUDGETS.encode(), "budgets.toml")
    assert suite.f_evals == suite.budgets == (2, 6, 12)
    chosen = plan(suite)
    met = {}
    for cell in chosen.cells:
        met.setdefault((cell.estimator.label, cell.measurement.kind), []).append(cell.estimator.samples)
    kinds = ("moments", "train", "time")
    draws = {"rloo": [2, 6, 12], "rebar": [1, 3, 6], "rloo[samples=6]": [6], "ugc": [4, 8], "vimco": [5]}
    assert met == {(label, kind): numbers for label, numbers in draws.items() for kind in kinds}
    reasons = [(item.estimator, item.reason) for item in chosen.skipped if item.problem == "digits/bernoulli-2/linear"]
    assert reasons == [
        ("rloo[samples=6]", "cannot spend exactly 2 evaluations of f a row; the nearest is 6"),
        ("rloo[samples=6]", "cannot spend exactly 12 evaluations of f a row; the nearest is 6"),
        ("ugc", "cannot spend exactly 2 evaluations of f a row; the nearest is 3"),
        ("vimco", "estimates the iwae bound, not elbo"),  # said once, whatever the budgets
    ]


def test_the_cells_of_several_budgets_are_those_of_each_alone() -> None:
    """So a budget that is added to a suite leaves the records that are there."""
    ids = [cell.id for cell in planned(BUDGETS).cells]
    assert len(set(ids)) == len(ids)
    alone = BUDGETS.replace('"ugc", ', "").replace('"rloo[samples=6]", ', "")
    one = [{cell.id for cell in planned(alone.replace("[12, 2, 6]", budget)).cells} for budget in ("2", "[6]", "12")]
    assert set.union(*one) == {cell.id for cell in planned(alone).cells} < set(ids)


def test_every_estimator_is_every_one_that_can_spend_one_of_the_budgets() -> None:
    suites = [TOYS.format(budgets=budgets, estimators='"all"') for budgets in ("1", "8", "[1, 8]")]
    found = [{one.name for one in parse_suite(text.encode(), "all.toml").estimators} for text in suites]
    assert found[0] | found[1] == found[2]
    assert "reinforce" in found[0] and "local-expectation" in found[1] - found[0]


def test_an_estimator_that_can_spend_none_of_the_budgets_fits_no_problem() -> None:
    with pytest.raises(BadInput) as caught:
        planned(TOYS.format(budgets="[2, 5]", estimators='["ugc"]'))
    assert str(caught.value) == (
        "estimator 'ugc' fits no problem of the suite: it cannot spend exactly 2 evaluations of f a row; the nearest "
        "is 3; it cannot spend exactly 5 evaluations of f a row; the nearest are 3 and 6"
    )


def test_several_budgets_survive_toml() -> None:
    suite = parse_suite(BUDGETS.encode(), "budgets.toml")
    written = dumps(suite.model_dump(mode="json", exclude_none=True))
    assert parse_suite(written.encode(), "suite.toml") == suite
    assert override(suite, estimators=["rloo"]).f_evals == (2, 6, 12)
    single = parse_suite(BUDGETS.replace("[12, 2, 6]", "6").encode(), "budgets.toml")
    assert "\nf_evals = 6\n" in dumps(single.model_dump(mode="json", exclude_none=True))
