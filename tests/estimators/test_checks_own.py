"""Own parameters are moved before an estimator is held against the exact gradient, and the certificate says how."""

import json
from typing import Any

import pytest
import torch

import estimators
from estimators import Estimate, Estimator
from estimators.checks import run_check, subjects
from estimators.checks.subject import Subject, own_parameters, perturb
from estimators.distributions import from_parameters, live, log_prob, sample, stopped
from estimators.entry import Entry, entry_of
from tests.estimators.faults import FAULTS
from tests.estimators.faults.own import PARTS, SHOWN, OwnSteinTerm


class Slide(Estimator):
    """A score function whose own parameters [3, 4] the loss only ever drives down, at a rate that differs by number."""

    def __init__(self, samples=1):
        super().__init__(samples)
        self.long = torch.nn.Parameter(torch.full((3, 4), 2.0))  # of length sqrt(48)
        self.short = torch.nn.Parameter(torch.tensor([0.3]))
        self.frozen = torch.nn.Parameter(torch.tensor([7.0]), requires_grad=False)
        self.costs: list[torch.Tensor] = []

    def forward(self, q, f, *, generator=None, context=None):
        z = sample(q, self.samples, generator)
        cost = f(z, stopped(q))
        self.costs.append(f(torch.zeros_like(z), stopped(q)).detach())
        loss = (self.long * torch.arange(1.0, 13.0).reshape(3, 4)).sum() - 5 * self.short.sum()
        return Estimate(
            (cost.detach() * log_prob(live(q), z) + cost).mean(0), cost.detach().mean(0), loss.expand(cost.shape[1:])
        )


def entry(cls: type[Estimator], **tags: Any) -> Entry:
    return entry_of(cls, cls.__name__, **({"families": ("bernoulli",), "unbiased": True} | tags))


def the_subject(cls: type[Estimator], draws: int = 256, **options: Any) -> Subject:
    (subject,) = subjects(entry(cls, own_parameters=True), options, draws=draws)
    return subject


def test_perturbing_moves_each_parameter_by_half_of_its_length_or_of_one() -> None:
    estimator, again = Slide(), Slide()
    for one in (estimator, again):
        perturb(one)
    moved = {
        name: (p - q).detach() for (name, p), q in zip(estimator.named_parameters(), Slide().parameters(), strict=True)
    }
    assert float(moved["long"].norm()) == pytest.approx(48**0.5 / 2, rel=1e-5)
    assert float(moved["short"].abs()) == pytest.approx(0.5)
    assert float(moved["frozen"]) == 0.0
    assert len(moved["long"].unique()) == 12  # in a direction of its own, not along itself
    assert all(torch.equal(p, q) for p, q in zip(estimator.parameters(), again.parameters(), strict=True))


def test_own_parameters_are_perturbed_and_learned_in_turn() -> None:
    subject = the_subject(Slide)
    assert [grid.samples for grid in subject.grids] == [1, 1, 1, 3, 3]
    start = Slide()
    for index, grid in enumerate(subject.grids):
        prepared = subject.prepared(grid)
        own = own_parameters(prepared.estimator)
        assert list(own) == ["long", "short"]
        assert not prepared.estimator.training
        (*_, seen), exact = (
            prepared.estimator.costs,
            grid.f(grid.theta)(grid.values[0] * 0, from_parameters(grid.family, *grid.values)),
        )
        if index % 2:  # 120 steps of a hundredth against the gradient's sign
            assert prepared.moved == "learned"
            torch.testing.assert_close(own["long"], start.long.double() - 1.2)
            torch.testing.assert_close(own["short"], start.short.double() + 1.2)
            plain = seen
        else:
            assert prepared.moved == "perturbed"
            assert float((own["long"] - start.long).detach().norm()) == pytest.approx(48**0.5 / 2, rel=1e-5)
            plain = (seen + 1) / 3
        torch.testing.assert_close(plain[0], exact)


def test_steps_are_taken_where_something_settles_or_learns() -> None:
    class Free(Slide):
        def __init__(self, samples=1):
            super().__init__(samples)
            del self.frozen

    def calls(cls: type[Estimator]) -> list[int]:
        subject = the_subject(cls)
        return [len(subject.prepared(grid).estimator.costs) for grid in subject.grids[:2]]  # type: ignore[arg-type]

    assert calls(Slide) == [120, 120]
    assert calls(Free) == [1, 120]


def test_where_there_are_none_nothing_is_said_of_them() -> None:
    (subject,) = subjects("disarm", draws=256)
    found = run_check("unbiased", subject)
    assert subject.prepared(subject.grids[1]).moved is None
    assert "own parameters" not in found.message
    assert all("own_parameters" not in grid for grid in found.numbers["grids"])


@pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])
def test_a_correct_control_is_not_refuted_away_from_its_start(part: Entry) -> None:
    (subject,) = subjects(part, SHOWN["options"], draws=SHOWN["draws"])
    found = run_check("unbiased", subject)
    assert found.status == "passed"
    assert found.message.endswith(
        "; own parameters were perturbed, by 0.5 of their length or by 0.5 if that is more, in 2 of 3 sizes of "
        "problem, and learned for 120 steps in 1"
    )
    plain = json.loads(json.dumps(found.numbers, allow_nan=False))
    assert [grid["own_parameters"] for grid in plain["grids"]] == ["perturbed", "learned", "perturbed"]


def test_a_fault_hides_where_its_parameter_starts_and_shows_where_it_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = next(fault for fault in FAULTS if fault.entry.cls is OwnSteinTerm)
    (moved,) = subjects(fault.entry, fault.options, draws=fault.draws)
    found = run_check("unbiased", moved)
    assert found.status == "failed"
    assert {case["own_parameters"] for case in found.numbers["cases"]} == {"perturbed", "learned"}
    assert ", proved;" in found.message
    assert "; own parameters were perturbed, by 0.5" in found.message

    monkeypatch.setattr("estimators.checks.subject.perturb", lambda estimator: None)
    monkeypatch.setattr("estimators.checks.subject.LEARNING_RATE", 0.0)
    (still,) = subjects(fault.entry, fault.options, draws=fault.draws)
    assert run_check("unbiased", still).status == "passed"


def test_a_declared_bias_is_measured_with_own_parameters_moved() -> None:
    class Half(Slide):
        def forward(self, q, f, *, generator=None, context=None):
            found = super().forward(q, f, generator=generator, context=context)
            return found._replace(surrogate=found.surrogate / 2 + found.surrogate.detach() / 2)

    (subject,) = subjects(entry(Half, own_parameters=True, unbiased=False), {"samples": 1}, draws=256)
    found = run_check("unbiased", subject)
    assert found.status == "measured"
    assert "in 2 of 3 sizes of problem, and learned for 120 steps in 1" in found.message
    assert {case["own_parameters"] for case in found.numbers["cases"]} == {"perturbed", "learned"}


def test_every_estimator_that_is_tagged_has_parameters_to_move() -> None:
    for tagged in estimators.available():
        for options in ({}, *tagged.variants):
            subject = subjects(tagged, options)[0]
            own = own_parameters(subject.create(subject.small()))
            assert not own or tagged.own_parameters, tagged.name
