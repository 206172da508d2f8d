"""The check float32, in every way to pass and to fail."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from estimators.checks import Result, run_check, single
from estimators.checks.grid import LEVELS, Grid
from estimators.distributions import parameters
from estimators.integration.source import Site, Values
from tests.estimators.cases import families_of
from tests.estimators.drawing import normal, uniform
from tests.estimators.faults.base import Score
from tests.estimators.still import DOUBLE, Call, Noted, Rule, by_name, ruled, subject_of

ALIKE = "from the same noise, the gradient in float32 is that in float64 but for rounding"


def off(size: str, where: str = "|logit| 15, 3 latents, samples=3") -> str:
    beside = "beside that in float64 from the same noise; rounding explains 0.035 %"
    usually = "Usually a clamp, an eps or a branch for float32 alone, or a chance that rounds to 1"
    return f"in float32 the gradient is {size} at {where}, {beside}. {usually}"


def in_single(factor: float, level: float | None = None) -> Rule:
    """A factor of the gradient in float32, of the rows of a level alone."""

    def rule(self: Any, call: Call) -> Tensor | float:
        if call.cost.dtype != torch.float32:
            return 1.0
        largest = parameters(call.q)[0].detach().abs().amax(-1)
        return factor if level is None else torch.where((largest - level).abs() < 1e-3, factor, 1.0)

    return rule


def found_of(rule: Rule, **tags: Any) -> Result:
    return run_check("float32", ruled(rule, **tags))


# What passes


@pytest.mark.parametrize("name", ["rloo", "disarm", "arsm", "gumbel-softmax", "reparameterization", "rebar", "dreg"])
def test_correct_estimators_are_the_same_but_for_rounding(name: str) -> None:
    for family in families_of(estimators.get(name)):
        found = run_check("float32", subject_of(name, family=family))
        assert (found.status, found.message) == ("passed", ALIKE)
        assert set(found.numbers["by_level"]) == set(LEVELS)
        assert 0 < max(found.numbers["by_level"].values()) < 1e-5


@pytest.mark.parametrize("name", ["ByTorchBernoulli", "ByCopula", "Systematic"])
def test_hard_draws_that_rounding_turns_are_left_out(name: str) -> None:
    """Noise as coarse as float32, or uniform numbers that are computed: at |logit| 15 some draws turn."""
    found = run_check("float32", subject_of(by_name(name)))
    assert (found.status, found.message) == ("passed", ALIKE)
    assert max(found.numbers["by_level"].values()) < 1e-6


@pytest.mark.parametrize("step", [2.0**-24, -(2.0**-24)])
def test_a_chance_may_be_rounded_by_a_step_of_float32(step: float) -> None:
    class Rounded(Score):
        def draw(self, q, generator):
            p = q.logits.sigmoid()
            return (uniform(q, self.samples, generator) < p + step * (p.dtype == torch.float32)).to(p)

    assert run_check("float32", subject_of(Rounded)).message == ALIKE


def test_constant_objectives_are_left_out() -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        return 1.0 + (torch.arange(30) < 5) if call.cost.dtype == torch.float32 and len(call.rows) > 1 else 1.0

    assert found_of(rule).message == ALIKE


def test_what_has_no_noise_is_compared_too() -> None:
    assert found_of(in_single(1.0)).message == run_check("float32", subject_of("exact")).message == ALIKE


def test_noise_that_cannot_be_handed_over_is_said() -> None:
    cannot = "cannot be told, since its noise cannot be handed to both precisions: "
    for name, reason in (
        ("ByBinomial", "no rule is known for torch.binomial with these arguments"),
        ("NoiseSharedByRows", "torch.rand draws numbers of shape [3, 3], whose rows cannot be told"),
    ):
        found = run_check("float32", subject_of(by_name(name)))
        assert found == Result("float32", "bernoulli", "not applicable", cannot + reason)
    found = run_check("float32", subject_of(by_name("GlobalNoise")))
    assert found.message == "cannot be told where the generator does not decide the noise: see generator"


# What fails


def test_a_factor_is_said_to_three_digits_and_where() -> None:
    still = "3 latents, samples=3"
    for level in (15.0, 0.0, 3.0):
        found = found_of(in_single(1.01234, level))
        assert (found.check, found.family, found.status) == ("float32", "bernoulli", "failed")
        assert found.message == off("off by 1.23 % of its length", f"|logit| {level:g}, {still}")
        assert found.numbers["by_level"][level] == pytest.approx(0.01234, rel=1e-4)
        assert max(share for one, share in found.numbers["by_level"].items() if one != level) < 1e-6
    assert found_of(in_single(0.97, 6.0)).message == off("off by 3 % of its length", f"|logit| 6, {still}")
    assert "off by 50 % of its length at scale " in found_of(in_single(1.5), family="gaussian").message
    assert "2 x 4 latents" in found_of(in_single(1.5), family="categorical").message


def test_half_of_the_digits_may_be_lost() -> None:
    assert pytest.approx(3.45e-4, rel=1e-2) == single.LIMIT
    assert found_of(in_single(1 + 3.3e-4, 6.0)).status == "passed"
    lost = off("off by 0.036 % of its length", "|logit| 6, 3 latents, samples=3")
    assert found_of(in_single(1 + 3.6e-4, 6.0)).message == lost


def test_what_is_not_finite_in_float32_alone() -> None:
    found = found_of(in_single(math.nan, 15.0))
    assert found.message == off("not finite")
    assert found.numbers["by_level"][15.0] is None
    assert found.numbers["by_level"][6.0] < 1e-6
    assert found_of(lambda self, call: math.nan).status == "passed"  # in both: the check finite is for that


SIZES = {
    "ClampedDrawsInSinglePrecision": (50, 150),
    "ClampedScoreInSinglePrecision": (0.15, 0.3),
    "EpsInALogInSinglePrecision": (10, 30),
    "EpsInTheNoiseInSinglePrecision": (10, 40),
    "ChanceThatRoundsToOne": (20, 80),
}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_what_is_wrong_where_chances_are_rare(name: str, size: tuple[float, float]) -> None:
    """At |logit| 15 and 10, and hardly elsewhere: of a clamp at .001 nothing is to be seen below |logit| 6.9."""
    found = run_check("float32", subject_of(by_name(name)))
    share = found.numbers["by_level"][15.0]
    assert found.message == off(f"off by {100 * share:.3g} % of its length")
    assert size[0] < 100 * share < size[1]
    assert max(found.numbers["by_level"][level] for level in (0.0, 1.0)) < 0.03 * share


def test_a_clamp_for_one_sign_alone_is_seen() -> None:
    for sign in (1.0, -1.0):

        class Clamped(Score):
            def draw(self, q, generator, sign=sign):
                bound = 7.0 if q.logits.dtype == torch.float32 else math.inf
                clamped = sign * (sign * q.logits).clamp_max(bound)
                return (uniform(q, self.samples, generator) < clamped.sigmoid()).to(clamped)

        found = run_check("float32", subject_of(Clamped))
        assert found.status == "failed"
        assert found.numbers["by_level"][15.0] > 0.1 > 1e-6 > found.numbers["by_level"][6.0]


def test_other_noise_in_float32_is_said() -> None:
    class More(Score):
        def draw(self, q, generator):
            for _ in range(1 + (q.logits.dtype == self.kind)):
                u = uniform(q, self.samples, generator)
            return (u < q.logits.sigmoid()).to(u)

    message = "in float32 it draws other noise than in float64"
    for kind in (torch.float32, DOUBLE):  # more of it, or less
        subject = subject_of(type("Of", (More,), {"kind": kind}))
        assert run_check("float32", subject) == Result("float32", "bernoulli", "failed", message)


def test_what_it_raises_is_its_failure() -> None:
    class Raises(Score):
        def log_q(self, q, z):
            if z.dtype == self.kind:
                raise ValueError("of this kind")
            return super().log_q(q, z)

    for kind in (torch.float32, DOUBLE):
        found = run_check("float32", subject_of(type("Of", (Raises,), {"kind": kind})))
        assert found.status == "failed"
        assert found.message.startswith("forward raises ValueError for rows [")
        assert found.message.endswith("of this kind")


# What is compared


def answers(*gradient: float, draws: tuple[int, ...] | None = None) -> single.Found:
    """Of one problem and one number, at as many nodes."""
    signature = torch.tensor(draws or (0,) * len(gradient), dtype=DOUBLE)
    return single.Found(torch.tensor(gradient, dtype=DOUBLE)[:, None, None], signature[:, None])


def test_the_mean_length_of_what_lies_between() -> None:
    far = torch.zeros(4, 1, dtype=torch.bool)
    right = answers(1.0, -2.0, 3.0, -4.0)
    assert single.apart(right, answers(1.0, -2.0, 3.0, -4.0), far) == 0
    assert single.apart(right, answers(1.5, -2.0, 3.0, -3.5), far) == pytest.approx(0.1)
    assert single.apart(answers(0.0, 0.0), answers(0.0, 0.0), far[:2]) == 0
    assert single.apart(answers(0.0, 0.0), answers(0.0, 1e300), far[:2]) == math.inf
    assert single.apart(right, answers(1.0, -2.0, math.nan, -4.0), far) == math.inf
    assert single.apart(answers(1.0, math.inf, 3.0), answers(1.0, 2.0, 3.3), far[:3]) == pytest.approx(0.3 / 4)
    infinite = single.Found(torch.tensor([[[math.inf, 1.0]], [[3.0, 4.0]]], dtype=DOUBLE), right.signature[:2])
    assert single.apart(infinite, infinite, far[:2]) == 0
    vectors = single.Found(torch.tensor([[[3.0, 4.0]]], dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE))
    moved = vectors._replace(gradient=vectors.gradient + torch.tensor([0.6, 0.8], dtype=DOUBLE))
    assert single.apart(vectors, moved, far[:1]) == pytest.approx(0.2)


def test_nodes_whose_draws_turn_count_unless_they_are_close_to_it_or_one() -> None:
    right = answers(1.0, 1.0, 1.0, 1.0)
    close = torch.tensor([[True], [False], [False], [True]])
    for draws, share in (((5, 0, 0, 0), 0.0), ((5, 5, 0, 0), 0.0), ((5, 5, 5, 0), 2 / 3), ((0, 5, 5, 0), 0.5)):
        found = answers(*(2.0 if turned else 1.0 for turned in draws), draws=draws)
        assert single.apart(right, found, close) == pytest.approx(share)
    assert single.apart(right, answers(2.0, 1.0, 1.0, 1.0), close) == 0.25  # close, but not turned


def site(kind: str, options: int = 0) -> Site:
    return Site(kind, "noise", (2,), (3,), None, options)


def test_half_of_the_noise_is_of_a_wider_law_and_all_of_it_is_what_float32_holds() -> None:
    grid = Grid("bernoulli", (3,), 1)
    kinds = ("uniform", "race", "normal", "choice")
    uniform_, race, normal_, choice = single.nodes([site(kind, 4) for kind in kinds], grid, 1009)
    assert not torch.equal(uniform_.at, race.at)
    for given in (uniform_, race, normal_, choice):
        assert given.at.shape == (1009, len(grid.rows), 6)
        assert torch.equal(given.at, given.at.float().to(DOUBLE))
        assert torch.equal(given.rest, 1 - given.at)
    for given in (uniform_, race):
        assert float(given.at.min()) > 0 and float(given.at.max()) <= 1 - 2.0**-24
        logit = torch.logit(given.at)
        for level in LEVELS:
            own = logit[:, [i for i, row in enumerate(grid.rows) if row.level == level]]
            reach = level + 3  # logistic numbers in one half, even ones up to the reach in the other
            for bound in (1.0, 0.7 * reach):
                share = math.tanh(bound / 2) / 2 + min(1.0, bound / reach) / 2
                assert float((own.abs() < bound).double().mean()) == pytest.approx(share, abs=0.01)
            assert float((own > 0).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert float((normal_.at.abs() < 1).double().mean()) == pytest.approx(0.6827 / 2 + 1 / 12, abs=0.01)
    assert 5.9 < float(normal_.at.max()) <= 6
    assert (choice.at.unique(return_counts=True)[1] / choice.at.numel()).tolist() == pytest.approx([0.25] * 4, abs=0.01)
    of_gaussian = single.nodes([site("normal")], Grid("gaussian", (3,), 1), 1009)[0].at
    assert float(of_gaussian.std()) == pytest.approx(1, abs=0.01)
    assert single.nodes([], grid, 53) == []


def test_noise_is_nudged_by_a_step_of_its_distribution_function() -> None:
    x = torch.tensor([[[1e-9, 0.25, 1 - 1e-9]]], dtype=DOUBLE)
    sites = [site("uniform"), site("race"), site("normal"), site("choice", 4)]
    given = [Values(x, 1 - x), Values(x, 1 - x), Values(torch.special.ndtri(x), x), Values(4 * x, x)]
    for step in (1e-3, -1e-3):
        uniform_, race, normal_, choice = single.nudged(given, sites, step)
        expected = (x + step).clamp(1e-12, 1 - 1e-12)
        for moved in (uniform_.at, race.at, torch.special.ndtr(normal_.at)):
            torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-15)
        assert torch.equal(uniform_.rest, 1 - uniform_.at)
        assert torch.equal(choice.at, 4 * x)


def test_what_float32_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert single.float32(subject).status == "passed"
    grid = replace(subject.small(), levels=LEVELS)
    kinds = [DOUBLE, DOUBLE, torch.float32]
    called = [
        (call["q"].dtype, call["context"].dtype, call["rows"], call["training"], call["samples"]) for call in seen
    ]
    assert called == [(kind, kind, (n, 30), False, 3) for kind, n in zip(kinds, (53, 101, 101), strict=True)]
    logits, theta = grid.values[0].float().double(), grid.theta.float().double()
    q = estimators.distributions.from_parameters("bernoulli", logits)
    cost = grid.f(theta)(torch.zeros(1, *logits.shape, dtype=DOUBLE), q)[0]
    torch.testing.assert_close(seen[1]["cost"], cost.expand(101, 30), rtol=1e-12, atol=1e-12)
    for call in seen:  # what float32 holds
        assert torch.equal(call["q"].double(), logits.expand_as(call["q"]))
        torch.testing.assert_close(call["context"], subject.context(30, dtype=call["q"].dtype))


def test_much_noise_is_taken_at_fewer_nodes(seen: list[dict[str, Any]]) -> None:
    class Many(Noted):
        def draw(self, q, generator):
            for _ in range(self.times):
                normal(q, 1, generator)
            return super().draw(q, generator)

    for times, nodes in ((60, 101), (80, 53)):  # of three numbers, beside nine uniform ones
        seen.clear()
        assert single.float32(subject_of(type("Of", (Many,), {"times": times}))).status == "passed"
        assert [call["rows"][0] for call in seen] == [53, nodes, nodes]


def test_an_estimator_is_fresh_at_every_call() -> None:
    assert found_of(lambda self, call: 1.0 + self.uses).status == "passed"
