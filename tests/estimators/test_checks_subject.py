"""What is certified: a subject's rows, context, generators and state."""

from typing import Any

import pytest
import torch
from torch import nn

import estimators
from estimators import Estimate, Estimator
from estimators.checks import Result, run_check, subjects
from estimators.checks.grid import Grid
from estimators.checks.subject import Subject, copied, own_parameters, run
from estimators.contract import Broken
from estimators.distributions import parameters, stopped
from estimators.errors import BadInput
from estimators.families import FAMILIES
from tests.estimators.still import DOUBLE, Evaluating, Learns, Noted, Still, entry, subject_of


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
    for family, kind in FAMILIES.items():
        subject = subject_of("reinforce", family=family)
        assert subject.small() == Grid(family, kind.small_event, 3, "elbo", levels=(1.0,))
        assert subject.small(7, 2.5) == Grid(family, kind.small_event, 7, "elbo", levels=(2.5,))
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
