"""The checks generator and evaluations, in every way to pass and to fail."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import estimators
from estimators.checks import Result, calls, run_check
from estimators.checks.grid import Grid
from estimators.distributions import stopped
from estimators.entry import one_a_sample
from tests.estimators.drawing import uniform
from tests.estimators.faults.base import Score
from tests.estimators.still import DOUBLE, SILENT, Evaluating, Still, by_name, subject_of

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


# The check evaluations

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
